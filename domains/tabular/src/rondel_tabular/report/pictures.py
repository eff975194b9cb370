"""The pictures of numbers and of the table, as PNG.

Shapes: N rows, K columns, G values that a column is set to, O outputs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rondel.report.figure import (
    FONT_SIZE_PX,
    INK,
    INK_2,
    INK_3,
    LINE,
    PAPER,
    POLES,
    SERIES,
    WIDTH,
    add_axes,
    add_legend,
    colours,
    dress,
    label_of,
    margin_of,
    new_figure,
    shorten_ticks,
    to_png,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from rondel_tabular.report.importance import Dependence

Floats = NDArray[Any]
MOST_POINTS = 4000


def truth_png(true: Floats, point: Floats, name: str) -> bytes:
    """Draw true over predicted numbers, and what is left over both.

    Args:
        true: (N,) in the unit of the target.
        point: (N,) likewise.
        name: Of the target.
    """
    figure, step = new_figure(WIDTH, 400), max(1, len(true) // MOST_POINTS)
    true, point = true[::step], point[::step]
    look: dict[str, Any] = {"s": 7, "color": SERIES[0], "alpha": 0.35, "linewidths": 0}
    truth, rest = add_axes(figure, 84, 44, 300, 300), add_axes(figure, 500, 44, 520, 300)
    ends = [min(true.min(), point.min()), max(true.max(), point.max())]
    dashed: dict[str, Any] = {"color": INK_3, "linewidth": 1, "linestyle": (0, (4, 3)), "zorder": 3}
    truth.plot(ends, ends, **dashed)
    truth.scatter(point, true, **look)
    dress(truth, "True over predicted", x=f"predicted {name}", y=f"true {name}")
    rest.axhline(0, **dashed)
    rest.scatter(point, true - point, **look)
    dress(rest, "Residuals over predicted", x=f"predicted {name}", y="true - predicted")
    for axes in (truth, rest):
        shorten_ticks(axes.xaxis)
        shorten_ticks(axes.yaxis)
    return to_png(figure)


def residuals_png(residuals: Floats) -> bytes:
    """Draw how residuals (N,) are spread; the farthest hundredth is gathered at the ends."""
    figure = new_figure(WIDTH, 300)
    axes = add_axes(figure, 84, 44, 936, 200)
    low, high = np.quantile(residuals, [0.005, 0.995])
    axes.hist(np.clip(residuals, low, high), bins=60, color=SERIES[0])
    axes.axvline(0, color=INK_3, linewidth=1, linestyle=(0, (4, 3)))
    dress(axes, "Residuals", x="true - predicted", y="rows")
    shorten_ticks(axes.xaxis, 10)
    shorten_ticks(axes.yaxis, 5)
    return to_png(figure)


def histogram_png(parts: Mapping[str, Floats], name: str) -> bytes:
    """Draw how a number is spread in parts of the table, the farthest cells gathered at both ends.

    Args:
        parts: Values in the unit of the target, by name of the part.
        name: Of the target.
    """
    figure = new_figure(WIDTH, 300)
    axes = add_axes(figure, 64, 44, 956, 200)
    low, high = np.quantile(np.concatenate(list(parts.values())), [0.002, 0.998])
    for place, (part, values) in enumerate(parts.items()):
        axes.hist(
            np.clip(values, low, high), bins=60, range=(low, high), density=True, color=SERIES[place],
            histtype="stepfilled" if place == 0 else "step", linewidth=1.6,
            alpha=0.45 if place == 0 else 1.0, label=part,
        )  # fmt: skip
    dress(axes, f"{name}: density", x=name)
    axes.set_yticks([])
    shorten_ticks(axes.xaxis, 10)
    add_legend(axes)
    return to_png(figure)


def bars_png(
    names: Sequence[str],
    values: Floats,
    title: str,
    *,
    deviations: Floats | None = None,
    x: str = "",
) -> bytes:
    """Draw one bar for each name, from top to bottom.

    Args:
        names: K of them.
        values: (K,) lengths.
        title: Of the picture.
        deviations: (K,) drawn as whiskers.
        x: Name of the axis.
    """
    shown = [label_of(name) for name in names]
    figure = new_figure(WIDTH, 94 + 22 * len(shown))
    margin = margin_of(shown)
    axes = add_axes(figure, margin, 44, WIDTH - margin - 60, 22 * len(shown))
    places = np.arange(len(shown))
    axes.barh(places, values, height=0.62, color=SERIES[0])
    if deviations is not None:
        axes.errorbar(values, places, xerr=deviations, fmt="none", ecolor=INK_2, elinewidth=1.2)
    axes.axvline(0, color=INK_3, linewidth=0.8)
    axes.set_yticks(places, shown)
    axes.set_ylim(len(shown) - 0.4, -0.6)
    dress(axes, title, x=x, grid="x")
    shorten_ticks(axes.xaxis, 8)
    return to_png(figure)


def correlation_png(matrix: Floats, names: Sequence[str]) -> bytes:
    """Draw correlations between -1 and 1.

    Args:
        matrix: (K, K).
        names: K of them.
    """
    shown = [label_of(name) for name in names]
    size, margin = len(shown), margin_of(shown)
    cell = max(22, min(52, 600 // size))
    figure = new_figure(WIDTH, int(cell * size + margin + 60))
    axes = add_axes(figure, margin, 44, cell * size, cell * size)
    axes.imshow(matrix, cmap=colours(POLES), vmin=-1, vmax=1)
    axes.set_xticks(range(size), shown, rotation=90)
    axes.set_yticks(range(size), shown)
    axes.spines["bottom"].set_visible(False)
    dress(axes, "Rank correlation", grid=None)
    for row, column in zip(*np.nonzero(np.isfinite(matrix)), strict=True):
        value = matrix[row, column]
        axes.text(
            column, row, correlation_text(value), ha="center", va="center",
            fontsize=FONT_SIZE_PX - 2 if cell > 30 else 7.5,
            color=PAPER if abs(value) > 0.6 else INK,
        )  # fmt: skip
    lines = np.arange(size + 1) - 0.5
    axes.hlines(lines, -0.5, size - 0.5, color=LINE, linewidth=0.5)
    axes.vlines(lines, -0.5, size - 0.5, color=LINE, linewidth=0.5)
    return to_png(figure)


def correlation_text(value: float) -> str:
    """Write a correlation with two digits and nothing before the point."""
    return f"{value:.2f}".replace("0.", ".").replace("-.00", ".00")


def dependence_png(found: Sequence[Dependence], place: int, names: Sequence[str]) -> bytes:
    """Draw what is said on the average over the value that a column is set to, column by column.

    Args:
        found: At most four columns.
        place: Of the target.
        names: Of its outputs; those without a name are not drawn.
    """
    lines = (len(found) + 1) // 2
    figure = new_figure(WIDTH, 40 + 290 * lines)
    drawn = [output for output, name in enumerate(names) if name]
    shown = np.concatenate(
        [one.bases[place][drawn] for one in found]
        + [one.means[place][:, drawn].ravel() for one in found]
    )
    margin = (float(shown.max() - shown.min()) or 1.0) * 0.08
    for number, one in enumerate(found):
        axes = add_axes(figure, 74 + 520 * (number % 2), 44 + 290 * (number // 2), 424, 190)
        axes.set_ylim(float(shown.min()) - margin, float(shown.max()) + margin)
        bar = len(drawn) == 1
        for slot, output in enumerate(drawn):
            base = one.bases[place][output] if bar else None
            look = {"color": SERIES[slot], "label": label_of(names[output])}
            _dependence(axes, one, one.means[place][:, output], base, look)
        dress(axes, one.column.name)
        shorten_ticks(axes.yaxis)
        if number == 0 and not bar:
            add_legend(axes)
    return to_png(figure)


def _dependence(
    axes: Axes, one: Dependence, means: Floats, base: float | None, look: dict[str, Any]
) -> None:
    """Draw a line over numbers and dates; dots over levels, as bars from what is said anyway."""
    if base is not None:
        axes.axhline(base, color=look["color"], linewidth=1, linestyle=(0, (4, 3)), alpha=0.6)
    if one.column.kind in ("number", "datetime"):
        axes.plot(one.grid, means, "o-", linewidth=1.8, markersize=3, **look)
        if one.column.kind == "number":
            shorten_ticks(axes.xaxis)
        else:
            span = one.grid[-1] - one.grid[0]
            ticks = one.grid[0] + span * np.arange(4) // 3
            length = 10 if span > np.timedelta64(4, "D") else 13  # up to the day, or the hour
            axes.set_xticks(ticks, [str(tick)[:length] for tick in ticks])
        return
    places = np.arange(len(one.grid))
    axes.plot(places, means, "o", markersize=7, **look)
    if base is not None:
        axes.vlines(places, base, means, color=look["color"], linewidth=3)
    longest = 12 if len(one.grid) > 4 else 20
    shown = [label_of(level, longest) for level in one.grid]
    axes.set_xticks(
        places,
        shown,
        rotation=30 if len(shown) > 4 else 0,
        ha="right" if len(shown) > 4 else "center",
    )
    axes.set_xlim(-0.6, len(shown) - 0.4)
