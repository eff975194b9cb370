"""Figures in the look of the run report, as PNG: its light colours, thin grids, no boxes around."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from PIL import Image, ImageColor

from rondel.report.drawing import drawing_library
from rondel.report.wording import format_tick

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

# the light colours of the report's page
PAPER, INK, INK_2, INK_3 = "#fcfbf8", "#1d1c1a", "#57534c", "#6f6a61"
LINE, BAND = "#e3dfd5", "#efece4"
SERIES = (
    *("#2b62b8", "#c2570c", "#0d8074", "#ad3577"),
    *("#6b4fbb", "#75750a", "#8a5a3c", "#4d5d6e"),
)
BLUES = (PAPER, "#9db8de", SERIES[0], "#14305c")
POLES = ("#8f4109", "#e0aa7f", PAPER, "#9db8de", "#1d4788")
WIDTH = 1072
"""Of the page, in its pixels; figures of this width have the page's own size of letters."""
FONT_SIZE_PX = 11.5
LETTER_PX = 7.0
"""The width of a letter, on the average."""
SHARPNESS = 1.5
"""Pixels of the picture for a pixel of the page."""
LONGEST_NAME = 26
Grid = Literal["x", "y"]


def new_figure(width: int, height: int) -> Figure:
    """Return an empty figure of so many pixels of the page.

    Raises:
        UsageError: matplotlib is not installed.
    """
    with drawing_library("matplotlib"):
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    figure = Figure(figsize=(width / 72, height / 72), dpi=72 * SHARPNESS, facecolor=PAPER)
    FigureCanvasAgg(figure)
    return figure


def add_axes(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Add a plot; places and sizes in pixels of the page, from the upper left corner."""
    across, down = figure.get_size_inches() * 72
    box = (left / across, 1 - (top + height) / down, width / across, height / down)
    axes: Axes = figure.add_axes(box, facecolor=PAPER)
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(LINE)
    axes.set_axisbelow(True)
    axes.tick_params(which="both", length=0, pad=6, colors=INK_3, labelsize=FONT_SIZE_PX)
    return axes


def dress(axes: Axes, title: str, *, x: str = "", y: str = "", grid: Grid | None = "y") -> None:
    """Write title and names of the axes of a plot, and draw its grid."""
    axes.set_title(label_of(title, 60), loc="left", fontsize=13, color=INK, pad=10, weight="bold")
    axes.set_xlabel(label_of(x, 60), color=INK_2, fontsize=FONT_SIZE_PX)
    axes.set_ylabel(label_of(y, 40), color=INK_2, fontsize=FONT_SIZE_PX)
    if grid is not None:
        axes.grid(axis=grid, color=LINE, linewidth=0.8)


def shorten_ticks(axis: Axis, count: int = 6) -> None:
    """Write the numbers of an axis as short as they can be: 12000 becomes 12k."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axis.set_major_locator(MaxNLocator(count, steps=[1, 2, 5, 10]))
    axis.set_major_formatter(FuncFormatter(lambda value, _: format_tick(value)))


def add_legend(axes: Axes) -> None:
    """Name the lines and colours of a plot, inside it."""
    axes.legend(frameon=False, fontsize=FONT_SIZE_PX, labelcolor=INK_2, handlelength=1.6)


def add_legend_beside(axes: Axes, *, title: str | None = None) -> None:
    """Name the lines and colours of a plot, on its right."""
    axes.legend(
        loc="upper left", bbox_to_anchor=(1.02, 1.02), frameon=False, fontsize=FONT_SIZE_PX,
        labelcolor=INK_2, title=title, title_fontproperties={"size": FONT_SIZE_PX},
        alignment="left", handlelength=1.4, labelspacing=0.5,
    )  # fmt: skip


def colours(stops: Sequence[str]) -> Any:
    """Return a scale of colours between some."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("rondel", list(stops))


def to_png(figure: Figure) -> bytes:
    """Draw a figure in at most 256 colours, which is a third of the bytes."""
    stream = io.BytesIO()
    with warnings.catch_warnings():
        # a name in a script that the font lacks is drawn as boxes; that is no reason to talk
        warnings.filterwarnings("ignore", message=".*Glyph")
        figure.savefig(stream, format="png", facecolor=PAPER)
    return small_png(Image.open(stream, formats=("PNG",)), exact=(PAPER, INK, *SERIES))


def small_png(picture: Image.Image, *, exact: Sequence[str] = ()) -> bytes:
    """Write a picture in 256 colours of its own.

    Args:
        picture: What to write.
        exact: Colours that stay as they are, however few pixels have them.
    """
    shown = picture.convert("RGB")
    reduced = shown.quantize(256 - len(exact), method=Image.Quantize.MEDIANCUT)
    colours = [ImageColor.getrgb(name)[:3] for name in exact]
    pixels, indices = np.asarray(shown), np.array(reduced)
    for place, colour in enumerate(colours, start=256 - len(exact)):
        indices[(pixels == colour).all(axis=2)] = place
    few = (reduced.getpalette() or [])[: 3 * (256 - len(exact))]
    few += [0] * (3 * (256 - len(exact)) - len(few))
    final = Image.fromarray(indices)
    final.putpalette(few + [value for colour in colours for value in colour])
    stream = io.BytesIO()
    final.save(stream, format="PNG", optimize=True)
    return stream.getvalue()


def label_of(name: object, longest: int = LONGEST_NAME) -> str:
    """Return a name as a figure can show it: one line, not too long, and never a formula."""
    shown = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in str(name))
    if len(shown) > longest:
        shown = shown[: longest - 1] + "\N{HORIZONTAL ELLIPSIS}"
    return shown.replace("$", r"\$")


def margin_of(names: Sequence[str]) -> float:
    """Return how many pixels of the page the longest of several names takes."""
    return max(map(len, names), default=0) * LETTER_PX + 24
