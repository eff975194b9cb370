"""From matches to precision at each recall: COCO's accumulation, for all classes at once.

Precision gets better at hits alone, so hits are all that is looked at: some tens of thousands of
half a million detections. What stands between them is a count.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rondel_detection.data.table import Flags, Floats, Integers
from rondel_detection.metrics.cells import Ranking
from rondel_detection.metrics.curves import Curves
from rondel_detection.metrics.matching import Matches, Words, bits
from rondel_detection.metrics.parameters import Parameters


@dataclass(frozen=True, eq=False)
class Judged:
    """Detections and objects, as far as counting needs them; C candidates, which have a match."""

    ranking: Ranking
    score: Floats  # (D,) by place
    inside: Flags  # (A, D) whether the area of the detection lies in the range
    candidate: Integers  # (C,) places, ascending
    matched: Words  # (C, A) thresholds at which it is matched
    hit: Words  # (C, A) thresholds at which it is matched with an object that counts
    counted: Integers  # (A, K) objects that count
    ignored: Flags  # (G, A) objects that do not count

    def best_score(self) -> Floats:
        """Return (K,) the best score of each class; 0 where nothing was detected."""
        first = self.ranking.first
        return np.where(first[1:] > first[:-1], np.append(self.score, 0.0)[first[:-1]], 0.0)


@dataclass(frozen=True, eq=False)
class Hits:
    """The H hits of a range of area, by segment: limit, threshold and class, ascending."""

    place: Integers  # (H,)
    precision: Floats  # (H,) of the detections up to this one
    start: Integers  # (M, T, K) first hit of each segment
    count: Integers  # (M, T, K) hits of each segment


def judge(
    ranking: Ranking,
    matches: Matches,
    *,
    score: Floats,
    area: Floats,
    ignored: Flags,
    label: Integers,
    parameters: Parameters,
) -> Judged:
    """Collect the matches of each candidate.

    Args:
        ranking: The detections that count.
        matches: Who took whom.
        score: (D,) by place.
        area: (D,) areas of the detections by place.
        ignored: (G, A) objects that do not count.
        label: (G,) classes of the objects.
        parameters: Of the evaluation.
    """
    candidate, row = np.unique(matches.place, return_inverse=True)
    matched = np.zeros((len(candidate), len(parameters.areas)), dtype=np.uint64)
    hit = np.zeros_like(matched)
    np.bitwise_or.at(matched, row, matches.taken)
    scoring = np.where(ignored[matches.truth], np.uint64(0), matches.taken)
    np.bitwise_or.at(hit, row, scoring)
    classes = len(ranking.first) - 1
    counted = [np.bincount(label[~column], minlength=classes) for column in ignored.T]
    inside = [(area >= span.low) & (area <= span.high) for span in parameters.areas]
    return Judged(
        ranking=ranking,
        score=score,
        inside=np.array(inside),
        candidate=candidate,
        matched=matched,
        hit=hit,
        counted=np.array(counted, dtype=np.int64),
        ignored=ignored,
    )


def accumulate(judged: Judged, parameters: Parameters) -> Curves:
    """Return precision, recall and scores."""
    areas = [accumulate_area(judged, area, parameters) for area in range(len(parameters.areas))]
    precision, recall, scores = (np.stack(part) for part in zip(*areas, strict=True))
    # computed as (A, M, T, K, R); the order of COCO is a view of it
    order = (2, 4, 3, 0, 1)
    return Curves(
        parameters,
        precision=precision.transpose(order),
        recall=recall.transpose(2, 3, 0, 1),
        scores=scores.transpose(order),
    )


def accumulate_area(
    judged: Judged, area: int, parameters: Parameters
) -> tuple[Floats, Floats, Floats]:
    """Return precision (M, T, K, R), recall (M, T, K) and scores (M, T, K, R) of a range of area."""
    hits = count_hits(judged, area, parameters)
    counted = judged.counted[area]
    needed = hits_needed(counted, np.array(parameters.recall))  # (K, R)
    at, reached = positions(hits, needed)
    precision = best_from(hits, at) * reached
    scores = np.append(judged.score[hits.place], 0.0)[at] * reached
    # a recall of nothing is reached by the first detection, be it a hit or not
    np.copyto(scores, judged.best_score()[:, None], where=needed == 0)
    recall = hits.count / np.maximum(counted, 1)
    absent = counted == 0
    precision[:, :, absent] = scores[:, :, absent] = recall[:, :, absent] = -1.0
    return precision, recall, scores


def positions(hits: Hits, needed: Integers) -> tuple[Integers, Flags]:
    """Return the hit (..., K, R) at which each recall is reached, and whether it is at all.

    A recall of nothing is reached by the first hit; one that is not reached has the end of its
    segment.
    """
    reached = (needed <= hits.count[..., None]) & (hits.count > 0)[..., None]
    at = np.where(reached, np.maximum(needed, 1) - 1, hits.count[..., None])
    return at + hits.start[..., None], reached


def count_hits(judged: Judged, area: int, parameters: Parameters) -> Hits:
    """Return the hits with their precision."""
    ranking, candidate, depth = judged.ranking, judged.candidate, len(parameters.iou)
    limits = np.array(parameters.max_detections)[:, None]
    classes = len(ranking.first) - 1
    inside = judged.inside[area]
    seen = running_count((ranking.rank < limits) & inside, ranking.first)  # (M, D)
    within = (ranking.rank[candidate] < limits)[:, None]  # (M, 1, C)
    matched = bits(judged.matched[:, area], depth) & within & inside[candidate]  # (M, T, C)
    label = ranking.label[candidate]
    seen_matched = running_count(matched, np.searchsorted(label, np.arange(classes + 1)))
    # what was seen and not matched is false; what is ignored was never seen
    false = seen[:, None, candidate] - seen_matched
    hit = np.flatnonzero(bits(judged.hit[:, area], depth) & within)
    lane, column = np.divmod(hit, max(len(candidate), 1))
    segment = lane * classes + label[column]
    shape = (len(limits), depth, classes)
    count = np.bincount(segment, minlength=int(np.prod(shape)))
    start = np.cumsum(count) - count
    true = (np.arange(len(segment)) - start[segment] + 1).astype(np.float64)
    total = false.reshape(-1)[hit] + true
    precision = true / (total + np.spacing(1))
    return Hits(candidate[column], precision, start.reshape(shape), count.reshape(shape))


def running_count(flags: Flags, first: Integers) -> npt.NDArray[np.int32]:
    """Count flags along the last axis, from 0 again at the start of each class."""
    padded = np.zeros((*flags.shape[:-1], flags.shape[-1] + 1), dtype=np.int32)
    np.cumsum(flags, axis=-1, dtype=np.int32, out=padded[..., 1:])
    counts = padded[..., 1:]
    counts -= np.repeat(padded[..., first[:-1]], np.diff(first), axis=-1)
    return counts


def hits_needed(counted: Integers, recall: Floats) -> Integers:
    """Return (K, R) the least number of hits whose share of the objects reaches each recall."""
    objects = np.maximum(counted, 1)[:, None]
    needed = np.maximum(np.floor(recall * objects) - 1, 0)
    for _ in range(3):  # the division decides, not the product: they round differently
        needed += needed / objects < recall
    whole: Integers = needed.astype(np.int64)
    return whole


def best_from(hits: Hits, at: Integers) -> Floats:
    """Return the best precision of a segment from the hit ``at`` (..., K, R) on."""
    # the first hit of each segment stands in front, so that no stretch reaches into the next one
    cuts = np.concatenate([hits.start[..., None], at], axis=-1)
    padded = np.append(hits.precision, 0.0)
    best = np.maximum.reduceat(padded, cuts.reshape(-1)).reshape(cuts.shape)
    best[cuts == (hits.start + hits.count)[..., None]] = 0.0
    backwards = best[..., :0:-1]
    return np.maximum.accumulate(backwards, axis=-1)[..., ::-1]


def class_average_precision(
    label: Integers, hit: Flags, counted: Integers, recall: Floats
) -> Floats:
    """Return (K,) the average precision of hits that are given; NaN without any object.

    Args:
        label: (D,) classes of the detections by (class, falling score), none ignored.
        hit: (D,) whether each one found an object.
        counted: (K,) objects to be found.
        recall: (R,) recalls at which precision is read.
    """
    first = np.searchsorted(label, np.arange(len(counted) + 1))
    true, place = running_count(hit, first), np.flatnonzero(hit)
    total = running_count(np.ones_like(hit), first)[place]
    count = np.bincount(label[place], minlength=len(counted))
    precision = true[place] / (total + np.spacing(1))
    hits = Hits(place, precision, np.cumsum(count) - count, count)
    at, reached = positions(hits, hits_needed(counted, recall))
    mean = (best_from(hits, at) * reached).mean(axis=-1)
    return np.where(counted > 0, mean, math.nan)
