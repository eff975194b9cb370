"""How far average precision would move with other images: intervals by resampling them.

Images are drawn with replacement (Efron, 1979). Matching does not change when an image counts
twice, so that a resample is a new sum over the same matches with other weights.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from rondel_detection.data.table import Flags, Floats, Integers
from rondel_detection.metrics.accumulate import Hits, best_from, hits_needed
from rondel_detection.metrics.coco import Evaluation
from rondel_detection.metrics.matching import bits
from rondel_detection.metrics.parameters import Parameters


@dataclass(frozen=True, eq=False)
class Bootstrap:
    """Average precision of the images as they are, and of each of B resamples.

    Intervals are basic ones (Davison and Hinkley, 1997, 5.2): the percentiles of the resamples,
    mirrored at the estimate. Average precision is too high for few objects, and a resample, which
    has fewer distinct ones, is higher still; plain percentiles double that error. With made-up
    detections on 60 to 1,000 images, 95 % intervals held the true value in 75 to 92 % of the trials,
    plain percentiles in 25 to 82 %.
    """

    parameters: Parameters
    estimate: Floats  # (T, K), NaN where a class has no object
    values: Floats  # (B, T, K), likewise

    def interval(self, *, iou: float | None = None, level: float = 0.95) -> tuple[float, float]:
        """Return the interval of the mean over classes; NaN without any.

        Args:
            iou: One overlap threshold; by default the mean over all of them.
            level: Coverage.
        """
        estimate, values = self._of(iou)
        return mirrored(mean_known(estimate[None])[0], mean_known(values), level)

    def class_intervals(self, *, iou: float | None = None, level: float = 0.95) -> Floats:
        """Return (K, 2) the interval of each class; NaN without any."""
        estimate, values = self._of(iou)
        bounds = [mirrored(one, many, level) for one, many in zip(estimate, values.T, strict=True)]
        return np.array(bounds).reshape(-1, 2)

    def _of(self, iou: float | None) -> tuple[Floats, Floats]:
        """Return (K,) and (B, K)."""
        rows = slice(None) if iou is None else [self.parameters.iou_index(iou)]
        return self.estimate[rows].mean(axis=0), self.values[:, rows].mean(axis=1)


def mean_known(values: Floats) -> Floats:
    """Return (B,) the mean of what is not NaN; NaN if nothing is left."""
    known = ~np.isnan(values)
    count = known.sum(axis=1)
    total = np.where(known, values, 0.0).sum(axis=1)
    return np.where(count > 0, total / np.maximum(count, 1), math.nan)


def mirrored(estimate: float, values: Floats, level: float) -> tuple[float, float]:
    """Return the percentiles of the values, mirrored at the estimate and kept in 0..1."""
    known = values[~np.isnan(values)]
    if not len(known) or math.isnan(estimate):
        return math.nan, math.nan
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return max(0.0, float(2 * estimate - high)), min(1.0, float(2 * estimate - low))


def bootstrap(evaluation: Evaluation, *, resamples: int = 200, seed: int = 0) -> Bootstrap:
    """Resample the images and measure average precision each time.

    Args:
        evaluation: The evaluation.
        resamples: How often.
        seed: Of the resampling; the result is a function of it.
    """
    draw = np.random.default_rng(seed)
    weighted, images = Weighted.of(evaluation), evaluation.images
    values = np.empty((resamples, len(evaluation.parameters.iou), evaluation.classes))
    for row in values:
        drawn = draw.integers(0, max(images, 1), images)
        row[:] = weighted.average_precision(np.bincount(drawn, minlength=images))
    estimate = weighted.average_precision(np.ones(images, dtype=np.int64))
    return Bootstrap(evaluation.parameters, estimate, values)


@dataclass(frozen=True, eq=False)
class Weighted:
    """An evaluation whose images count as often as they are told to: all areas, the last limit.

    H hits by (threshold, class, place), C candidates: detections that are matched at any threshold.
    """

    image: Integers  # (D,) by place
    inside: Flags  # (D,) whether the area of the detection is in range
    first: Integers  # (K + 1,) place at which each class starts
    candidate: Integers  # (C,) places
    candidate_label: Integers  # (C,)
    matched: Flags  # (T, C) matched, and in range
    hit: Integers  # (H,) flat rows of (T, C)
    hit_candidate: Integers  # (H,)
    hit_count: Integers  # (T, K)
    object_image: Integers  # of the objects that count
    object_label: Integers
    recall: Floats  # (R,)

    @classmethod
    def of(cls, evaluation: Evaluation) -> Weighted:
        """Collect what a resample needs."""
        judged, parameters = evaluation.judged, evaluation.parameters
        candidate, depth = judged.candidate, len(parameters.iou)
        label, classes = judged.ranking.label[candidate], evaluation.classes
        hit = np.flatnonzero(bits(judged.hit[:, 0], depth))
        lane, column = np.divmod(hit, max(len(candidate), 1))
        count = np.bincount(lane * classes + label[column], minlength=depth * classes)
        counted = ~judged.ignored[:, 0]
        return cls(
            image=evaluation.found.image[judged.ranking.row],
            inside=judged.inside[0],
            first=judged.ranking.first,
            candidate=candidate,
            candidate_label=label,
            matched=bits(judged.matched[:, 0], depth) & judged.inside[0, candidate],
            hit=hit,
            hit_candidate=column,
            hit_count=count.reshape(depth, classes),
            object_image=evaluation.truth.image[counted],
            object_label=evaluation.label[counted],
            recall=np.array(parameters.recall),
        )

    def average_precision(self, weights: Integers) -> Floats:
        """Return (T, K) average precision if each image counts ``weights`` (I,) times."""
        depth, classes = self.hit_count.shape
        objects = np.bincount(
            self.object_label, weights=weights[self.object_image], minlength=classes
        ).astype(np.int64)
        false = self._false(weights)
        start = (np.cumsum(self.hit_count) - self.hit_count.ravel()).reshape(depth, classes)
        own = weights[self.image[self.candidate]][self.hit_candidate]
        true = np.append(0, np.cumsum(own))  # hits before each one, over all segments
        before, after = true[start], true[start + self.hit_count]
        total = true[1:] - np.repeat(before, self.hit_count.ravel())
        precision = total / (false[self.hit] + total + np.spacing(1))
        needed = hits_needed(objects, self.recall)
        reached = (needed <= (after - before)[..., None]) & (after > before)[..., None]
        at = np.searchsorted(true[1:], before[..., None] + np.maximum(needed, 1))
        at = np.where(reached, at, (start + self.hit_count)[..., None])
        hits = Hits(self.hit_candidate, precision, start, self.hit_count)
        mean: Floats = (best_from(hits, at) * reached).mean(axis=-1)
        mean[:, objects == 0] = math.nan
        return mean

    def _false(self, weights: Integers) -> Integers:
        """Return how many false detections of its class stand up to each candidate, flat (T * C,)."""
        weight = weights[self.image]
        seen = np.append(0, np.cumsum(weight * self.inside))
        begin = np.searchsorted(self.candidate_label, np.arange(len(self.first) - 1))
        matched = np.zeros((len(self.matched), len(self.candidate) + 1), dtype=np.int64)
        np.cumsum(self.matched * weight[self.candidate], axis=1, out=matched[:, 1:])
        label = self.candidate_label
        seen_here = seen[self.candidate + 1] - seen[self.first[label]]
        matched_here = matched[:, 1:] - matched[:, begin[label]]
        return np.asarray(seen_here - matched_here).reshape(-1)
