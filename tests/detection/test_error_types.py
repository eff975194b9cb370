"""What is read off an evaluation: causes and their cost, confusion, images, intervals, calibration."""

from __future__ import annotations

import math

import numpy as np
import pytest

from rondel.errors import UsageError
from rondel_detection.metrics.bootstrap import Weighted, bootstrap
from rondel_detection.metrics.calibration import calibration_of
from rondel_detection.metrics.coco import Evaluation, evaluate
from rondel_detection.metrics.columns import Detections, GroundTruth, of_images
from rondel_detection.metrics.confusion import confusion_of
from rondel_detection.metrics.error_types import NO_ERROR, Errors, ErrorType, errors_of
from rondel_detection.metrics.image_hits import image_hits_of
from rondel_detection.metrics.outcome import NOBODY, outcome_of, sweep_of
from rondel_detection.metrics.parameters import Parameters

BOX = [10.0, 10.0, 40.0, 40.0]
FAR = [200.0, 200.0, 40.0, 40.0]
BESIDE = [10.0, 30.0, 40.0, 40.0]  # overlaps BOX by a third
NOWHERE = [400.0, 10.0, 40.0, 40.0]
CAT, DOG = 0, 1
NOTHING = GroundTruth.of([], [], [])


def errors(
    truth: list[tuple[int, list[float]]], found: list[tuple[int, list[float], float]]
) -> Errors:
    """Return the errors on one picture: objects as (class, box), detections with a score."""
    labels, boxes = [label for label, _ in truth], [box for _, box in truth]
    objects = GroundTruth.of([0] * len(truth), boxes, labels)
    columns = zip(*found, strict=True) if found else ([], [], [])
    label, xywh, score = (list(column) for column in columns)
    detections = Detections.of([0] * len(found), xywh, label, score)
    return errors_of(evaluate(objects, detections, images=1, classes=2))


def drawn(seed: int = 0, images: int = 12, classes: int = 3) -> Evaluation:
    """Evaluate a drawn scene with crowds, all scores different."""
    draw = np.random.default_rng(seed)
    truth = GroundTruth.of(
        draw.integers(0, images, 60), draw.uniform(20, 120, (60, 4)), draw.integers(0, classes, 60),
        crowd=draw.random(60) < 0.1,
    )  # fmt: skip
    source = draw.integers(0, 60, 200)
    label = np.where(draw.random(200) < 0.8, truth.label[source], draw.integers(0, classes, 200))
    found = Detections.of(
        truth.image[source], truth.xywh[source] + draw.normal(0, 12, (200, 4)), label,
        draw.permutation(200) / 200,
    )  # fmt: skip
    return evaluate(truth, found, images=images, classes=classes)


# -- causes ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cause", "truth", "found"),
    [
        (ErrorType.LOCALISATION, [(CAT, BOX)], (CAT, BESIDE, 0.5)),
        (ErrorType.CLASSIFICATION, [(CAT, BOX)], (DOG, BOX, 0.5)),
        (ErrorType.BOTH, [(CAT, BOX)], (DOG, BESIDE, 0.5)),
        (ErrorType.BACKGROUND, [(CAT, BOX)], (CAT, NOWHERE, 0.5)),
    ],
)
def test_each_false_detection_has_its_cause(
    cause: ErrorType, truth: list[tuple[int, list[float]]], found: tuple[int, list[float], float]
) -> None:
    result = errors(truth, [found])
    assert result.cause.tolist() == [cause]
    assert result.counts[cause] == 1
    # an object that a detection nearly found is that detection's mistake, and not missed too
    near = cause in (ErrorType.LOCALISATION, ErrorType.CLASSIFICATION)
    assert result.counts[ErrorType.MISSED] == (0 if near else 1)


def test_a_second_detection_of_an_object_is_a_duplicate() -> None:
    result = errors([(CAT, BOX)], [(CAT, BOX, 0.9), (CAT, BOX, 0.8)])
    assert result.cause.tolist() == [NO_ERROR, ErrorType.DUPLICATE]
    assert result.cost[ErrorType.DUPLICATE] == 0.0  # it stands behind the hit and costs nothing


