"""What was taken for what: a matrix of true and predicted classes, with a row and column for nothing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rondel_detection.data.table import Integers
from rondel_detection.metrics.coco import Evaluation, evaluate
from rondel_detection.metrics.outcome import Outcome, outcome_of
from rondel_detection.metrics.parameters import AreaRange, Parameters


@dataclass(frozen=True, eq=False)
class Confusion:
    """Counts by true class (rows) and predicted class (columns); the last of both is background.

    The last row holds detections where there is nothing, the last column objects that were missed.
    """

    counts: Integers  # (K + 1, K + 1)
    iou: float
    score: float


def confusion_of(evaluation: Evaluation, *, score: float, iou: float = 0.5) -> Confusion:
    """Count which class was taken for which.

    First the hits of the evaluation: the diagonal. What is left over of detections and objects is
    matched once more without regard to the class: what overlaps then was taken for something else.

    Args:
        evaluation: The evaluation.
        score: Detections below are left out.
        iou: Overlap threshold, one of the evaluation.

    Raises:
        UsageError: The evaluation has no such threshold.
    """
    outcome = outcome_of(evaluation, iou=iou)
    sure = outcome.score >= score
    false, missed = outcome.row[outcome.false & sure], np.flatnonzero(outcome.missed(score))
    second = second_choice(evaluation, false, missed, iou=iou)
    pairs = second.hit
    confused, background = false[second.row[pairs]], false[second.row[~pairs]]
    overlooked = missed[second.missed()]
    hits = outcome.label[outcome.hit & sure]
    none = evaluation.classes
    true = [hits, evaluation.label[missed[second.object[pairs]]], np.full(len(background), none)]
    predicted = [hits, labels(evaluation, confused), labels(evaluation, background)]
    true.append(evaluation.label[overlooked])
    predicted.append(np.full(len(overlooked), none))
    counts = np.zeros((none + 1, none + 1), dtype=np.int64)
    np.add.at(counts, (np.concatenate(true), np.concatenate(predicted)), 1)
    return Confusion(counts, iou, score)


def labels(evaluation: Evaluation, rows: Integers) -> Integers:
    """Return the classes of detections as evaluated."""
    label = evaluation.found.label[rows]
    return np.zeros_like(label) if evaluation.parameters.class_agnostic else label


def second_choice(
    evaluation: Evaluation, false: Integers, missed: Integers, *, iou: float
) -> Outcome:
    """Match false detections with missed objects, whatever their classes."""
    truth, found = evaluation.truth.take(missed), evaluation.found.take(false)
    parameters = Parameters(
        iou=(iou,),
        recall=(0.0,),
        areas=(AreaRange("any", -np.inf, np.inf),),
        max_detections=(max(len(false), 1),),
        class_agnostic=True,
    )
    classes = 1 + max(truth.label.max(initial=0), found.label.max(initial=0))
    again = evaluate(
        truth, found, images=evaluation.images, classes=int(classes), parameters=parameters
    )
    return outcome_of(again, iou=iou)
