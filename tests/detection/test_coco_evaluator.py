"""What the evaluator promises beside being pycocotools: edges, numbers, messages, columns."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from rondel.errors import DataError, UsageError
from rondel_detection.metrics.cells import descending, stable_order
from rondel_detection.metrics.coco import evaluate
from rondel_detection.metrics.columns import Detections, GroundTruth, of_images, scaled
from rondel_detection.metrics.overlap import BLOCK, overlaps
from rondel_detection.metrics.parameters import AreaRange, Parameters

NO_TRUTH = GroundTruth.of([], [], [])
NOTHING_FOUND = Detections.of([], [], [], [])
BOX = [10.0, 10.0, 40.0, 40.0]
FAR = [200.0, 200.0, 40.0, 40.0]
ONE = pytest.approx(1.0, abs=1e-15)  # COCO divides by a little more than the first detection


def test_an_example_worked_out_by_hand() -> None:
    """Two objects; hit, false, hit by falling score: precision 1 up to recall 1/2, then 2/3."""
    truth = GroundTruth.of([0, 1], [BOX, BOX], [0, 0])
    found = Detections.of([0, 0, 1], [BOX, FAR, BOX], [0, 0, 0], [0.9, 0.8, 0.7])
    result = evaluate(truth, found, images=2, classes=1)
    assert result.average_precision() == pytest.approx((51 * 1.0 + 50 * 2 / 3) / 101)
    assert result.recall[0, 0, 0].tolist() == [1.0, 1.0, 1.0]
    assert result.scores[0, [0, 50, 51, 100], 0, 0, 2].tolist() == [0.9, 0.9, 0.7, 0.7]


def test_a_limit_of_detections_counts_those_of_an_image_and_class() -> None:
    truth = GroundTruth.of([0, 0], [BOX, FAR], [0, 0])
    found = Detections.of([0, 0], [BOX, FAR], [0, 0], [0.9, 0.8])
    result = evaluate(truth, found, images=1, classes=1)
    assert result.recall[0, 0, 0].tolist() == [0.5, 1.0, 1.0]


def test_without_detections_precision_and_recall_are_zero_where_there_are_objects() -> None:
    truth = GroundTruth.of([0], [BOX], [1])
    result = evaluate(truth, NOTHING_FOUND, images=2, classes=2)
    assert (result.precision[:, :, 0] == -1).all()
    assert (result.precision[:, :, 1, 0] == 0).all()
    assert (result.recall[:, 1, 0] == 0).all()
    assert result.summary()["map"] == 0.0


def test_without_objects_everything_is_undefined() -> None:
    found = Detections.of([0], [BOX], [0], [0.5])
    result = evaluate(NO_TRUTH, found, images=1, classes=1)
    assert (result.precision == -1).all()
    assert all(math.isnan(value) for value in result.summary().values())
    assert np.isnan(result.class_precision()).all()
    assert np.isnan(result.mean_curve()).all()


def test_no_image_at_all_is_no_error() -> None:
    none: Any = np.int64(0)  # numbers read from arrays are numbers
    result = evaluate(NO_TRUTH, NOTHING_FOUND, images=none, classes=none)
    assert result.precision.shape == (10, 101, 0, 4, 3)
    assert math.isnan(result.summary()["map"])


def test_a_crowd_is_neither_found_nor_missed_and_takes_any_number_of_detections() -> None:
    truth = GroundTruth.of([0, 0], [BOX, FAR], [0, 0], crowd=[True, False])
    inside = [12.0, 12.0, 20.0, 20.0]
    found = Detections.of([0] * 4, [inside, BOX, inside, FAR], [0] * 4, [0.9, 0.8, 0.7, 0.6])
    assert evaluate(truth, found, images=1, classes=1).average_precision() == ONE


def test_the_first_object_of_all_can_be_found() -> None:
    """pycocotools takes an annotation with id 0 for 'no match'; here rows start at 0 anyway."""
    truth = GroundTruth.of([0], [BOX], [0])
    found = Detections.of([0], [BOX], [0], [0.5])
    assert evaluate(truth, found, images=1, classes=1).summary()["map"] == ONE


def test_the_headline_uses_the_largest_limit_of_detections() -> None:
    truth = GroundTruth.of([0] * 3, [BOX, FAR, [300.0, 10.0, 40.0, 40.0]], [0] * 3)
    found = Detections.of([0] * 3, truth.xywh, [0] * 3, [0.9, 0.8, 0.7])
    parameters = Parameters(max_detections=(1, 3))
    numbers = evaluate(truth, found, images=1, classes=1, parameters=parameters).summary()
    assert numbers["map"] == ONE
    assert numbers["ar_1"] == pytest.approx(1 / 3)
    assert numbers["ar_3"] == 1.0


def test_without_regard_to_classes_a_wrong_class_is_no_mistake() -> None:
    truth = GroundTruth.of([0], [BOX], [0])
    found = Detections.of([0], [BOX], [2], [0.5])
    agnostic = Parameters(class_agnostic=True)
    assert evaluate(truth, found, images=1, classes=3).summary()["map"] == 0.0
    result = evaluate(truth, found, images=1, classes=3, parameters=agnostic)
    assert result.summary()["map"] == ONE
    assert result.classes == 1


def test_the_names_of_the_numbers_follow_the_parameters() -> None:
    usual = evaluate(NO_TRUTH, NOTHING_FOUND, images=0, classes=1).summary()
    assert list(usual) == [
        *("map", "map50", "map75", "map_small", "map_medium", "map_large"),
        *("ar_1", "ar_10", "ar_100", "ar_small", "ar_medium", "ar_large"),
    ]
    parameters = Parameters(
        iou=(0.5,), max_detections=(7,), areas=(AreaRange("all", 0, 1e9), AreaRange("tiny", 0, 64))
    )
    other = evaluate(NO_TRUTH, NOTHING_FOUND, images=0, classes=1, parameters=parameters)
    assert list(other.summary()) == ["map", "map50", "map75", "map_tiny", "ar_7", "ar_tiny"]


def test_precision_of_one_overlap_is_found_by_its_value() -> None:
    truth = GroundTruth.of([0], [BOX], [0])
    found = Detections.of([0], [[10.0, 10.0, 40.0, 37.0]], [0], [0.5])  # overlap 0.925
    result = evaluate(truth, found, images=1, classes=1)
    assert result.average_precision(iou=0.9) == ONE  # COCO's grid has 0.8999999999999999
    assert result.average_precision(iou=0.95) == 0.0
    with pytest.raises(UsageError, match=r"no iou threshold 0\.62\. It has 0\.5, 0\.55, 0\.6"):
        result.average_precision(iou=0.62)


def test_the_order_of_rows_does_not_matter_where_scores_differ() -> None:
    draw = np.random.default_rng(0)
    xywh = draw.uniform(1, 100, (60, 4))
    image, label = draw.integers(0, 4, 60), draw.integers(0, 3, 60)
    truth = GroundTruth.of(image, xywh, label)
    score = draw.permutation(60) / 60
    found = Detections.of(image, xywh + draw.normal(0, 4, (60, 4)), label, score)
    mixed = draw.permutation(60)
    one = evaluate(truth, found, images=4, classes=3)
    two = evaluate(truth.take(draw.permutation(60)), found.take(mixed), images=4, classes=3)
    assert np.array_equal(one.precision, two.precision)
    assert np.array_equal(one.scores, two.scores)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Parameters(iou=(0.5, 0.4)), "iou (0.5, 0.4) is not an ascending list"),
        (lambda: Parameters(iou=()), "iou () is not an ascending list"),
        (lambda: Parameters(iou=(0.0, 0.5)), "are not all above 0 and up to 1"),
        (lambda: Parameters(iou=(0.5, 1.5)), "are not all above 0 and up to 1"),
        (lambda: Parameters(iou=tuple(k / 100 for k in range(1, 67))), "66 iou thresholds"),
        (lambda: Parameters(recall=(0.5, 0.5)), "recall (0.5, 0.5) is not an ascending list"),
        (lambda: Parameters(max_detections=(10, 1)), "max_detections (10, 1) is not"),
        (lambda: Parameters(max_detections=(0, 1)), "max_detections (0, 1) has a limit below 1"),
        (lambda: Parameters(areas=()), "at least one range of areas"),
        (
            lambda: GroundTruth.of([0, 1], [BOX], [0]),
            "columns of the ground truth differ in length: image 2, xywh 1, label 1",
        ),
        (
            lambda: Detections.of([0], [BOX], [0], []),
            "columns of the detections differ in length: image 1, xywh 1, label 1, score 0",
        ),
    ],
)
def test_wrong_arguments_are_named(make: Callable[[], object], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        make()
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("truth", "found", "message"),
    [
        (
            GroundTruth.of([0, 2], [BOX, BOX], [0, 0]),
            NOTHING_FOUND,
            "object 1 is of image 2, but there are 2. Number them from 0 to 1.",
        ),
        (
            NO_TRUTH,
            Detections.of([0], [BOX], [-1], [0.5]),
            "detection 0 is of class -1, but there are 3. Number them from 0 to 2.",
        ),
        (
            NO_TRUTH,
            Detections.of([0, 1], [BOX, [1.0, math.nan, 2.0, 3.0]], [0, 0], [0.5, 0.5]),
            "detection 1 (image 1) has the box [1.0, nan, 2.0, 3.0]",
        ),
        (
            GroundTruth.of([1], [[1.0, 1.0, math.inf, 1.0]], [0]),
            NOTHING_FOUND,
            "object 0 (image 1) has the box [1.0, 1.0, inf, 1.0]",
        ),
        (
            NO_TRUTH,
            Detections.of([1], [BOX], [0], [math.nan]),
            "detection 0 (image 1) has the score nan. A detector that has diverged",
        ),
    ],
)
def test_what_cannot_be_evaluated_is_shown(
    truth: GroundTruth, found: Detections, message: str
) -> None:
    with pytest.raises(DataError) as caught:
        evaluate(truth, found, images=2, classes=3)
    assert message in str(caught.value)


# -- the pieces that are fast for a reason ---------------------------------------------------


def test_the_fast_order_of_scores_is_the_stable_one() -> None:
    draw = np.random.default_rng(1)
    for distinct in (3, 50, 5000, 10**9):
        scores = draw.integers(0, distinct, 4000) / distinct
        assert np.array_equal(descending(scores), np.argsort(-scores, kind="stable"))
    assert descending(np.zeros(0)).tolist() == []


def test_the_order_by_digits_is_the_stable_one() -> None:
    draw = np.random.default_rng(2)
    for bound in (1, 7, 65536, 65537, 10**7):
        values = draw.integers(0, bound, 3000)
        assert np.array_equal(stable_order(values, bound), np.argsort(values, kind="stable"))


def test_pairs_of_several_blocks_are_complete() -> None:
    count = int(BLOCK**0.5) + 150  # one cell with more pairs than a block holds
    draw = np.random.default_rng(3)
    left, right = draw.uniform(1, 50, (2, count, 4))
    cell, crowd = np.zeros(count, dtype=np.int64), np.zeros(count, dtype=bool)
    pairs = overlaps(left, cell, right, cell, crowd=crowd, lowest=0.2)
    x = np.minimum(left[:, None, 0] + left[:, None, 2], right[:, 0] + right[:, 2])
    y = np.minimum(left[:, None, 1] + left[:, None, 3], right[:, 1] + right[:, 3])
    width = x - np.maximum(left[:, None, 0], right[:, 0])
    height = y - np.maximum(left[:, None, 1], right[:, 1])
    shared = width.clip(0) * height.clip(0)
    union = (left[:, 2] * left[:, 3])[:, None] + right[:, 2] * right[:, 3] - shared
    rows, columns = np.nonzero(shared / union >= 0.2)
    assert np.array_equal(pairs.left, rows)
    assert np.array_equal(pairs.right, columns)


# -- columns from tables and batches ---------------------------------------------------------


def test_an_area_that_is_not_known_is_that_of_the_box() -> None:
    truth = GroundTruth.of([0, 0], [BOX, BOX], [0, 0], area=[math.nan, 7.0])
    assert truth.area.tolist() == [1600.0, 7.0]


def test_chosen_images_are_numbered_anew_in_the_given_order() -> None:
    truth = GroundTruth.of([0, 1, 2, 1], [BOX] * 4, [0, 1, 2, 3])
    chosen = of_images(truth, np.array([2, 1]), images=3)
    assert chosen.image.tolist() == [1, 0, 1]
    assert chosen.label.tolist() == [1, 2, 3]


def test_scaling_goes_by_image_and_squares_areas() -> None:
    truth = scaled(GroundTruth.of([0, 1], [BOX, BOX], [0, 0], area=[10.0, 10.0]), [2.0, 0.5])
    assert truth.xywh.tolist() == [[20.0, 20.0, 80.0, 80.0], [5.0, 5.0, 20.0, 20.0]]
    assert truth.area.tolist() == [40.0, 2.5]
    assert scaled(NOTHING_FOUND, [2.0]).xywh.shape == (0, 4)
