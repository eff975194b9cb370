"""Overlap of boxes that stand in the same cell, computed for all cells at once.

Intersection over union in the order of operations that COCO uses, so that the bits are the same. A
crowd is different: what counts is how much of the detection lies in it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from rondel_detection.data.table import Flags, Floats, Integers

BLOCK = 1 << 18
"""Pairs looked at in one go: memory does not grow with the data, and a block stays in the cache."""


@dataclass(frozen=True, eq=False)
class Overlaps:
    """Pairs of a left and a right box, ordered by left row, then right row; P rows."""

    left: Integers  # (P,)
    right: Integers  # (P,)
    iou: Floats  # (P,)


@dataclass(frozen=True, eq=False)
class Edges:
    """Boxes by their edges; N rows."""

    x1: Floats
    y1: Floats
    x2: Floats
    y2: Floats
    area: Floats

    @classmethod
    def of(cls, xywh: Floats) -> Edges:
        """Turn (N, 4) corners and sizes into edges."""
        x, y, width, height = np.ascontiguousarray(xywh.T)
        return cls(x, y, width + x, height + y, width * height)


def overlaps(
    left: Floats,
    left_cell: Integers,
    right: Floats,
    right_cell: Integers,
    *,
    crowd: Flags,
    lowest: float,
) -> Overlaps:
    """Return all pairs of one cell that overlap by at least ``lowest``, which is above 0.

    Args:
        left: (D, 4) xywh of detections.
        left_cell: (D,) cells.
        right: (G, 4) xywh of objects.
        right_cell: (G,) cells, ascending.
        crowd: (G,) objects that are crowds.
        lowest: Pairs below are left out.
    """
    first = np.searchsorted(right_cell, left_cell, side="left")
    count = np.searchsorted(right_cell, left_cell, side="right") - first
    rows = np.flatnonzero(count)
    first, count = first[rows], count[rows]
    one, two = Edges.of(left[rows]), Edges.of(right)
    none = np.zeros(0, dtype=np.int64)
    parts = [Overlaps(none, none, np.zeros(0))]
    for block in blocks(count):
        pairs = all_pairs(block, first[block], count[block])
        parts.append(near_pairs(one, two, *pairs, crowd=crowd, lowest=lowest))
    return Overlaps(
        rows[np.concatenate([part.left for part in parts])],
        np.concatenate([part.right for part in parts]),
        np.concatenate([part.iou for part in parts]),
    )


def blocks(count: Integers) -> Iterator[slice]:
    """Cut rows into stretches of about `BLOCK` pairs."""
    ends = np.cumsum(count)
    start = 0
    while start < len(count):
        done = ends[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, done + BLOCK)))
        yield slice(start, stop)
        start = stop


def all_pairs(rows: slice, first: Integers, count: Integers) -> tuple[Integers, Integers]:
    """Return each left row beside each of its ``count`` right rows from ``first`` on."""
    left = np.repeat(np.arange(rows.start, rows.start + len(count)), count)
    right = np.arange(len(left)) + np.repeat(first - (np.cumsum(count) - count), count)
    return left, right


def near_pairs(
    one: Edges, two: Edges, left: Integers, right: Integers, *, crowd: Flags, lowest: float
) -> Overlaps:
    """Return the pairs that overlap enough."""
    # most pairs are apart: each edge is looked at for those alone that the one before left over
    width = np.minimum(one.x2[left], two.x2[right]) - np.maximum(one.x1[left], two.x1[right])
    near = np.flatnonzero(width > 0)
    left, right, width = left[near], right[near], width[near]
    height = np.minimum(one.y2[left], two.y2[right]) - np.maximum(one.y1[left], two.y1[right])
    near = np.flatnonzero(height > 0)
    left, right = left[near], right[near]
    shared = width[near] * height[near]
    area = one.area[left]
    union = np.where(crowd[right], area, area + two.area[right] - shared)
    with np.errstate(divide="ignore", invalid="ignore"):  # areas below the smallest number
        iou = shared / union
    near = np.flatnonzero(iou >= lowest)
    return Overlaps(left[near], right[near], iou[near])
