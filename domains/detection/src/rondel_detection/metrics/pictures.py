"""Pictures of an evaluation for the run report: curves, confusion and error types, as PNG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from rondel.report.figure import (
    BLUES,
    INK,
    INK_2,
    INK_3,
    LINE,
    PAPER,
    SERIES,
    add_axes,
    add_legend_beside,
    colours,
    dress,
    label_of,
    new_figure,
    to_png,
)
from rondel_detection.data.table import Floats, Integers
from rondel_detection.metrics.confusion import Confusion
from rondel_detection.metrics.curves import Curves
from rondel_detection.metrics.error_types import Errors, ErrorType

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SHOWN_IOUS = (0.5, 0.6, 0.7, 0.8, 0.9)
FEW_CLASSES = len(SERIES)
"""So many classes have a colour each; of more, the best and the worst are named."""
NAMED_OF_MANY = 4
LARGE_CELLS = 6
"""Up to so many rows the cells of a confusion matrix are large."""
DRAWN_CLASSES = 100
NUMBERED_CLASSES = 20
"""Up to so many classes the cells of a confusion matrix have numbers in them."""
COMMON_CONFUSIONS = 14


def precision_recall_png(curves: Curves, names: Sequence[str]) -> bytes:
    """Draw precision over recall: the mean of the classes at several overlaps, and each class.

    Args:
        curves: The evaluation.
        names: The classes.
    """
    figure = new_figure(1072, 360)
    _mean_panel(add_axes(figure, 44, 44, 340, 268), curves)
    _class_panel(add_axes(figure, 568, 44, 340, 268), curves, names)
    return to_png(figure)


def _mean_panel(axes: Axes, curves: Curves) -> None:
    recall = np.array(curves.parameters.recall)
    known = [iou for iou in SHOWN_IOUS if curves.parameters.has_iou(iou)]
    for slot, iou in enumerate(known):
        shade = 1.0 - 0.75 * slot / max(1, len(known) - 1)
        _plot(
            axes, recall, curves.mean_curve(iou=iou), SERIES[0], alpha=shade,
            label=f"IoU {iou:g}    {_number(curves.average_precision(iou=iou))}",
        )  # fmt: skip
    mean = _number(curves.average_precision())
    _plot(axes, recall, curves.mean_curve(), INK, width=2.4, label=f"all IoUs   {mean}")
    _finish(axes, "Mean of the classes", "overlap       AP")


def _class_panel(axes: Axes, curves: Curves, names: Sequence[str]) -> None:
    iou = 0.5 if curves.parameters.has_iou(0.5) else curves.parameters.iou[0]
    recall, values = np.array(curves.parameters.recall), curves.class_precision(iou=iou)
    order = [int(row) for row in np.argsort(-values, kind="stable") if not math.isnan(values[row])]
    named = order
    if len(order) > FEW_CLASSES:
        named = [*order[:NAMED_OF_MANY], *order[-NAMED_OF_MANY:]]
        for label in order[NAMED_OF_MANY:-NAMED_OF_MANY]:
            _plot(axes, recall, curves.class_curve(label, iou=iou), INK_3, width=0.6, alpha=0.35)
    for slot, label in enumerate(named):
        text = f"{_number(values[label])}  {label_of(names[label])}"
        _plot(axes, recall, curves.class_curve(label, iou=iou), SERIES[slot], label=text)
    rest = len(order) - len(named)
    title = "AP       best and worst" if rest else "AP       class"
    count = f"{len(order)} classes" if rest else "Classes"
    _finish(axes, f"{count} at IoU {iou:g}", title)


def _plot(
    axes: Axes,
    recall: Floats,
    precision: Floats,
    colour: str,
    *,
    label: str = "_",
    width: float = 1.8,
    alpha: float = 1.0,
) -> None:
    axes.plot(
        recall, precision, color=colour, linewidth=width, alpha=alpha, label=label,
        drawstyle="steps-pre", solid_joinstyle="round", clip_on=False,
    )  # fmt: skip


def _finish(axes: Axes, title: str, legend: str) -> None:
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.02)
    dress(axes, f"{title}: precision over recall", x="recall")
    if axes.get_legend_handles_labels()[0]:
        add_legend_beside(axes, title=legend)
    else:
        axes.text(0.5, 0.5, "nothing to be found", color=INK_3, ha="center", fontsize=12)


def _number(value: float) -> str:
    return "none" if math.isnan(value) else f"{value:.3f}"


def confusion_png(confusion: Confusion, names: Sequence[str]) -> bytes:
    """Draw what was taken for what; beside many classes, a list of the commonest mistakes.

    Of more than a hundred classes those with the most mistakes are drawn, and the rest as one.

    Args:
        confusion: The counts.
        names: The classes.
    """
    few, shown = condensed(confusion, [label_of(name) for name in names])
    size = len(few.counts)
    numbered = size <= NUMBERED_CLASSES + 1
    cell = 64 if size <= LARGE_CELLS else 34 if numbered else 880 // size
    font = 11.5 if numbered else max(5.0, min(9.5, cell * 0.85))
    # about 0.62 of the height of a letter is its width
    margin = int(max(map(len, shown)) * font * 0.62) + 14
    side = cell * size
    beside = 330 if size > LARGE_CELLS else 0
    figure = new_figure(max(margin + side + 24 + beside, 420), side + margin + 62)
    axes = add_axes(figure, margin, 52, side, side)
    _matrix(axes, few, shown, font)
    if numbered:
        _cell_numbers(axes, few)
    if beside:
        _commonest(figure, confusion, names, left=margin + side + 36)
    return to_png(figure)


def condensed(confusion: Confusion, names: Sequence[str]) -> tuple[Confusion, list[str]]:
    """Return at most `DRAWN_CLASSES` classes with their names, and 'background' as the last one."""
    count = len(names)
    if count <= DRAWN_CLASSES:
        return confusion, [*names, "background"]
    wrong = confusion.counts * (1 - np.eye(count + 1, dtype=np.int64))
    mistakes = (wrong.sum(axis=0) + wrong.sum(axis=1))[:count]
    chosen = np.sort(np.argsort(-mistakes, kind="stable")[: DRAWN_CLASSES - 1])
    place = np.full(count + 1, len(chosen))
    place[chosen] = np.arange(len(chosen))
    place[count] = len(chosen) + 1
    counts = np.zeros((len(chosen) + 2, len(chosen) + 2), dtype=np.int64)
    np.add.at(counts, (place[:, None], place[None, :]), confusion.counts)
    shown = [*(names[row] for row in chosen), f"{count - len(chosen)} others", "background"]
    return replace(confusion, counts=counts), shown


def _matrix(axes: Axes, confusion: Confusion, shown: Sequence[str], font: float) -> None:
    size = len(confusion.counts)
    # the root lets shares of a hundredth be seen beside the diagonal
    axes.imshow(np.sqrt(_shares(confusion)), cmap=colours(BLUES), vmin=0.0, vmax=1.0)
    axes.set_xticks(range(size), shown, rotation=90, fontsize=font)
    axes.set_yticks(range(size), shown, fontsize=font)
    axes.tick_params(pad=3)
    lines = np.arange(size + 1) - 0.5
    axes.hlines(lines, -0.5, size - 0.5, color=LINE, linewidth=0.5)
    axes.vlines(lines, -0.5, size - 0.5, color=LINE, linewidth=0.5)
    # background is no class: a stronger line sets it apart
    axes.axhline(size - 1.5, color=INK_3, linewidth=1.0)
    axes.axvline(size - 1.5, color=INK_3, linewidth=1.0)
    axes.spines["bottom"].set_visible(False)
    title = f"True by predicted, score \N{GREATER-THAN OR EQUAL TO} {confusion.score:.2f}"
    dress(axes, title, grid=None)


def _shares(confusion: Confusion) -> Floats:
    """Return each count as a share of its row."""
    total = confusion.counts.sum(axis=1, keepdims=True)
    shares: Floats = confusion.counts / np.maximum(total, 1)
    return shares


def _cell_numbers(axes: Axes, confusion: Confusion) -> None:
    shares = _shares(confusion)
    large = len(confusion.counts) <= LARGE_CELLS
    for row, column in zip(*np.nonzero(confusion.counts), strict=True):
        count = int(confusion.counts[row, column])
        axes.text(
            column, row, f"{count:,}" if count < 10_000 or large else f"{count // 1000}k",
            ha="center", va="center", fontsize=13 if large else 9,
            color=PAPER if shares[row, column] > 0.25 else INK,
        )  # fmt: skip


def _commonest(figure: Figure, confusion: Confusion, names: Sequence[str], *, left: int) -> None:
    """List the commonest mistakes beside the matrix, those with background by themselves."""
    counts, none = confusion.counts.copy(), len(names)
    np.fill_diagonal(counts, 0)
    inner, missed, false = counts.copy(), np.zeros_like(counts), np.zeros_like(counts)
    inner[none], inner[:, none] = 0, 0
    missed[:, none], false[none] = counts[:, none], counts[none]
    across, down = figure.get_size_inches() * 72
    room = max(3, int((down - 70) / 3 / 17) - 2)

    def write(text: str, x: int, y: int, **look: Any) -> None:
        figure.text(x / across, 1 - y / down, text, va="top", **look)

    y = 52
    for title, table, pattern in (
        ("Most often confused", inner, "{true} as {predicted}"),
        ("Most often missed", missed, "{true}"),
        ("Most often seen in nothing", false, "{predicted}"),
    ):
        write(title, left, y, fontsize=12, color=INK, fontweight="bold")
        y += 22
        for row in _largest(table, min(COMMON_CONFUSIONS, room)):
            true, predicted = (label_of([*names, ""][label]) for label in divmod(row, len(counts)))
            text = pattern.format(true=true, predicted=predicted)
            write(f"{table.flat[row]:,}", left + 40, y, fontsize=11, color=INK_2, ha="right")
            write(text, left + 50, y, fontsize=11, color=INK_2)
            y += 17
        y += 14


def _largest(table: Integers, count: int) -> list[int]:
    order = np.argsort(-table, axis=None, kind="stable")[:count]
    return [int(row) for row in order if table.flat[row] > 0]


WORDS = {
    ErrorType.CLASSIFICATION: ("wrong class", "detections"),
    ErrorType.LOCALISATION: ("badly placed", "detections"),
    ErrorType.BOTH: ("both", "detections"),
    ErrorType.DUPLICATE: ("duplicate", "detections"),
    ErrorType.BACKGROUND: ("background", "detections"),
    ErrorType.MISSED: ("missed", "objects"),
}
"""What error types are called in a picture, and what they are counted in."""


def error_types_png(errors: Errors) -> bytes:
    """Draw what each kind of mistake costs, and below what all false detections and misses do."""
    figure = new_figure(760, 330)
    axes = add_axes(figure, 112, 44, 430, 250)
    rows = [
        (WORDS[kind][0], errors.cost[kind], f"{errors.counts[kind]:,} {WORDS[kind][1]}", slot)
        for slot, kind in enumerate(WORDS)
    ]
    rows += [
        ("all false", errors.false_cost, "all false detections gone", 7),
        ("all missed", errors.missed_cost, "all objects found", 7),
    ]
    places = [*range(len(WORDS)), len(WORDS) + 0.5, len(WORDS) + 1.5]
    widest = max(0.01, *(cost for _, cost, _, _ in rows))
    for place, (_, cost, note, slot) in zip(places, rows, strict=True):
        axes.barh(place, cost, height=0.62, color=SERIES[slot], alpha=0.55 if slot == 7 else 1.0)
        axes.text(
            cost + widest * 0.015, place, f"{100 * cost:.1f}", color=INK, fontsize=11.5, va="center"
        )
        axes.text(widest * 1.12, place, note, color=INK_3, fontsize=11, va="center")
    axes.set_yticks(places, [name for name, _, _, _ in rows])
    axes.tick_params(axis="y", colors=INK_2)
    axes.set_ylim(places[-1] + 0.6, -0.6)
    axes.set_xlim(0, widest * 1.1)
    axes.xaxis.set_major_formatter(lambda value, _: f"{100 * value:g}")
    title = f"What mistakes cost: AP at IoU {errors.iou:g} is {_number(errors.average_precision)}"
    dress(axes, title, x="points of AP lost", grid="x")
    return to_png(figure)
