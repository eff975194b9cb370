"""What the report shows of a detector: curves, confusions, causes of mistakes, pictures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from rondel import Section, Table
from rondel_detection.data.collate import Collate
from rondel_detection.data.defects import KINDS, Defect, by_kind
from rondel_detection.data.loss_report import LossReport
from rondel_detection.data.pictures import Pictures
from rondel_detection.data.table import Integers
from rondel_detection.measurement import original, truth_of
from rondel_detection.metrics.bootstrap import bootstrap
from rondel_detection.metrics.calibration import calibration_of
from rondel_detection.metrics.coco import Evaluation
from rondel_detection.metrics.columns import Detections, GroundTruth, rows_of_images, scaled
from rondel_detection.metrics.confusion import confusion_of
from rondel_detection.metrics.error_types import errors_of
from rondel_detection.metrics.image_hits import image_hits_of
from rondel_detection.metrics.metric import DetectionMetric
from rondel_detection.metrics.outcome import Outcome, outcome_of, sweep_of
from rondel_detection.metrics.picture_grid import picture_grid
from rondel_detection.metrics.pictures import confusion_png, error_types_png, precision_recall_png
from rondel_detection.models.detector import Detector

ACTIONS = {"repair": "repaired", "drop": "dropped", "look": "kept"}
SHOWN = 6
"""Pictures in a grid."""


def explain(metric: DetectionMetric, pictures: Pictures) -> Sequence[Section]:
    """Describe an evaluation, with pictures of what went well and what did not."""
    evaluation, names = metric.evaluation, metric.names
    outcome = outcome_of(evaluation)
    score = sweep_of(outcome).best
    hits = image_hits_of(outcome, score=score)
    return (
        of_numbers(evaluation, outcome, score),
        of_classes(evaluation, names),
        Section(
            "Precision and recall",
            text="Precision over recall, the mean of all classes at several overlaps, and each "
            "class at an overlap of 0.5.",
            picture=precision_recall_png(evaluation, names),
        ),
        Section(
            "Confusion",
            text=f"Detections of a score of {score:.2f} and more, where F1 is highest.",
            picture=confusion_png(confusion_of(evaluation, score=score), names),
        ),
        Section(
            "Mistakes",
            text="What the average precision at an overlap of 0.5 would gain without each kind of "
            "mistake, all others left as they are (Bolya et al., 2020).",
            picture=error_types_png(errors_of(evaluation)),
        ),
        Section(
            "Worst pictures",
            text="Those with the lowest F1: mistakes of the detector, or of the labels.",
            picture=drawn(metric, hits.worst(SHOWN), pictures, score=score),
        ),
        Section("Best pictures", picture=drawn(metric, hits.best(SHOWN), pictures, score=score)),
    )


def of_numbers(evaluation: Evaluation, outcome: Outcome, score: float) -> Section:
    """Say how sure the headline is, and from which score on detections should be trusted."""
    made = bootstrap(evaluation)
    rows = []
    for title, iou in (("map", None), ("map50", 0.5), ("map75", 0.75)):
        low, high = made.interval(iou=iou)
        rows.append([title, evaluation.average_precision(iou=iou), low, high])
    text = (
        f"Intervals are 95 % bootstrap intervals over {evaluation.images} images: how far the "
        "number would move with other images like these; other seeds move it too.\n\n"
        f"F1 is highest for detections of a score of at least {score:.2f}. Scores are off the share "
        f"of hits by {calibration_of(outcome, lowest=0.05).error:.3f} on average."
    )
    return Section("How sure", text=text, table=Table(("metric", "value", "from", "to"), rows))


def of_classes(evaluation: Evaluation, names: Sequence[str]) -> Section:
    """List every class with its objects and its precision."""
    objects = outcome_of(evaluation).objects()
    whole, half = evaluation.class_precision(), evaluation.class_precision(iou=0.5)
    rows = [
        [name, int(count), none_if_nan(ap), none_if_nan(ap50)]
        for name, count, ap, ap50 in zip(names, objects, whole, half, strict=True)
    ]
    return Section("Classes", table=Table(("class", "objects", "AP", "AP50"), rows))


def of_labels(defects: Sequence[Defect], losses: LossReport) -> Sequence[Section]:
    """List what was done to defective labels, and what their reader could not keep."""
    rows: list[list[object]] = [
        [KINDS[kind].title, len(found), ACTIONS[found[0].action], found[0].place]
        for kind, found in by_kind(defects).items()
    ]
    rows += [
        [kind, loss.count, "by the reader", next(iter(loss.examples), "")]
        for kind, loss in losses.losses.items()
    ]
    if not rows:
        return ()
    text = "What was done to labels before training; 'rondel detection check' lists every place."
    return (Section("Labels", text=text, table=Table(("what", "times", "done", "first"), rows)),)


def none_if_nan(value: float) -> float | None:
    """Return a number for a table; a class without objects has none."""
    return None if math.isnan(value) else float(value)


def drawn(metric: DetectionMetric, rows: Integers, pictures: Pictures, *, score: float) -> bytes:
    """Draw some pictures of an evaluation with objects and detections.

    Args:
        metric: What was evaluated.
        rows: Of the evaluation.
        pictures: The data set; the metric's ids are positions in it.
        score: Detections below are not drawn.
    """
    evaluation, count = metric.evaluation, metric.evaluation.images
    truth, place = rows_of_images(evaluation.truth.image, rows, images=count)
    found, found_place = rows_of_images(evaluation.found.image, rows, images=count)
    return grid(
        pictures,
        metric.image_ids[rows],
        replace(evaluation.truth.take(truth), image=place),
        replace(evaluation.found.take(found), image=found_place),
        names=metric.names,
        score=score,
    )


def picture_of(detector: Detector, pictures: Pictures, names: Sequence[str]) -> bytes:
    """Draw what a detector finds on the first pictures of a data set."""
    rows = torch.arange(min(SHOWN, len(pictures)))
    images, targets = Collate(pictures.canvas)([pictures[row] for row in rows.tolist()])
    device = next(detector.parameters()).device
    found = detector.detect(images.to(device), targets.sizes.to(device))
    chosen = rows.numpy()
    return grid(
        pictures, chosen, truth_of(pictures, chosen), original(pictures, rows, found), names=names
    )


def grid(
    pictures: Pictures,
    rows: Integers,
    truth: GroundTruth,
    found: Detections,
    *,
    names: Sequence[str],
    score: float = 0.3,
) -> bytes:
    """Draw pictures as the detector sees them; ``image`` of the columns is the place in ``rows``."""
    samples = [pictures[int(row)] for row in rows]
    factor = np.array([s.height for s in samples]) / pictures.full[rows, 0]
    return picture_grid(
        [sample.picture.numpy() for sample in samples],
        scaled(truth, factor),
        scaled(found, factor),
        names,
        score=score,
        captions=[Path(str(pictures.annotations.images.file[row])).name for row in rows],
    )
