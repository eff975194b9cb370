"""What became of every detection and every object at one overlap: the start of all analyses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rondel_detection.data.table import Flags, Floats, Integers
from rondel_detection.metrics.coco import Evaluation

NOBODY = -1
"""In place of a row: no object, or no detection."""


@dataclass(frozen=True, eq=False)
class Outcome:
    """Hits, false detections and misses; the D detections by (class, falling score)."""

    iou: float
    images: int
    classes: int
    row: Integers  # (D,) row in the detections
    image: Integers  # (D,)
    label: Integers  # (D,)
    score: Floats  # (D,)
    object: Integers  # (D,) row of the object that it is matched with, or NOBODY
    ignored: Flags  # (D,) neither right nor wrong: on a crowd, or of another size
    taker: Integers  # (G,) row of the detection that found the object, or NOBODY
    taker_score: Floats  # (G,) its score; -inf if there is none
    counted: Flags  # (G,) whether the object is one to be found
    object_image: Integers  # (G,)
    object_label: Integers  # (G,)

    @property
    def hit(self) -> Flags:
        """(D,) the detections that found an object."""
        hit: Flags = (self.object != NOBODY) & ~self.ignored
        return hit

    @property
    def false(self) -> Flags:
        """(D,) the detections that found nothing."""
        false: Flags = (self.object == NOBODY) & ~self.ignored
        return false

    def missed(self, score: float = -np.inf) -> Flags:
        """(G,) the objects that no detection of at least that score found."""
        missed: Flags = self.counted & ((self.taker == NOBODY) | (self.taker_score < score))
        return missed

    def objects(self) -> Integers:
        """(K,) how many objects of each class are to be found."""
        return np.bincount(self.object_label[self.counted], minlength=self.classes)


def outcome_of(evaluation: Evaluation, *, iou: float = 0.5, area: int = 0) -> Outcome:
    """Return what became of everything at one overlap threshold.

    Because detections choose by falling score, the outcome of those above a score does not depend
    on those below it.

    Args:
        evaluation: The evaluation.
        iou: The threshold, one of the evaluation.
        area: Row of the range of areas.

    Raises:
        UsageError: The evaluation has no such threshold.
    """
    judged, ranking, truth = evaluation.judged, evaluation.judged.ranking, evaluation.truth
    threshold = evaluation.parameters.iou_index(iou)
    places, objects = evaluation.matches.at(iou=threshold, area=area)
    not_counted = judged.ignored[:, area]
    matched = np.full(len(ranking.row), NOBODY)
    matched[places] = objects
    ignored = ~judged.inside[area]
    ignored[places] = not_counted[objects]
    taker = np.full(len(truth), NOBODY)
    taker[objects] = ranking.row[places]
    taker_score = np.full(len(truth), -np.inf)
    taker_score[objects] = judged.score[places]
    return Outcome(
        iou=iou,
        images=evaluation.images,
        classes=evaluation.classes,
        row=ranking.row,
        image=evaluation.found.image[ranking.row],
        label=ranking.label,
        score=judged.score,
        object=matched,
        ignored=ignored,
        taker=taker,
        taker_score=taker_score,
        counted=~not_counted,
        object_image=truth.image,
        object_label=evaluation.label,
    )


@dataclass(frozen=True, eq=False)
class Sweep:
    """Precision, recall and F1 over all classes together, by falling score; S distinct scores."""

    score: Floats  # (S,)
    precision: Floats  # (S,)
    recall: Floats  # (S,)
    f1: Floats  # (S,)

    @property
    def best(self) -> float:
        """The score from which on F1 is highest; 0 without detections."""
        return float(self.score[self.f1.argmax()]) if len(self.score) else 0.0


def sweep_of(outcome: Outcome) -> Sweep:
    """Return what each threshold on the score would give."""
    kept = np.flatnonzero(~outcome.ignored)
    order = kept[np.argsort(-outcome.score[kept], kind="stable")]
    score = outcome.score[order]
    # detections of one score come and go together
    ends = np.flatnonzero(np.append(score[1:] != score[:-1], True)) if len(score) else order
    true = np.cumsum(outcome.hit[order])[ends].astype(np.float64)
    total = max(int(outcome.counted.sum()), 1)
    precision, recall = true / (ends + 1), true / total
    return Sweep(score[ends], precision, recall, 2 * true / (ends + 1 + total))
