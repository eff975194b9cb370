"""Charts as inline SVG whose colours are CSS variables, so that one drawing is light and dark.

matplotlib draws with placeholder colours; they are replaced afterwards. No text of the user goes
into a drawing: legends and names stand beside it as HTML.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import StringIO
from typing import TYPE_CHECKING

from rondel.errors import UsageError
from rondel.report.curves import Chart, Series
from rondel.report.wording import format_tick

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PALETTE_SIZE = 8
INK, GRID, BASELINE, BAND, PAPER = "#fd0001", "#fd0002", "#fd0003", "#fd0004", "#fd0005"
VARIABLES = {INK: "ink-3", GRID: "line", BASELINE: "ink-2", BAND: "band", PAPER: "paper"}
FONT_SIZE_PX = 11.5


@dataclass(frozen=True, kw_only=True)
class Size:
    """The natural size of a drawing in CSS pixels; text is legible at this size."""

    width: int
    height: int
    name: str


SMALL = Size(width=352, height=208, name="small")
TALL = Size(width=352, height=252, name="tall")
WIDE = Size(width=1072, height=330, name="wide")


def draw(chart: Chart, size: Size, key: str) -> str:
    """Draw a chart as an ``<svg>`` element.

    Args:
        chart: What to draw.
        size: The natural size; the page may scale it.
        key: Distinguishes the ids of this drawing from those of others on the page.

    Raises:
        UsageError: matplotlib is not installed.
    """
    with drawing_library("matplotlib"):
        import matplotlib as mpl
        from matplotlib.backends.backend_svg import FigureCanvasSVG
        from matplotlib.figure import Figure
    figure = Figure(figsize=(size.width / 72, size.height / 72), dpi=72)
    FigureCanvasSVG(figure)
    axes = _axes(figure, size)
    _shade_phases(axes, chart)
    for line in chart.series:
        _draw_line(axes, line)
    _draw_marks(axes, chart)
    _scale(axes, chart, size)
    text = StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": key, "path.simplify": False}):
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    return _inline(text.getvalue(), size=size, key=key, label=chart.description)


@contextmanager
def drawing_library(name: str) -> Iterator[None]:
    """Turn a missing library into an error that says how to install it."""
    try:
        yield
    except ImportError as error:
        raise UsageError(
            f"a report needs {name}, which is not installed",
            hint='Install it with: pip install "rondel[report]"',
        ) from error


def _axes(figure: Figure, size: Size) -> Axes:
    left, right, top, bottom = 44, 10, 12, 24
    box = (
        left / size.width,
        bottom / size.height,
        (size.width - left - right) / size.width,
        (size.height - top - bottom) / size.height,
    )
    axes = figure.add_axes(box)
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(GRID)
    axes.grid(axis="y", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(which="both", length=0, pad=6, colors=INK, labelsize=FONT_SIZE_PX)
    return axes


def _draw_line(axes: Axes, line: Series) -> None:
    if not line.points:
        return
    colour, dashes = series_colour(line.colour), series_dashes(line.colour)
    x, y = zip(*line.points, strict=True)
    if line.mean:
        axes.plot(x, y, color=colour, linewidth=0.7, alpha=0.3)
        x, y = zip(*line.mean, strict=True)
    dot = "o" if len(line.points) == 1 else ""
    axes.plot(
        x, y, color=colour, linewidth=1.8, linestyle=dashes, marker=dot, markersize=4,
        solid_joinstyle="round", solid_capstyle="round",
    )  # fmt: skip


def _draw_marks(axes: Axes, chart: Chart) -> None:
    if chart.baseline is not None:
        axes.axhline(chart.baseline, color=BASELINE, linewidth=1.2, linestyle=(0, (4, 3)))
    if chart.mark is not None:
        colour = series_colour(chart.series[0].colour)
        axes.plot(
            [chart.mark.step], [chart.mark.value], "o", color=colour, markersize=8,
            markeredgecolor=PAPER, markeredgewidth=2, clip_on=False, zorder=5,
        )  # fmt: skip


def _shade_phases(axes: Axes, chart: Chart) -> None:
    for number, band in enumerate(chart.bands, start=1):
        if number % 2 == 0:
            axes.axvspan(band.start, band.end, color=BAND, linewidth=0, zorder=0)
        axes.text(
            (band.start + band.end) / 2, 0.985, str(number), color=INK, fontsize=10,
            ha="center", va="top", transform=axes.get_xaxis_transform(),
        )  # fmt: skip


def _scale(axes: Axes, chart: Chart, size: Size) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

    axes.set_xlim(0, max(1, chart.last_step))
    axes.xaxis.set_major_locator(MaxNLocator(10 if size.width > 700 else 5, integer=True))
    if chart.is_logarithmic:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0,), numticks=6))
        axes.yaxis.set_minor_locator(NullLocator())
    else:
        axes.yaxis.set_major_locator(MaxNLocator(5 if size.height > 220 else 4))
        axes.set_ylim(*_limits(chart))
    shorten: Callable[[float, int | None], str] = lambda value, _: format_tick(value)  # noqa: E731
    axes.xaxis.set_major_formatter(FuncFormatter(shorten))
    axes.yaxis.set_major_formatter(FuncFormatter(shorten))


def _limits(chart: Chart) -> tuple[float, float]:
    values = [y for line in chart.series for _, y in line.points]
    if chart.baseline is not None:
        values.append(chart.baseline)
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    margin = (high - low) * 0.08 or abs(high) * 0.1 or 1.0
    # phase numbers stand at the top and must not hide the line
    head = margin * 2.2 if chart.bands else margin
    floor = low - margin
    # an axis that starts just below zero suggests values that cannot be
    return (0.0 if floor < 0 <= low else floor), high + head


def series_colour(slot: int) -> str:
    """Return the placeholder colour of a palette slot."""
    return f"#fe00{slot % PALETTE_SIZE:02x}"


def series_dashes(slot: int) -> str | tuple[int, tuple[int, ...]]:
    """Return the line style of a slot: solid first, dashed once all colours are used."""
    return "solid" if slot < PALETTE_SIZE else (0, (5, 2))


def _inline(svg: str, *, size: Size, key: str, label: str) -> str:
    """Turn a standalone SVG file into an element of a page."""
    from html import escape

    body = svg[svg.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = re.sub(r"<!--.*?-->", "", body, flags=re.DOTALL)
    body = body[body.index(">") + 1 :]
    body = re.sub(r'<g id="[^"]*"', "<g", body)
    body = body.replace("xlink:href", "href")
    body = re.sub(r'\bid="([^"]+)"', rf'id="{key}-\1"', body)
    body = re.sub(r"url\(#([^)]+)\)", rf"url(#{key}-\1)", body)
    body = re.sub(r'href="#([^"]+)"', rf'href="#{key}-\1"', body)
    body = re.sub(r"(?<=[ML ])-?\d+\.\d{2,}(?=\s)", _rounded, body)
    body = re.sub(r"font: [\d.]+px [^;\"]*", f"font-size: {FONT_SIZE_PX}px", body)
    for placeholder, name in VARIABLES.items():
        body = body.replace(placeholder, f"var(--{name})")
    body = re.sub(r"#fe00([0-9a-f]{2})", lambda m: f"var(--series-{int(m[1], 16)})", body)
    body = re.sub(r">\s+<", "><", body.strip())
    return (
        f'<svg class="{size.name}" viewBox="0 0 {size.width} {size.height}" role="img" '
        f'aria-label="{escape(label, quote=True)}">{body}'
    )


def _rounded(match: re.Match[str]) -> str:
    value = float(match[0])
    return f"{value:.1f}" if math.isfinite(value) else match[0]
