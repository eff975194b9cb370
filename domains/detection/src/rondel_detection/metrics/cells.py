"""The order in which COCO counts detections, and the pairs of boxes that can be a match.

A cell is one class of one image: matches happen inside of it alone. A *place* is the position of a
detection in the order by (class, falling score, image, row); everything later speaks of places.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from rondel_detection.data.table import Flags, Floats, Integers
from rondel_detection.metrics.columns import Detections, GroundTruth
from rondel_detection.metrics.overlap import Overlaps, overlaps


@dataclass(frozen=True, eq=False)
class Ranking:
    """The detections that count, by place."""

    row: Integers  # (D,) row in the detections
    label: Integers  # (D,) class, ascending
    rank: Integers  # (D,) position in the cell, the best score is 0
    first: Integers  # (K + 1,) place at which each class starts
    cell_order: Integers  # (D,) places by (image, class, rank)
    cell: Integers  # (D,) image * K + class, ascending: the cells in that order


@dataclass(frozen=True, eq=False)
class Pairs:
    """Pairs of one cell that overlap enough, by (cell, rank), best overlap first; P rows."""

    place: Integers  # (P,) of the detection
    truth: Integers  # (P,) row in the ground truth
    overlap: Floats  # (P,)
    cell: Integers  # (P,)


def rank_detections(
    found: Detections, *, classes: int, images: int, limit: int, class_agnostic: bool
) -> Ranking:
    """Sort detections as COCO does and keep the ``limit`` best of each cell.

    Args:
        found: The detections.
        classes: Number of classes; 1 if they do not matter.
        images: Number of images.
        limit: Detections of a cell that count.
        class_agnostic: Whether classes do not matter.
    """
    label = np.zeros_like(found.label) if class_agnostic else found.label
    before = input_order(found, images=images, class_agnostic=class_agnostic)
    order = before[descending(found.score[before])]
    order = order[stable_order(label[order], classes)]
    by_cell = stable_order(found.image[order], images)
    cell = (found.image * classes + label)[order[by_cell]]
    rank = position_in_run(cell)
    ranks = np.empty_like(rank)
    ranks[by_cell] = rank
    kept, chosen = ranks < limit, rank < limit
    if not kept.all():
        place = np.cumsum(kept) - 1
        by_cell, cell = place[by_cell[chosen]], cell[chosen]
        order, ranks = order[kept], ranks[kept]
    labels = label[order]
    first = np.searchsorted(labels, np.arange(classes + 1))
    return Ranking(order, labels, ranks, first, by_cell, cell)


def input_order(found: Detections, *, images: int, class_agnostic: bool) -> Integers:
    """Return the order that decides ties: by image, then row.

    Where classes do not matter, COCO still reads an image class by class.
    """
    order = np.arange(len(found))
    if class_agnostic:
        order = stable_order(found.label, int(found.label.max(initial=0)) + 1)
    if (np.diff(found.image[order]) >= 0).all():
        return order
    return order[stable_order(found.image[order], images)]


def descending(scores: Floats) -> Integers:
    """Return the stable order of falling scores.

    The fast unstable sort, and then the runs of equal scores put right: a quarter of the time of
    the stable one.
    """
    keys = -scores
    order = np.argsort(keys)
    ordered = keys[order]
    same = ordered[1:] == ordered[:-1]
    tied = np.flatnonzero(np.append(same, False) | np.append(False, same))
    if len(tied) * 4 > len(order):
        return np.argsort(keys, kind="stable")
    rows = order[tied]
    order[tied] = rows[np.lexsort((rows, ordered[tied]))]
    return order


def stable_order(values: Integers, bound: int) -> Integers:
    """Return the stable order of whole numbers in 0..bound-1.

    numpy sorts 16 bits by radix, which is many times faster than comparing: digit by digit, the
    lowest first.
    """
    order = np.argsort(values.astype(np.uint16), kind="stable")
    for shift in range(16, max(int(bound) - 1, 0).bit_length(), 16):
        digit = (values >> shift).astype(np.uint16)
        order = order[np.argsort(digit[order], kind="stable")]
    return order


def position_in_run(values: Integers) -> Integers:
    """Return how many equal neighbours stand before each value."""
    starts = run_starts(values)
    lengths = np.diff(np.append(starts, len(values)))
    return np.arange(len(values)) - np.repeat(starts, lengths)


def run_starts(values: Integers) -> Integers:
    """Return where runs of equal neighbours start."""
    if not len(values):
        return np.zeros(0, dtype=np.int64)
    return np.append(0, np.flatnonzero(values[1:] != values[:-1]) + 1)


OverlapsOf = Callable[[Integers, Integers, Integers, Integers, float], Overlaps]
"""Overlaps of detections and objects: rows and cells of both, and the least overlap kept."""


def box_overlaps(truth: GroundTruth, found: Detections) -> OverlapsOf:
    """Return the function that overlaps boxes."""

    def compute(
        left: Integers,
        left_cell: Integers,
        right: Integers,
        right_cell: Integers,
        lowest: float,
    ) -> Overlaps:
        boxes, objects, crowd = found.xywh[left], truth.xywh[right], truth.crowd[right]
        return overlaps(boxes, left_cell, objects, right_cell, crowd=crowd, lowest=lowest)

    return compute


def overlapping_pairs(
    truth: GroundTruth, ranking: Ranking, compute: OverlapsOf, *, label: Integers, lowest: float
) -> Pairs:
    """Return the pairs of each cell whose overlap is at least ``lowest``.

    Args:
        truth: What is there.
        ranking: The detections that count.
        compute: How overlaps are computed.
        label: (G,) classes of the objects, or zeros if those do not matter.
        lowest: Pairs below are left out.
    """
    order = truth_order(truth)
    cells = (truth.image * (len(ranking.first) - 1) + label)[order]
    # most cells have no object at all: their detections are not looked at any more
    near = np.flatnonzero(is_among(ranking.cell, cells))
    places, cell = ranking.cell_order[near], ranking.cell[near]
    pairs = compute(ranking.row[places], cell, order, cells, lowest)
    best = best_first(pairs)
    return Pairs(places[pairs.left], order[pairs.right[best]], pairs.iou[best], cell[pairs.left])


def is_among(values: Integers, known: Integers) -> Flags:
    """Tell which of the ascending values are among the ascending known ones."""
    starts = run_starts(values)
    sizes = np.diff(np.append(starts, len(values)))
    at = np.searchsorted(known, values[starts])
    return np.repeat(np.append(known, -1)[at] == values[starts], sizes)


def truth_order(truth: GroundTruth) -> Integers:
    """Return the order by image, class, row: the one in which COCO reads objects."""
    order = stable_order(truth.label, int(truth.label.max(initial=0)) + 1)
    return order[stable_order(truth.image[order], int(truth.image.max(initial=0)) + 1)]


def best_first(pairs: Overlaps) -> Integers:
    """Return the order in which a detection chooses: best overlap first, of equal ones the last."""
    order = np.arange(len(pairs.left))
    starts = run_starts(pairs.left)
    lengths = np.diff(np.append(starts, len(order)))
    several = np.flatnonzero(np.repeat(lengths > 1, lengths))
    choice = np.lexsort((-pairs.right[several], -pairs.iou[several], pairs.left[several]))
    order[several] = several[choice]
    return order
