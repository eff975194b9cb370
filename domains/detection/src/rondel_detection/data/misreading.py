"""Boxes whose four numbers mean something else than the reader took them for.

A single box can't show that, a whole file can: if many boxes reach far beyond their images, and
nearly none would under another reading of the same four numbers, that reading is what was meant.
Letters: N boxes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from rondel_detection.data.defects import Defect, defect
from rondel_detection.data.repair import border, sides
from rondel_detection.data.table import Annotations, Flags, Floats, Integers

FEWEST = 5
"""Impossible boxes below which nothing is concluded."""
SUSPICIOUS_SHARE = 0.05
"""Share of impossible boxes above which other readings are tried."""
IMPROVEMENT = 5.0
"""A reading must leave this many times fewer impossible boxes to be believed."""
FAR = 0.05
"""Share of a side of the image; what reaches less far beyond it was drawn a little carelessly."""
OWN_GROUP = 50
"""Boxes of a label file from which on it is judged by itself."""
PERCENT_BOXES, PERCENT_SIDE = 30, 200
EXAMPLES = 3


class Reading(NamedTuple):
    """What four numbers might have meant.

    Args:
        told: What the numbers are, and what they were taken for.
        boxes: Turns boxes as they were read, (N, 4), and sizes of images, (N, 2), into the boxes
            that were meant, (N, 4).
    """

    told: str
    boxes: Callable[[Floats, Floats], Floats]


def _columns(*columns: Floats) -> Floats:
    return np.stack(columns, axis=1)


def _moved(xyxy: Floats, share: float) -> Floats:
    """Move boxes by a share of their own size."""
    offset = share * sides(xyxy)
    moved: Floats = xyxy + np.concatenate([offset, offset], axis=1)
    return moved


READINGS = (
    Reading(
        "corners x1 y1 x2 y2, but were read as x y width height",
        lambda b, _: _columns(b[:, 0], b[:, 1], b[:, 2] - b[:, 0], b[:, 3] - b[:, 1]),
    ),
    Reading(
        "x y width height, but were read as corners x1 y1 x2 y2",
        lambda b, _: _columns(b[:, 0], b[:, 1], b[:, 0] + b[:, 2], b[:, 1] + b[:, 3]),
    ),
    Reading(
        "centre x y width height, but the centre was read as the upper left corner",
        lambda b, _: _moved(b, -0.5),
    ),
    Reading(
        "x y width height, but the upper left corner was read as the centre",
        lambda b, _: _moved(b, 0.5),
    ),
    Reading(
        "centre x y width height, but were read as corners x1 y1 x2 y2",
        lambda b, _: np.concatenate([b[:, :2] - b[:, 2:] / 2, b[:, :2] + b[:, 2:] / 2], axis=1),
    ),
    Reading("y before x, but were read as x before y", lambda b, _: b[:, [1, 0, 3, 2]]),
    Reading(
        "percent of the image, but were read as shares of it",
        lambda b, _: b / 100.0,
    ),
    Reading(
        "pixels, but were read as shares of the image",
        lambda b, size: b / np.concatenate([size, size], axis=1),
    ),
)
"""Readings in the order in which they are preferred."""


def misreadings(annotations: Annotations) -> list[Defect]:
    """Return one defect for each label file, or group of small ones, that was misunderstood."""
    size = border(annotations)
    usable = np.isfinite(annotations.boxes.xyxy).all(axis=1)
    found = []
    for rows in _groups(annotations, np.asarray(usable, dtype=bool)):
        for judge in (_as_shares, _as_percent, _other_reading):
            told = judge(annotations, rows, size[rows])
            if told is not None:
                found.append(told)
                break
    return found


def _groups(annotations: Annotations, usable: Flags) -> Iterator[Integers]:
    """Yield the rows of each large label file, and those of all small ones together."""
    origin = annotations.boxes.origin
    files, counts = np.unique(origin, return_counts=True)
    large = files[counts >= OWN_GROUP]
    for file in large:
        yield np.flatnonzero(usable & (origin == file))
    rest = np.flatnonzero(usable & ~np.isin(origin, large))
    if len(rest):
        yield rest


def impossible(xyxy: Floats, size: Floats) -> Flags:
    """Tell which boxes have no area or reach far beyond their image, (N,)."""
    inverted = (xyxy[:, 2:] <= xyxy[:, :2]).any(axis=1)
    beyond = np.maximum(-xyxy[:, :2], xyxy[:, 2:] - size) > FAR * size
    return np.asarray(inverted | beyond.any(axis=1), dtype=bool)


def _other_reading(annotations: Annotations, rows: Integers, size: Floats) -> Defect | None:
    known = np.isfinite(size).all(axis=1)
    rows, size = rows[known], size[known]
    xyxy = annotations.boxes.xyxy[rows]
    wrong = impossible(xyxy, size)
    share = float(wrong.mean()) if len(rows) else 0.0
    if wrong.sum() < FEWEST or share <= SUSPICIOUS_SHARE:
        return None
    remaining = [impossible(reading.boxes(xyxy, size), size) for reading in READINGS]
    best = int(np.argmin([flags.mean() for flags in remaining]))
    left = float(remaining[best].mean())
    if left * IMPROVEMENT > share:
        return None
    evidence = rows[wrong & ~remaining[best]]
    reason = (
        f"{share:.1%} of {len(rows):,} boxes have no area or reach far beyond their image; the "
        f"numbers look like {READINGS[best].told}: then it would be {left:.1%}"
    )
    return _told(annotations, evidence, reason)


def _as_shares(annotations: Annotations, rows: Integers, size: Floats) -> Defect | None:
    """Shares of the image that were read as pixels: everything lies in its first pixel."""
    xyxy = annotations.boxes.xyxy[rows]
    within = ((xyxy >= 0.0) & (xyxy <= 1.0)).all(axis=1) & (size > 2.0).all(axis=1)
    if within.sum() < FEWEST or within.mean() <= SUSPICIOUS_SHARE:
        return None
    reason = (
        f"{within.mean():.1%} of {len(rows):,} boxes lie within the first pixel of their image; the "
        "numbers look like shares of the image from 0 to 1, but were read as pixels"
    )
    return _told(annotations, rows[within], reason)


def _as_percent(annotations: Annotations, rows: Integers, size: Floats) -> Defect | None:
    """Percent of the image that were read as pixels: nothing lies beyond 100."""
    large = np.isfinite(size).all(axis=1) & (size >= PERCENT_SIDE).all(axis=1)
    rows = rows[large]
    xyxy = annotations.boxes.xyxy[rows]
    if len(rows) < PERCENT_BOXES or not 50.0 < xyxy.max() <= 100.0 or xyxy.min() < 0.0:
        return None
    reason = (
        f"none of {len(rows):,} boxes reaches beyond the first 100 pixels of its image, all of "
        f"which are at least {PERCENT_SIDE} pixels wide and high; the numbers look like percent of "
        "the image, but were read as pixels"
    )
    return _told(annotations, rows, reason)


def _told(annotations: Annotations, rows: Integers, reason: str) -> Defect:
    first = "; ".join(annotations.box_place(int(row)) for row in rows[:EXAMPLES])
    images = np.unique(annotations.boxes.image[rows])
    return defect(
        "wrong_format", f"{reason} (first: {first})", images=images.tolist(), boxes=rows.tolist()
    )