def test_detections_on_a_crowd_are_no_errors() -> None:
    truth = GroundTruth.of([0, 0], [BOX, FAR], [CAT, CAT], crowd=[True, False])
    found = Detections.of([0, 0], [BOX, FAR], [CAT, CAT], [0.9, 0.8])
    result = errors_of(evaluate(truth, found, images=1, classes=1))
    assert result.cause.tolist() == [NO_ERROR, NO_ERROR]
    assert sum(result.counts.values()) == 0
    assert result.average_precision == pytest.approx(1.0)


def test_putting_a_mistake_right_gains_what_it_cost() -> None:
    """A wrong class costs both the object it is on and, by its score, the precision of its class."""
    result = errors(
        [(CAT, BOX), (DOG, FAR)], [(DOG, BOX, 0.9), (DOG, FAR, 0.8)]
    )  # cats 0, dogs hit at half precision
    assert result.average_precision == pytest.approx(0.25)
    assert result.cost[ErrorType.CLASSIFICATION] == pytest.approx(0.75)
    assert result.false_cost == pytest.approx(0.25)
    assert result.missed_cost == pytest.approx(0.5)


def test_only_the_best_of_several_detections_is_put_right() -> None:
    result = errors([(CAT, BOX)], [(CAT, BESIDE, 0.9), (CAT, BESIDE, 0.8), (CAT, NOWHERE, 0.85)])
    # the first becomes a hit ahead of the background, the second goes
    assert result.cost[ErrorType.LOCALISATION] == pytest.approx(1.0)
    assert result.counts[ErrorType.LOCALISATION] == 2


def test_a_mistake_about_an_object_that_is_found_becomes_no_second_hit() -> None:
    result = errors([(CAT, BOX), (CAT, FAR)], [(CAT, BOX, 0.9), (CAT, BESIDE, 0.8)])
    assert result.counts[ErrorType.LOCALISATION] == 1
    assert result.cost[ErrorType.LOCALISATION] == 0.0


def test_a_detector_that_finds_nothing_pays_for_missing() -> None:
    result = errors([(CAT, BOX), (DOG, FAR)], [])
    assert result.counts[ErrorType.MISSED] == 2
    assert result.average_precision == 0.0
    assert result.cost[ErrorType.MISSED] == result.missed_cost == 1.0


def test_the_causes_of_a_drawn_scene_are_complete() -> None:
    evaluation = drawn()
    outcome, result = outcome_of(evaluation), errors_of(evaluation)
    assert np.array_equal(result.cause != NO_ERROR, outcome.false)
    found = {kind for kind, count in result.counts.items() if count}
    assert found == set(ErrorType)
    assert result.average_precision == pytest.approx(evaluation.average_precision(iou=0.5), 1e-12)
    assert sum(result.counts.values()) == outcome.false.sum() + result.missed.sum()
    perfect = errors_of(
        evaluate(evaluation.truth, as_found(evaluation.truth), images=12, classes=3)
    )
    assert perfect.average_precision == pytest.approx(1.0)
    assert all(cost == 0.0 for cost in perfect.cost.values())


def as_found(truth: GroundTruth) -> Detections:
    """Return detections that are exactly right."""
    return Detections.of(truth.image, truth.xywh, truth.label, np.ones(len(truth)))


def test_an_overlap_that_was_not_evaluated_is_an_error() -> None:
    with pytest.raises(UsageError, match=r"no iou threshold 0\.42"):
        errors_of(drawn(), iou=0.42)


# -- outcomes and thresholds on the score ------------------------------------------------------


def test_the_outcome_is_what_the_recall_counts() -> None:
    evaluation = drawn()
    for iou in (0.5, 0.75):
        outcome = outcome_of(evaluation, iou=iou)
        row = evaluation.parameters.iou_index(iou)
        hits = np.bincount(outcome.label[outcome.hit], minlength=3)
        assert np.allclose(hits / outcome.objects(), evaluation.recall[row, :, 0, -1])
        assert outcome.missed().sum() == outcome.counted.sum() - outcome.hit.sum()
        taken = np.flatnonzero((outcome.taker != NOBODY) & outcome.counted)
        assert sorted(outcome.object[outcome.hit]) == taken.tolist()


def test_the_outcome_above_a_score_is_that_of_an_evaluation_of_those_alone() -> None:
    evaluation = drawn()
    outcome = outcome_of(evaluation)
    sure = evaluation.found.take(evaluation.found.score >= 0.4)
    alone = outcome_of(evaluate(evaluation.truth, sure, images=12, classes=3))
    above = outcome.score >= 0.4
    assert np.array_equal(outcome.object[above], alone.object)
    assert np.array_equal(outcome.missed(0.4), alone.missed())


