"""Figures in the look of the run report, as PNG: its light colours, thin grids, no boxes around."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageColor

from rondel.report.drawing import drawing_library

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# the light colours of the report's page
PAPER, INK, INK_2, INK_3 = "#fcfbf8", "#1d1c1a", "#57534c", "#6f6a61"
LINE, BAND = "#e3dfd5", "#efece4"
SERIES = (
    *("#2b62b8", "#c2570c", "#0d8074", "#ad3577"),
    *("#6b4fbb", "#75750a", "#8a5a3c", "#4d5d6e"),
)
FONT_SIZE_PX = 11.5
SHARPNESS = 1.5
"""Pixels of the picture for a pixel of the page."""
LONGEST_NAME = 22


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


def add_axes(figure: Figure, left: int, top: int, width: int, height: int) -> Axes:
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


def add_title(axes: Axes, text: str) -> None:
    """Write a title over the left edge of a plot."""
    axes.set_title(text, loc="left", fontsize=13, color=INK, pad=10, fontweight="bold")


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


def label_of(name: str, *, longest: int = LONGEST_NAME) -> str:
    """Return a name as a figure can show it: one line, not too long, and never a formula."""
    shown = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in name)
    if len(shown) > longest:
        shown = shown[: longest - 1] + "\N{HORIZONTAL ELLIPSIS}"
    return shown.replace("$", r"\$")
