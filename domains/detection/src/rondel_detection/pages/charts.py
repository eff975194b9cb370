"""Charts as inline SVG whose colours are the variables of the page, so that one is light and dark.

All text in them is ours: numbers and units; names from files stand beside them as HTML.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from rondel.report.wording import format_tick
from rondel_detection.data.table import Floats, Integers

WIDTH, HEIGHT = 352, 208
LEFT, RIGHT, TOP, BOTTOM = 46, 8, 10, 26
PLOT_WIDTH, PLOT_HEIGHT = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
FONT_PX = 11.5


@dataclass(frozen=True)
class Bar:
    """One bar of a histogram: what it counts, for people, and how many there are."""

    told: str
    count: int
    muted: bool = False


@dataclass(frozen=True)
class Tick:
    """A label of the lower axis, at a share of its length."""

    place: float
    text: str


def histogram(bars: Sequence[Bar], ticks: Sequence[Tick], label: str) -> str:
    """Draw bars of equal width as an ``<svg>`` element.

    Args:
        bars: From left to right.
        ticks: Below them.
        label: What it shows, for those who do not see it.
    """
    top = nice_ceiling(max((bar.count for bar in bars), default=0))
    step = PLOT_WIDTH / max(1, len(bars))
    gap = min(3.0, step * 0.15)
    parts = _levels(top)
    for place, bar in enumerate(bars):
        height = PLOT_HEIGHT * bar.count / top
        if bar.count:
            height = max(height, 1.5)  # one box among thousands is seen
        x, y = LEFT + place * step + gap / 2, TOP + PLOT_HEIGHT - height
        colour = "var(--ink-3)" if bar.muted else "var(--series-0)"
        parts.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{step - gap:.1f}" height="{height:.1f}" rx="1" '
            f'fill="{colour}"><title>{escape(bar.told)}: {bar.count:,}</title></rect>'
        )
    parts += [_text(LEFT + PLOT_WIDTH * tick.place, HEIGHT - 8, tick.text) for tick in ticks]
    return _svg(parts, label)


def heat_map(counts: Integers, label: str) -> str:
    """Draw how many there are in each cell of a square, (R, R) with rows from top to bottom."""
    side = 300.0 / len(counts)
    most = max(1, int(counts.max(initial=0)))
    parts = ['<rect x="0.5" y="0.5" width="299" height="299" fill="none" stroke="var(--line)"/>']
    for row, column in zip(*np.nonzero(counts), strict=True):
        count = int(counts[row, column])
        # the square root lets few be seen beside many
        opacity = 0.12 + 0.88 * math.sqrt(count / most)
        parts.append(
            f'<rect x="{column * side:.2f}" y="{row * side:.2f}" width="{side:.2f}" '
            f'height="{side:.2f}" fill="var(--series-0)" fill-opacity="{opacity:.2f}">'
            f"<title>{count:,}</title></rect>"
        )
    return _svg(parts, label, width=300, height=300, kind="square")


def dots(points: Sequence[tuple[float, float, int]], label: str) -> str:
    """Draw (x, y, how many) as circles whose area is the number, both axes from 0 and alike."""
    most = max((count for _, _, count in points), default=1)
    right = nice_ceiling(max((x for x, _, _ in points), default=1.0))
    top = nice_ceiling(max((y for _, y, _ in points), default=1.0))
    parts = _levels(top)
    for x, y, count in sorted(points, key=lambda point: -point[2]):
        radius = 3 + 9 * math.sqrt(count / most)
        place = (LEFT + PLOT_WIDTH * x / right, TOP + PLOT_HEIGHT * (1 - y / top))
        parts.append(
            f'<circle cx="{place[0]:.1f}" cy="{place[1]:.1f}" r="{radius:.1f}" '
            'fill="var(--series-0)" fill-opacity="0.45" stroke="var(--series-0)">'
            f"<title>{x:,.0f} x {y:,.0f}: {count:,}</title></circle>"
        )
    for share in (0.0, 0.5, 1.0):
        parts.append(_text(LEFT + PLOT_WIDTH * share, HEIGHT - 8, format_tick(right * share)))
    return _svg(parts, label)


def nice_ceiling(value: float) -> float:
    """Return the smallest of 1, 2, 3, 4, 5, 6, 8, 10, 20 ... that is no smaller."""
    if value <= 1:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(
        step * power for step in (1, 2, 3, 4, 5, 6, 8, 10) if value <= step * power * (1 + 1e-9)
    )


def log_bins(values: Floats, low: float, high: float, count: int) -> Integers:
    """Count values in bins of equal width on a logarithmic scale; what lies beyond is at the ends."""
    usable = values[np.isfinite(values) & (values > 0)]
    places = (np.log(usable) - math.log(low)) / (math.log(high) - math.log(low)) * count
    cells = np.clip(np.floor(places), 0, count - 1).astype(np.int64)
    return np.bincount(cells, minlength=count).astype(np.int64)


def log_place(value: float, low: float, high: float) -> float:
    """Return where a value stands on a logarithmic axis, from 0 to 1."""
    return math.log(value / low) / math.log(high / low)


def _levels(top: float) -> list[str]:
    """Draw the lines of the left axis: nothing, half and all."""
    parts = []
    for share in (0.0, 0.5, 1.0):
        y = TOP + PLOT_HEIGHT * (1 - share)
        parts.append(
            f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" '
            'stroke="var(--line)" stroke-width="0.8"/>'
        )
        if share < 1 or top * share == round(top * share):
            parts.append(_text(LEFT - 8, y + 4, format_tick(top * share), anchor="end"))
    return parts


def _text(x: float, y: float, text: str, *, anchor: str = "middle") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="var(--ink-3)" '
        f'font-size="{FONT_PX}">{escape(text)}</text>'
    )


def _svg(
    parts: Sequence[str],
    label: str,
    *,
    width: int = WIDTH,
    height: int = HEIGHT,
    kind: str = "small",
) -> str:
    return (
        f'<svg class="{kind}" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="{escape(label, quote=True)}">{"".join(parts)}</svg>'
    )