def test_the_sweep_finds_the_score_with_the_best_f1() -> None:
    outcome = outcome_of(drawn())
    sweep = sweep_of(outcome)
    scores = np.unique(outcome.score)
    found = {}
    for score in scores:
        above = outcome.score >= score
        hits, false = (outcome.hit & above).sum(), (outcome.false & above).sum()
        found[score] = 2 * hits / (2 * hits + false + outcome.missed(score).sum())
    assert sweep.f1.max() == pytest.approx(max(found.values()))
    assert found[sweep.best] == max(found.values())
    empty = outcome_of(evaluate(NOTHING, Detections.of([], [], [], []), images=1, classes=1))
    assert sweep_of(empty).best == 0.0


def test_detections_of_one_score_come_and_go_together() -> None:
    truth = GroundTruth.of([0], [BOX], [CAT])
    found = Detections.of([0, 0], [BOX, FAR], [CAT, CAT], [0.5, 0.5])
    sweep = sweep_of(outcome_of(evaluate(truth, found, images=1, classes=1)))
    assert (sweep.score.tolist(), sweep.precision.tolist()) == ([0.5], [0.5])


# -- confusion ---------------------------------------------------------------------------------


def test_confusion_says_what_was_taken_for_what() -> None:
    truth = GroundTruth.of([0, 0, 1], [BOX, FAR, BOX], [CAT, DOG, DOG])
    found = Detections.of(
        [0, 0, 0, 1, 1], [BOX, FAR, NOWHERE, BESIDE, BOX], [CAT, CAT, DOG, DOG, DOG],
        [0.9, 0.8, 0.7, 0.6, 0.1],
    )  # fmt: skip
    result = confusion_of(evaluate(truth, found, images=2, classes=2), score=0.5)
    # a cat found, a dog taken for a cat, a dog missed; two dogs where there is none
    assert result.counts.tolist() == [[1, 0, 0], [1, 0, 1], [0, 2, 0]]


def test_confusion_prefers_the_right_class() -> None:
    """A wrong class with a higher score does not take the object away from the right one."""
    truth = GroundTruth.of([0], [BOX], [CAT])
    found = Detections.of([0, 0], [BOX, BOX], [DOG, CAT], [0.9, 0.6])
    result = confusion_of(evaluate(truth, found, images=1, classes=2), score=0.5)
    assert result.counts.tolist() == [[1, 0, 0], [0, 0, 0], [0, 1, 0]]


def test_confusion_counts_every_object_and_every_detection_once() -> None:
    evaluation = drawn()
    outcome = outcome_of(evaluation)
    for score in (0.0, 0.3, 0.9):
        counts = confusion_of(evaluation, score=score).counts
        above = (outcome.score >= score) & ~outcome.ignored
        assert counts[:-1].sum(axis=1).tolist() == outcome.objects().tolist()
        assert counts[:, :-1].sum(axis=0).tolist() == np.bincount(
            outcome.label[above], minlength=3
        ).tolist()  # fmt: skip
        assert np.trace(counts[:-1, :-1]) == (outcome.hit & above).sum()
        assert counts[-1, -1] == 0
    assert counts[:-1, :-1].sum() > 0


def test_confusion_without_classes_is_about_objects_alone() -> None:
    truth = GroundTruth.of([0, 0], [BOX, FAR], [CAT, DOG])
    found = Detections.of([0, 0], [BOX, NOWHERE], [DOG, DOG], [0.9, 0.8])
    agnostic = Parameters(class_agnostic=True)
    evaluation = evaluate(truth, found, images=1, classes=2, parameters=agnostic)
    assert confusion_of(evaluation, score=0.5).counts.tolist() == [[1, 1], [1, 0]]


# -- images ------------------------------------------------------------------------------------


def test_images_are_counted_and_the_best_and_worst_named() -> None:
    truth = GroundTruth.of([0, 0, 1, 3], [BOX, FAR, BOX, BOX], [CAT] * 4)
    found = Detections.of(
        [0, 0, 1, 1, 3], [BOX, FAR, FAR, BOX, BOX], [CAT] * 5, [0.9, 0.8, 0.7, 0.6, 0.2]
    )
    outcome = outcome_of(evaluate(truth, found, images=4, classes=1))
    result = image_hits_of(outcome, score=0.5)
    assert result.hits.tolist() == [2, 1, 0, 0]
    assert result.false.tolist() == [0, 1, 0, 0]
    assert result.missed.tolist() == [0, 0, 0, 1]
    assert result.f1.tolist() == [1.0, pytest.approx(2 / 3), 1.0, 0.0]
    assert result.worst(2).tolist() == [3, 1]
    assert result.best(2).tolist() == [0, 2]  # image 2 is empty and was left empty


