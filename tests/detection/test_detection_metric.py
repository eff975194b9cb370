"""The metric of a run: the same numbers whatever the batches, the processes and their order."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

from rondel.callbacks.best import better
from rondel.errors import DataError, UsageError
from rondel.metric import Metric, merged
from rondel.tree import from_bytes, to_bytes
from rondel_detection.data.table import Outline
from rondel_detection.metrics.coco import evaluate
from rondel_detection.metrics.columns import Detections, GroundTruth, of_images
from rondel_detection.metrics.masks import encode_masks, encode_outline, evaluate_masks
from rondel_detection.metrics.metric import DetectionMetric

IMAGES = 11
NAMES = ("cat", "dog", "a/b c")
BOX = [10.0, 10.0, 40.0, 40.0]


def scene(seed: int = 0) -> tuple[GroundTruth, Detections]:
    draw = np.random.default_rng(seed)
    truth = GroundTruth.of(
        draw.integers(0, IMAGES, 40), draw.uniform(1, 100, (40, 4)), draw.integers(0, 3, 40),
        crowd=draw.random(40) < 0.1,
    )  # fmt: skip
    source = draw.integers(0, 40, 160)
    moved = truth.xywh[source] + draw.normal(0, 4, (160, 4))
    score = np.round(draw.random(160) * 20) / 20  # many ties
    return truth, Detections.of(truth.image[source], moved, truth.label[source], score)


def fed(metric: DetectionMetric, rows: Sequence[int]) -> DetectionMetric:
    """Update a metric with one batch of the images in ``rows``; ids are 100, 107, 114 ..."""
    truth, found = scene()
    chosen = np.array(rows, dtype=np.int64)
    return metric.update(
        100 + 7 * chosen,
        of_images(truth, chosen, images=IMAGES),
        of_images(found, chosen, images=IMAGES),
    )


def whole() -> dict[str, float]:
    return fed(DetectionMetric(NAMES), range(IMAGES)).compute()


def test_it_is_a_metric_of_the_core() -> None:
    assert isinstance(DetectionMetric(NAMES), Metric)


def test_the_numbers_are_those_of_the_evaluator() -> None:
    truth, found = scene()
    expected = evaluate(truth, found, images=IMAGES, classes=3)
    numbers = whole()
    assert {name: numbers[name] for name in expected.summary()} == expected.summary()
    assert list(numbers)[12:] == ["ap/cat", "ap/dog", "ap/a/b c"]
    assert [*numbers.values()][12:] == expected.class_precision().tolist()
    assert 0.1 < numbers["map"] < 0.9


def test_batches_in_any_order_give_the_same_numbers() -> None:
    metric = DetectionMetric(NAMES)
    for rows in ([7, 3], [10], [0, 9, 1], [8, 2, 4, 6, 5]):
        fed(metric, rows)
    assert metric.compute() == whole()
    assert metric.image_ids.tolist() == [100 + 7 * row for row in range(IMAGES)]


def test_processes_give_the_numbers_of_one() -> None:
    """Through the bytes that travel between processes, with images that two of them saw."""
    first, second = (fed(DetectionMetric(NAMES), rows) for rows in ([0, 2, 4, 6, 8, 10], [9, 1]))
    third = fed(fed(DetectionMetric(NAMES), [3, 5, 7]), [0, 1])
    states = [from_bytes(to_bytes({"": metric.state_dict()})) for metric in (second, third)]
    assert merged({"": first}, states) == whole()


def test_an_image_counts_once() -> None:
    metric = fed(DetectionMetric(NAMES), range(IMAGES))
    fed(metric, [3, 3, 4])
    metric.merge(metric.state_dict())
    assert metric.compute() == whole()
    assert len(metric.image_ids) == IMAGES


def test_numbers_can_be_asked_for_in_between() -> None:
    metric = fed(DetectionMetric(NAMES), [4, 1])
    half = metric.compute()
    fed(metric, [0, 2, 3, 5, 6, 7, 8, 9, 10])
    assert metric.compute() == whole() != half


def test_the_state_is_plain_tensors_that_lose_nothing() -> None:
    state = fed(DetectionMetric(NAMES), range(IMAGES)).state_dict()
    assert all(isinstance(value, torch.Tensor) for value in state.values())
    assert state["truth.xywh"].dtype == torch.float64
    assert state["found.label"].dtype == torch.int32
    again = DetectionMetric(NAMES)
    again.merge(state)
    assert again.compute() == whole()


def test_an_empty_metric_is_undefined_and_never_better() -> None:
    metric = DetectionMetric(NAMES)
    metric.merge(DetectionMetric(NAMES).state_dict())
    numbers = metric.compute()
    assert all(math.isnan(value) for value in numbers.values())
    assert not better(numbers["map"], None, "max")


def test_images_without_any_box_count() -> None:
    """A detection on a picture of nothing is a mistake."""
    truth = GroundTruth.of([0], [BOX], [0])
    metric = DetectionMetric(("cat",)).update([1], truth, Detections.of([0], [BOX], [0], [0.5]))
    assert metric.compute()["map50"] == pytest.approx(1.0)
    metric.update([2], GroundTruth.of([], [], []), Detections.of([0], [BOX], [0], [0.9]))
    assert metric.compute()["map50"] == pytest.approx(0.5)


def test_a_class_without_objects_is_nan_and_does_not_count() -> None:
    truth = GroundTruth.of([0], [BOX], [0])
    metric = DetectionMetric(("cat", "dog"))
    numbers = metric.update([1], truth, Detections.of([0], [BOX], [0], [0.5])).compute()
    assert numbers["ap/cat"] == numbers["map"] == pytest.approx(1.0)
    assert math.isnan(numbers["ap/dog"])


def test_rows_that_do_not_fit_the_batch_are_named_at_once() -> None:
    with pytest.raises(DataError, match="detection 0 is of image 1, but there are 1"):
        DetectionMetric(NAMES).update(
            [5], GroundTruth.of([], [], []), Detections.of([1], [BOX], [0], [0.5])
        )


# -- masks -------------------------------------------------------------------------------------


def masked(rows: Sequence[int], metric: DetectionMetric) -> DetectionMetric:
    """Update a metric with boxes and masks of some of six images."""
    truth, found, truth_masks, found_masks = mask_scene()
    chosen = np.array(rows, dtype=np.int64)

    def of_rows(image: Any, masks: Any) -> list[Any]:
        return [mask for mask, row in zip(masks, image, strict=True) if row in rows]

    return metric.update(
        chosen, of_images(truth, chosen, images=6), of_images(found, chosen, images=6),
        truth_masks=of_rows(truth.image, truth_masks),
        found_masks=of_rows(found.image, found_masks),
    )  # fmt: skip


def mask_scene() -> tuple[GroundTruth, Detections, Any, Any]:
    draw = np.random.default_rng(5)
    drawn = np.zeros((18, 32, 32), dtype=bool)
    for mask in drawn:
        y, x = draw.integers(0, 16, 2)
        mask[y : y + 12, x : x + 14] = draw.random((min(12, 32 - y), min(14, 32 - x))) < 0.9
    image = np.sort(draw.integers(0, 6, 18))
    truth = GroundTruth.of(image, [BOX] * 18, [0] * 18, area=drawn.sum(axis=(1, 2)))
    found = Detections.of(image, [BOX] * 18, [0] * 18, draw.random(18))
    noisy = drawn ^ (draw.random(drawn.shape) < 0.02)
    return truth, found, encode_masks(drawn), encode_masks(torch.from_numpy(noisy))


def test_masks_are_measured_beside_boxes_and_merge() -> None:
    first, second = DetectionMetric(["cat"], masks=True), DetectionMetric(["cat"], masks=True)
    masked([3, 0, 5], first)
    masked([1, 2, 4, 5], second)
    first.merge(from_bytes(to_bytes(second.state_dict())))
    truth, found, truth_masks, found_masks = mask_scene()
    expected = evaluate_masks(truth, truth_masks, found, found_masks, images=6, classes=1)
    numbers = first.compute()
    assert numbers["mask_map"] == expected.summary()["map"] > 0.3
    assert numbers["mask_ap/cat"] == expected.class_precision()[0]
    assert numbers["map"] == evaluate(truth, found, images=6, classes=1).summary()["map"]


def test_missing_masks_are_named() -> None:
    truth, nothing = GroundTruth.of([0], [BOX], [0]), Detections.of([], [], [], [])
    metric = DetectionMetric(["cat"], masks=True)
    with pytest.raises(UsageError, match="got 0 masks for 1 objects and 0 for 0 detections"):
        metric.update([0], truth, nothing)
    with pytest.raises(UsageError, match="1 objects have 0 masks"):
        evaluate_masks(truth, [], nothing, [], images=1, classes=1)
    with pytest.raises(UsageError, match=r"this metric has no masks\. Make it with masks=True"):
        _ = DetectionMetric(["cat"]).mask_evaluation


def test_outlines_become_masks_of_their_picture() -> None:
    square = np.array([[2.0, 1.0], [6.0, 1.0], [6.0, 5.0], [2.0, 5.0]])
    both = Outline(polygons=(square, square + 10))
    expected = np.zeros((1, 20, 24), dtype=bool)
    expected[0, 1:5, 2:6] = expected[0, 11:15, 12:16] = True
    assert encode_outline(both, height=20, width=24) == encode_masks(expected)[0]
    flat = expected[0].T.reshape(-1)
    ends = np.flatnonzero(np.diff(flat.astype(int))) + 1
    counts = tuple(np.diff([0, *ends, len(flat)]).tolist())
    assert encode_outline(Outline(counts=counts), height=20, width=24) == encode_masks(expected)[0]
