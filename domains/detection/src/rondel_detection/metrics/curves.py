"""Precision, recall and scores of an evaluation, and the numbers that are read off them.

The arrays hold -1 where a class has no object that counts, as COCO has it; every number with a name
is NaN there, so that it never compares as better.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from rondel_detection.data.table import Floats
from rondel_detection.metrics.parameters import Parameters


@dataclass(frozen=True, eq=False)
class Curves:
    """What COCO calls an evaluation. Letters as in `rondel_detection.metrics.parameters`."""

    parameters: Parameters
    precision: Floats  # (T, R, K, A, M) best precision at this recall or a higher one
    recall: Floats  # (T, K, A, M)
    scores: Floats  # (T, R, K, A, M) score from which on the recall is reached

    @property
    def classes(self) -> int:
        """The number of classes."""
        return int(self.recall.shape[1])

    def average_precision(self, *, iou: float | None = None, area: int = 0) -> float:
        """Return the mean over classes, recalls and overlaps, at the largest limit of detections.

        Args:
            iou: One overlap threshold; by default the mean over all of them.
            area: Row of the range of areas.
        """
        values = self.precision[..., area, -1]
        return mean_of(values if iou is None else values[self.parameters.iou_index(iou)])

    def average_recall(self, *, limit: int = -1, area: int = 0) -> float:
        """Return the mean over classes and overlaps of the recall that is reached.

        Args:
            limit: Row of the limit of detections.
            area: Row of the range of areas.
        """
        return mean_of(self.recall[..., area, limit])

    def class_precision(self, *, iou: float | None = None) -> Floats:
        """Return (K,) the average precision of each class; NaN where nothing is to be found."""
        values = self.precision[..., 0, -1]
        if iou is not None:
            values = values[self.parameters.iou_index(iou)][None]
        return np.array([mean_of(values[..., label]) for label in range(self.classes)])

    def summary(self) -> dict[str, float]:
        """Return COCO's twelve numbers, in its order.

        ``map`` (all overlaps), ``map50``, ``map75``, ``map_small`` ... by area, ``ar_1`` ... by
        limit of detections, ``ar_small`` ... by area. Other parameters give other names.
        """
        named = self.parameters.areas
        areas = range(1, len(named))
        numbers = {"map": self.average_precision()}
        for name, iou in (("map50", 0.5), ("map75", 0.75)):
            known = self.parameters.has_iou(iou)
            numbers[name] = self.average_precision(iou=iou) if known else math.nan
        numbers |= {f"map_{named[a].name}": self.average_precision(area=a) for a in areas}
        for row, limit in enumerate(self.parameters.max_detections):
            numbers[f"ar_{limit}"] = self.average_recall(limit=row)
        numbers |= {f"ar_{named[a].name}": self.average_recall(area=a) for a in areas}
        return numbers

    def mean_curve(self, *, iou: float | None = None) -> Floats:
        """Return (R,) the precision at each recall, averaged over classes; NaN without any.

        Args:
            iou: One overlap threshold; by default the mean over all of them.
        """
        values = self.precision[..., 0, -1]
        values = values if iou is None else values[self.parameters.iou_index(iou)][None]
        present = (values > -1).all(axis=(0, 1))
        if not present.any():
            return np.full(values.shape[1], math.nan)
        mean: Floats = values[..., present].mean(axis=(0, 2))
        return mean

    def class_curve(self, label: int, *, iou: float) -> Floats:
        """Return (R,) the precision of a class at each recall; NaN without any object."""
        values = self.precision[self.parameters.iou_index(iou), :, label, 0, -1]
        return np.where(values > -1, values, math.nan)


def mean_of(values: Floats) -> float:
    """Return the mean of what is not -1; NaN if nothing is left."""
    # read in the order of pycocotools, because a sum in another one has other last bits
    known = values[values > -1]
    return float(known.mean()) if len(known) else math.nan
