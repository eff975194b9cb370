"""What is asked of an evaluation: overlaps, recalls, sizes of objects, detections that count.

Letters of the whole package: T overlap thresholds, R recall thresholds, K classes, A ranges of
area, M limits of detections. The defaults are those of COCO's box evaluation (Lin et al., 2014).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from rondel.errors import UsageError
from rondel_detection.data.table import Floats

LANES = 64
"""Overlap thresholds that fit into one word of the matching."""
STRICTEST = 1 - 1e-10
"""An overlap this close to 1 passes a threshold of 1, as in COCO."""


@dataclass(frozen=True)
class AreaRange:
    """Objects whose area lies between two bounds, both included, in square pixels."""

    name: str
    low: float
    high: float


COCO_AREAS = (
    AreaRange("all", 0.0, 1e5**2),
    AreaRange("small", 0.0, 32.0**2),
    AreaRange("medium", 32.0**2, 96.0**2),
    AreaRange("large", 96.0**2, 1e5**2),
)


def steps(first: float, last: float, count: int) -> tuple[float, ...]:
    """Return evenly spaced thresholds; a sum of steps would miss them by a rounding error."""
    return tuple(np.linspace(first, last, count).tolist())


@dataclass(frozen=True)
class Parameters:
    """The parameters of an evaluation.

    Args:
        iou: Overlaps from which a detection counts as a hit, ascending, above 0 up to 1.
        recall: Recalls at which precision is read, ascending.
        areas: Ranges of area; the first one is that of all objects.
        max_detections: How many of an image and class count, ascending; the last is the headline.
        class_agnostic: Whether labels are ignored, as for proposals.

    Raises:
        UsageError: A value is out of range or out of order.
    """

    iou: tuple[float, ...] = steps(0.5, 0.95, 10)
    recall: tuple[float, ...] = steps(0.0, 1.0, 101)
    areas: tuple[AreaRange, ...] = COCO_AREAS
    max_detections: tuple[int, ...] = (1, 10, 100)
    class_agnostic: bool = False

    def __post_init__(self) -> None:
        check_ascending("iou", self.iou)
        check_ascending("recall", self.recall)
        check_ascending("max_detections", self.max_detections)
        if not 0 < self.iou[0] <= self.iou[-1] <= 1:
            raise UsageError(f"iou thresholds {self.iou!r} are not all above 0 and up to 1")
        if len(self.iou) > LANES:
            raise UsageError(f"{len(self.iou)} iou thresholds are more than {LANES}")
        if self.max_detections[0] < 1:
            raise UsageError(f"max_detections {self.max_detections!r} has a limit below 1")
        if not self.areas:
            raise UsageError("an evaluation needs at least one range of areas")

    def needed_overlaps(self) -> Floats:
        """Return (T,) the overlaps a match needs."""
        needed: Floats = np.minimum(np.array(self.iou), STRICTEST)
        return needed

    def has_iou(self, iou: float) -> bool:
        """Tell whether an overlap is among the thresholds."""
        return any(math.isclose(iou, known, rel_tol=1e-9) for known in self.iou)

    def iou_index(self, iou: float) -> int:
        """Return the place of an overlap threshold; 0.9 finds COCO's 0.8999999999999999.

        Raises:
            UsageError: It is not among them.
        """
        if not self.has_iou(iou):
            known = ", ".join(f"{value:g}" for value in self.iou)
            raise UsageError(
                f"the evaluation has no iou threshold {iou!r}", hint=f"It has {known}."
            )
        return int(np.abs(np.array(self.iou) - iou).argmin())


def check_ascending(name: str, values: Sequence[float]) -> None:
    """Raise unless there are values, each larger than the one before.

    Raises:
        UsageError: They are none, or out of order.
    """
    if not values or any(not low < high for low, high in pairwise(values)):
        raise UsageError(
            f"{name} {tuple(values)!r} is not an ascending list of at least one value",
            hint="Sort it and remove what is double.",
        )