# -- intervals ---------------------------------------------------------------------------------


def repeated(evaluation: Evaluation, weights: list[int]) -> Evaluation:
    """Evaluate a set in which image i really stands ``weights[i]`` times."""
    copies = np.repeat(np.arange(evaluation.images), weights)
    truth = [of_images(evaluation.truth, np.array([row]), images=12) for row in copies]
    found = [of_images(evaluation.found, np.array([row]), images=12) for row in copies]
    moved = np.repeat(np.arange(len(copies)), [len(part) for part in truth])
    seen = np.repeat(np.arange(len(copies)), [len(part) for part in found])
    objects = GroundTruth.of(
        moved, np.concatenate([part.xywh for part in truth]),
        np.concatenate([part.label for part in truth]),
        crowd=np.concatenate([part.crowd for part in truth]),
    )  # fmt: skip
    detections = Detections.of(
        seen, np.concatenate([part.xywh for part in found]),
        np.concatenate([part.label for part in found]),
        np.concatenate([part.score for part in found]),
    )  # fmt: skip
    return evaluate(objects, detections, images=len(copies), classes=3)


@pytest.mark.parametrize("seed", range(8))
def test_a_weighted_image_counts_as_often_as_if_it_were_there(seed: int) -> None:
    evaluation = drawn(seed)
    weights = np.random.default_rng(seed).integers(0, 4, 12)
    values = Weighted.of(evaluation).average_precision(weights)
    expected = repeated(evaluation, weights.tolist()).precision[:, :, :, 0, -1].mean(axis=1)
    assert np.allclose(values, np.where(expected < 0, np.nan, expected), atol=1e-12, equal_nan=True)
    assert np.nanmax(values) > 0.3


def test_a_bootstrap_is_a_function_of_its_seed() -> None:
    one, two, three = (bootstrap(drawn(), resamples=30, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(one.values, two.values, equal_nan=True)
    assert not np.array_equal(one.values, three.values, equal_nan=True)


def test_intervals_hold_the_estimate_and_narrow_with_the_level() -> None:
    evaluation = drawn()
    result = bootstrap(evaluation, resamples=100)
    for iou in (None, 0.5):
        low, high = result.interval(iou=iou)
        inner_low, inner_high = result.interval(iou=iou, level=0.5)
        assert 0.0 <= low < inner_low < inner_high < high <= 1.0
        assert low < evaluation.average_precision(iou=iou) < high
    assert np.allclose(result.estimate, evaluation.precision[..., 0, -1].mean(axis=1), atol=1e-12)
    classes = result.class_intervals(iou=0.5)
    assert ((classes[:, 0] <= classes[:, 1]) & (classes[:, 0] >= 0)).all()


def test_an_interval_of_nothing_is_nan() -> None:
    empty = evaluate(NOTHING, Detections.of([], [], [], []), images=2, classes=1)
    result = bootstrap(empty, resamples=5)
    assert all(math.isnan(bound) for bound in result.interval())
    assert np.isnan(result.class_intervals()).all()


# -- calibration -------------------------------------------------------------------------------


def test_calibration_compares_scores_with_the_share_of_hits() -> None:
    truth = GroundTruth.of([0, 1, 2, 3], [BOX] * 4, [CAT] * 4)
    found = Detections.of(
        range(6), [BOX, BOX, BOX, FAR, FAR, FAR], [CAT] * 6, [0.87, 0.87, 0.87, 0.87, 0.27, 0.05]
    )
    outcome = outcome_of(evaluate(truth, found, images=6, classes=1))
    result = calibration_of(outcome, lowest=0.1)
    assert result.count.tolist() == [0, 0, 1, 0, 0, 0, 0, 0, 4, 0]
    assert result.precision[8] == 0.75
    assert result.error == pytest.approx((4 * 0.12 + 1 * 0.27) / 5)
    assert np.isnan(result.precision[0])
    assert math.isnan(calibration_of(outcome, lowest=0.99).error)
