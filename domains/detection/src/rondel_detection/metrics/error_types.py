"""What kind of mistakes a detector makes, and how much average precision each kind costs.

After TIDE (Bolya, Foley, Hays and Hoffman, 2020): every false detection and every missed object has
one cause, and a cause costs what average precision would gain if an oracle put that cause right.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from rondel_detection.data.table import Flags, Floats, Integers
from rondel_detection.metrics.accumulate import class_average_precision
from rondel_detection.metrics.cells import descending, stable_order
from rondel_detection.metrics.coco import Evaluation
from rondel_detection.metrics.outcome import NOBODY, Outcome, outcome_of
from rondel_detection.metrics.overlap import Overlaps, overlaps

BACKGROUND_IOU = 0.1
"""Below it a detection is on background."""


class ErrorType(IntEnum):
    """Causes of mistakes; of several that fit, a detection has the first one."""

    LOCALISATION = 0
    """Right class, but the box fits badly."""
    CLASSIFICATION = 1
    """The box fits an object of another class."""
    DUPLICATE = 2
    """The object was already found with a higher score."""
    BACKGROUND = 3
    """There is nothing."""
    BOTH = 4
    """Another class, and the box fits badly."""
    MISSED = 5
    """An object that no detection was near enough to for one of the first two causes."""


NO_ERROR = -1
"""Cause of a detection that is right or ignored."""


@dataclass(frozen=True, eq=False)
class Errors:
    """Mistakes by cause, at one overlap.

    Args:
        iou: The overlap that a hit needs.
        cause: (D,) ErrorType of each detection, by place; NO_ERROR if it is none.
        target: (D,) row of the object that a badly placed or wrongly named detection is about.
        missed: (G,) objects that are missed errors.
        counts: How often each cause occurs.
        average_precision: What the detector reaches.
        cost: Average precision that each cause costs.
        false_cost: What all false detections together cost.
        missed_cost: What all objects without a hit together cost.
    """

    iou: float
    cause: Integers
    target: Integers
    missed: Flags
    counts: dict[ErrorType, int]
    average_precision: float
    cost: dict[ErrorType, float]
    false_cost: float
    missed_cost: float


def errors_of(evaluation: Evaluation, *, iou: float = 0.5) -> Errors:
    """Name the cause of every mistake and what it costs.

    Args:
        evaluation: The evaluation.
        iou: Overlap that a hit needs, one of the evaluation.

    Raises:
        UsageError: The evaluation has no such threshold.
    """
    outcome = outcome_of(evaluation, iou=iou)
    cause, target = causes(evaluation, outcome)
    near = (cause == ErrorType.LOCALISATION) | (cause == ErrorType.CLASSIFICATION)
    missed = outcome.missed()
    missed[target[near]] = False
    oracle = Oracle(outcome, cause, target, np.array(evaluation.parameters.recall))
    base = oracle.average_precision()
    gained = {kind: oracle.fixed(kind, missed) for kind in ErrorType}
    counts = {kind: int((cause == kind).sum()) for kind in ErrorType}
    return Errors(
        iou=iou,
        cause=cause,
        target=target,
        missed=missed,
        counts=counts | {ErrorType.MISSED: int(missed.sum())},
        average_precision=base,
        # a fix moves the recalls at which precision is read, and may so seem to cost a little
        cost={kind: max(value - base, 0.0) for kind, value in gained.items()},
        false_cost=oracle.without(outcome.false) - base,
        missed_cost=oracle.found(outcome.missed()) - base,
    )


def causes(evaluation: Evaluation, outcome: Outcome) -> tuple[Integers, Integers]:
    """Return the cause of each detection, and the object that it is about."""
    false = np.flatnonzero(outcome.false)
    false = false[stable_order(outcome.image[false], outcome.images)]
    pairs = near_objects(evaluation, outcome, false)
    same = outcome.label[false[pairs.left]] == outcome.object_label[pairs.right]
    own, own_object = best_of(pairs, same, len(false))
    other, other_object = best_of(pairs, ~same, len(false))
    tests = {
        ErrorType.LOCALISATION: (own >= BACKGROUND_IOU) & (own < outcome.iou),
        ErrorType.CLASSIFICATION: other >= outcome.iou,
        ErrorType.DUPLICATE: own >= outcome.iou,
        ErrorType.BACKGROUND: np.maximum(own, other) < BACKGROUND_IOU,
    }
    found = np.select(list(tests.values()), list(tests), default=ErrorType.BOTH)
    about = {ErrorType.LOCALISATION: own_object, ErrorType.CLASSIFICATION: other_object}
    cause = np.full(len(outcome.row), NO_ERROR)
    target = np.full(len(outcome.row), NOBODY)
    cause[false] = found
    target[false] = np.select([found == kind for kind in about], list(about.values()), NOBODY)
    return cause, target


def near_objects(evaluation: Evaluation, outcome: Outcome, false: Integers) -> Overlaps:
    """Return the objects of any class that false detections touch."""
    counted = np.flatnonzero(outcome.counted)
    counted = counted[stable_order(outcome.object_image[counted], outcome.images)]
    pairs = overlaps(
        evaluation.found.xywh[outcome.row[false]],
        outcome.image[false],
        evaluation.truth.xywh[counted],
        outcome.object_image[counted],
        crowd=np.zeros(len(counted), dtype=bool),
        lowest=BACKGROUND_IOU,
    )
    return Overlaps(pairs.left, counted[pairs.right], pairs.iou)


def best_of(pairs: Overlaps, chosen: Flags, rows: int) -> tuple[Floats, Integers]:
    """Return the best overlap of each left row among the chosen pairs, and with which object."""
    left, right, iou = pairs.left[chosen], pairs.right[chosen], pairs.iou[chosen]
    best, partner = np.zeros(rows), np.full(rows, NOBODY)
    np.maximum.at(best, left, iou)
    first = np.flatnonzero(iou == best[left])[::-1]  # of equal ones the first is written last
    partner[left[first]] = right[first]
    return best, partner


@dataclass(frozen=True, eq=False)
class Oracle:
    """Puts mistakes of one kind right and measures again."""

    outcome: Outcome
    cause: Integers
    target: Integers
    recall: Floats

    def average_precision(
        self,
        *,
        removed: Flags | None = None,
        right: Integers | None = None,
        found: Flags | None = None,
    ) -> float:
        """Return the mean over classes with something changed.

        Args:
            removed: (D,) detections that are taken away.
            right: Places of detections that are made hits of their targets.
            found: (G,) objects that need not be found any more.
        """
        outcome = self.outcome
        hit, label, kept = outcome.hit.copy(), outcome.label.copy(), ~outcome.ignored
        counted = outcome.counted.copy()
        if removed is not None:
            kept &= ~removed
        if right is not None:
            hit[right] = kept[right] = True
            label[right] = outcome.object_label[self.target[right]]
        if found is not None:
            counted &= ~found
        rows = np.flatnonzero(kept)
        rows = rows[descending(outcome.score[rows])]
        rows = rows[stable_order(label[rows], outcome.classes)]
        left = np.bincount(outcome.object_label[counted], minlength=outcome.classes)
        values = class_average_precision(label[rows], hit[rows], left, self.recall)
        # a class whose objects are all taken care of misses nothing
        values[(left == 0) & (outcome.objects() > 0)] = 1.0
        known = values[~np.isnan(values)]
        return float(known.mean()) if len(known) else math.nan

    def fixed(self, kind: ErrorType, missed: Flags) -> float:
        """Return the average precision with mistakes of one kind put right."""
        if kind == ErrorType.MISSED:
            return self.found(missed)
        wrong = self.cause == kind
        return self.average_precision(removed=wrong, right=self.best_on_target(wrong))

    def best_on_target(self, wrong: Flags) -> Integers:
        """Return the place of the best detection on each target that nobody found."""
        free = np.flatnonzero(wrong & (self.target != NOBODY))
        free = free[self.outcome.taker[self.target[free]] == NOBODY]
        free = free[descending(self.outcome.score[free])]
        _, first = np.unique(self.target[free], return_index=True)
        best: Integers = free[first]
        return best

    def without(self, removed: Flags) -> float:
        """Return the average precision without some detections."""
        return self.average_precision(removed=removed)

    def found(self, objects: Flags) -> float:
        """Return the average precision if some objects need not be found."""
        return self.average_precision(found=objects)
