"""COCO's evaluation of boxes: exactly that of pycocotools, on arrays, for all cells at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rondel_detection.data.table import Flags, Floats, Integers
from rondel_detection.metrics.accumulate import Judged, accumulate, judge
from rondel_detection.metrics.cells import (
    OverlapsOf,
    box_overlaps,
    overlapping_pairs,
    rank_detections,
)
from rondel_detection.metrics.columns import Detections, GroundTruth, check_columns
from rondel_detection.metrics.curves import Curves
from rondel_detection.metrics.matching import Matches, match
from rondel_detection.metrics.parameters import Parameters

COCO = Parameters()


@dataclass(frozen=True, eq=False)
class Evaluation(Curves):
    """The result of an evaluation, and everything that an analysis of it starts from."""

    truth: GroundTruth
    found: Detections
    images: int
    label: Integers  # (G,) classes of the objects as evaluated: all 0 if classes do not matter
    matches: Matches
    judged: Judged


def evaluate(
    truth: GroundTruth,
    found: Detections,
    *,
    images: int,
    classes: int,
    parameters: Parameters = COCO,
) -> Evaluation:
    """Evaluate boxes.

    Args:
        truth: What is there.
        found: What was detected.
        images: Number of images; their order decides between equal scores.
        classes: Number of classes.
        parameters: Of the evaluation; the defaults are COCO's.

    Raises:
        DataError: An image or class is out of range, or a number is not finite.
    """
    return evaluate_shapes(
        truth,
        found,
        Shapes(found.xywh[:, 2] * found.xywh[:, 3], box_overlaps(truth, found)),
        images=images,
        classes=classes,
        parameters=parameters,
    )


@dataclass(frozen=True, eq=False)
class Shapes:
    """What an evaluation knows of the shapes of detections."""

    area: Floats  # (D,)
    overlaps: OverlapsOf


def evaluate_shapes(
    truth: GroundTruth,
    found: Detections,
    shapes: Shapes,
    *,
    images: int,
    classes: int,
    parameters: Parameters,
) -> Evaluation:
    """Evaluate detections whose overlaps someone else computes; see `evaluate`."""
    check_columns(truth, found, images=images, classes=classes)
    agnostic = parameters.class_agnostic
    label = np.zeros_like(truth.label) if agnostic else truth.label
    ranking = rank_detections(
        found,
        classes=1 if agnostic else classes,
        images=images,
        limit=parameters.max_detections[-1],
        class_agnostic=agnostic,
    )
    needed = parameters.needed_overlaps()
    pairs = overlapping_pairs(truth, ranking, shapes.overlaps, label=label, lowest=needed[0])
    ignored = ignored_objects(truth, parameters)
    matches = match(pairs, ignored=ignored, crowd=truth.crowd, needed=needed)
    judged = judge(
        ranking,
        matches,
        score=found.score[ranking.row],
        area=shapes.area[ranking.row],
        ignored=ignored,
        label=label,
        parameters=parameters,
    )
    curves = accumulate(judged, parameters)
    return Evaluation(
        **vars(curves),
        truth=truth,
        found=found,
        images=images,
        label=label,
        matches=matches,
        judged=judged,
    )


def ignored_objects(truth: GroundTruth, parameters: Parameters) -> Flags:
    """Return (G, A) the objects that do not count: crowds, and those of another size."""
    low = np.array([span.low for span in parameters.areas])
    high = np.array([span.high for span in parameters.areas])
    area = truth.area[:, None]
    ignored: Flags = truth.crowd[:, None] | (area < low) | (area > high)
    return ignored
