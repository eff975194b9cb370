"""The evaluator against pycocotools, bit for bit, on cases that are drawn to be hard."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import math
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from rondel_detection.metrics import accumulate, cells, coco, matching
from rondel_detection.metrics.coco import Evaluation, evaluate
from rondel_detection.metrics.columns import Detections, GroundTruth
from rondel_detection.metrics.curves import Curves
from rondel_detection.metrics.masks import encode_masks, evaluate_masks
from rondel_detection.metrics.parameters import COCO_AREAS, AreaRange, Parameters

SEEDS = range(400)
FEW = range(60)
ARRAYS = ("precision", "recall", "scores")
Case = tuple[GroundTruth, Detections, int, int, Parameters]


def evaluated(case: Case) -> Evaluation:
    truth, found, images, classes, parameters = case
    return evaluate(truth, found, images=images, classes=classes, parameters=parameters)


def wrong_seeds(seeds: range) -> Iterator[int]:
    """Yield the seeds whose arrays are not those of pycocotools."""
    for seed in seeds:
        case = draw_case(seed)
        if differing_arrays(evaluated(case), pycocotools_evaluation(*case)):
            yield seed


def test_all_arrays_are_those_of_pycocotools() -> None:
    assert list(wrong_seeds(SEEDS)) == []


def test_the_cases_are_hard() -> None:
    """Count what the drawn cases contain, so that the test above cannot become empty by accident."""
    seen = dict.fromkeys(("partial", "absent", "ties", "crowds", "cut", "two", "agnostic"), 0)
    for seed in range(200):
        truth, found, _, _, parameters = case = draw_case(seed)
        evaluation = evaluated(case)
        matches, ranks = evaluation.matches, evaluation.judged.ranking.rank
        inner = (evaluation.precision > 0) & (evaluation.precision < 1)
        seen["partial"] += bool(inner.any())
        seen["absent"] += bool((evaluation.precision == -1).any())
        seen["ties"] += len(np.unique(found.score)) < len(found)
        seen["crowds"] += bool(truth.crowd[matches.truth].any())
        seen["cut"] += len(ranks) < len(found)
        seen["two"] += len(np.unique(matches.place)) < len(matches.place)
        seen["agnostic"] += parameters.class_agnostic
    assert min(seen.values()) >= 20, seen


def test_the_twelve_numbers_are_those_of_pycocotools() -> None:
    for seed in FEW:
        truth, found, images, classes, _ = draw_case(seed)
        case = (truth, found, images, classes, Parameters())
        numbers = list(evaluated(case).summary().values())
        expected = pycocotools_evaluation(*case).stats
        assert [-1 if math.isnan(value) else value for value in numbers] == expected.tolist()


def coco_like() -> Any:
    path = Path(__file__).parents[2] / "benchmarks" / "coco_like.py"
    spec = importlib.util.spec_from_file_location("coco_like", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["coco_like"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_the_made_up_set_of_the_benchmark_gives_the_same_arrays() -> None:
    scene = coco_like().make_scene(150, seed=3)
    truth = GroundTruth.of(
        scene.truth_image, scene.truth_xywh, scene.truth_label,
        crowd=scene.truth_crowd, area=scene.truth_area,
    )  # fmt: skip
    found = Detections.of(scene.image, scene.xywh, scene.label, scene.score)
    case = (truth, found, scene.images, scene.classes, Parameters())
    evaluation = evaluated(case)
    assert differing_arrays(evaluation, pycocotools_evaluation(*case)) == []
    assert 0.3 < evaluation.summary()["map"] < 0.7
    assert len(found) == 15_000


def test_masks_give_the_arrays_of_pycocotools() -> None:
    for seed in range(25):
        draw = np.random.default_rng(seed)
        objects, detections, images, classes = 12, 24, 3, 2
        masks, source = blobs(draw, objects), draw.integers(0, objects, detections)
        noise = draw.random((detections, 40, 50)) < draw.choice(
            [0.0, 0.01, 0.05], (detections, 1, 1)
        )
        truth_masks, found_masks = encode_masks(masks), encode_masks(masks[source] ^ noise)
        truth = GroundTruth.of(
            draw.integers(0, images, objects), np.zeros((objects, 4)),
            draw.integers(0, classes, objects), crowd=draw.random(objects) < 0.2,
            area=draw.choice([500.0, 1024.0, 2000.0], objects),
        )  # fmt: skip
        found = Detections.of(
            truth.image[source],
            np.zeros((detections, 4)),
            truth.label[source],
            np.round(draw.random(detections) * 8) / 8,
        )
        parameters = Parameters(class_agnostic=seed % 5 == 0)
        mine = evaluate_masks(
            truth, truth_masks, found, found_masks,
            images=images, classes=classes, parameters=parameters,
        )  # fmt: skip
        oracle = pycocotools_evaluation(
            truth, found, images, classes, parameters,
            truth_masks=truth_masks, found_masks=found_masks,
        )  # fmt: skip
        assert differing_arrays(mine, oracle) == [], seed
        assert len(mine.matches.place) > 5


def blobs(draw: np.random.Generator, count: int) -> Any:
    masks = np.zeros((count, 40, 50), dtype=bool)
    for mask in masks:
        y, x = draw.integers(0, 20), draw.integers(0, 25)
        mask[y : y + draw.integers(1, 20), x : x + draw.integers(1, 25)] = True
    return masks & (draw.random(masks.shape) < 0.95)


# -- the oracle, and the cases ----------------------------------------------------------------


def pycocotools_evaluation(
    truth: GroundTruth,
    found: Detections,
    images: int,
    classes: int,
    parameters: Parameters,
    *,
    truth_masks: Any = None,
    found_masks: Any = None,
) -> COCOeval:
    """Evaluate with pycocotools; ids start at 1, because it takes an id of 0 for 'no match'."""
    objects = [
        {
            "id": row + 1,
            "image_id": int(truth.image[row]) + 1,
            "category_id": int(truth.label[row]) + 1,
            "bbox": truth.xywh[row].tolist(),
            "area": float(truth.area[row]),
            "iscrowd": int(truth.crowd[row]),
        }
        for row in range(len(truth))
    ]
    results = [
        {
            "image_id": int(found.image[row]) + 1,
            "category_id": int(found.label[row]) + 1,
            "score": float(found.score[row]),
        }
        for row in range(len(found))
    ]
    for row, result in enumerate(results):
        if found_masks is None:
            result["bbox"] = found.xywh[row].tolist()
        else:
            result["segmentation"] = found_masks[row]
    for row, thing in enumerate(objects):
        if truth_masks is not None:
            thing["segmentation"] = truth_masks[row]
    with contextlib.redirect_stdout(io.StringIO()):
        known, detected = loaded(objects, results, images=images, classes=classes)
        evaluation = COCOeval(known, detected, "bbox" if found_masks is None else "segm")
        asked = evaluation.params
        asked.iouThrs, asked.recThrs = np.array(parameters.iou), np.array(parameters.recall)
        asked.areaRng = [[span.low, span.high] for span in parameters.areas]
        asked.areaRngLbl = [span.name for span in parameters.areas]
        asked.maxDets = list(parameters.max_detections)
        asked.useCats = 0 if parameters.class_agnostic else 1
        evaluation.evaluate()
        evaluation.accumulate()
        if len(parameters.max_detections) == 3:
            evaluation.summarize()
    return evaluation


def loaded(
    objects: list[dict[str, Any]], results: list[dict[str, Any]], *, images: int, classes: int
) -> tuple[COCO, COCO]:
    """Make pycocotools' two indices; it cannot load an empty list of results by itself."""
    known, detected = COCO(), COCO()
    known.dataset = {
        "info": {},
        "images": [{"id": row + 1, "width": 640, "height": 480} for row in range(images)],
        "categories": [{"id": row + 1} for row in range(classes)],
        "annotations": objects,
    }
    known.createIndex()
    if results:
        return known, known.loadRes(results)
    detected.dataset = {**known.dataset, "annotations": []}
    detected.createIndex()
    return known, detected


def differing_arrays(curves: Curves, oracle: COCOeval) -> list[str]:
    """Return the names of the arrays in which a single bit differs."""
    return [name for name in ARRAYS if not np.array_equal(getattr(curves, name), oracle.eval[name])]


def draw_case(seed: int) -> Case:
    """Draw a case: ties, crowds, degenerate boxes, areas on borders, odd parameters, nothing."""
    draw = np.random.default_rng(seed)
    images, classes = int(draw.integers(1, 7)), int(draw.integers(1, 5))
    size = float(draw.choice([20, 64, 192, 400]))
    on_grid = bool(draw.random() < 0.5)
    objects, detections = int(draw.integers(0, 30)), int(draw.integers(0, 80))
    many = bool(draw.random() < 0.15)
    if many:  # of one class: so many that the product of recall and number rounds badly
        classes, objects, detections = 1, int(draw.choice([25, 50, 75, 100])), 160
    truth = draw_truth(draw, objects, images, classes, size=size, on_grid=on_grid)
    if many:
        truth = replace(truth, crowd=truth.crowd & False)
    image, label = draw.integers(0, images, detections), draw.integers(0, classes, detections)
    boxes = draw_boxes(draw, detections, size=size, on_grid=on_grid)
    if objects:
        # most detections are near an object, many exactly on it
        source, near = draw.integers(0, objects, detections), draw.random(detections) < 0.7
        moved = draw.random(detections) < 0.6
        shift = draw.normal(0, size * 0.06, (detections, 4)) * moved[:, None]
        boxes[near] = (truth.xywh[source] + shift)[near]
        image[near] = truth.image[source][near]
        same = near & (draw.random(detections) < 0.8)
        label[same] = truth.label[source][same]
    score = draw.random(detections)
    if draw.random() < 0.6:
        score = np.round(score * draw.integers(1, 9)) / 4 - 0.25
    if draw.random() < 0.3:
        order = np.argsort(image, kind="stable")
        image, boxes, label, score = image[order], boxes[order], label[order], score[order]
    found = Detections.of(image, boxes, label, score)
    if draw.random() < 0.2:
        truth, found = with_twins(draw, truth, found)
    return truth, found, images, classes, draw_parameters(draw)


def with_twins(
    draw: np.random.Generator, truth: GroundTruth, found: Detections
) -> tuple[GroundTruth, Detections]:
    """Add two objects that one detection overlaps equally, and another one that overlaps one."""
    x, shift = float(draw.integers(40, 60)), float(draw.choice([2, 4, 8]))
    left, right = [x - shift, 10.0, 32.0, 32.0], [x + shift, 10.0, 32.0, 32.0]
    twins = GroundTruth.of([0, 0], [left, right], [0, 0])
    second = left if draw.random() < 0.5 else right
    seen = Detections.of([0, 0], [[x, 10.0, 32.0, 32.0], second], [0, 0], [2.0, 1.5])
    return GroundTruth(*joined(truth, twins)), Detections(*joined(found, seen))


def joined(one: Any, two: Any) -> list[Any]:
    """Return the columns of both."""
    return [
        np.concatenate(pair) for pair in zip(vars(one).values(), vars(two).values(), strict=True)
    ]


def draw_boxes(
    draw: np.random.Generator, count: int, *, size: float, on_grid: bool
) -> np.ndarray[Any, Any]:
    boxes = np.concatenate(
        [draw.uniform(0, size * 1.5, (count, 2)), draw.uniform(0, size, (count, 2))], axis=1
    )
    if on_grid:
        boxes = np.round(boxes / (size / 4)) * (size / 4)
    boxes[draw.random(count) < 0.06, 2 + draw.integers(2)] = 0.0
    boxes[draw.random(count) < 0.04, 2] *= -1.0
    for side in (32.0, 96.0):
        boxes[draw.random(count) < 0.05, 2:] = side
    return boxes


def draw_truth(
    draw: np.random.Generator, count: int, images: int, classes: int, *, size: float, on_grid: bool
) -> GroundTruth:
    borders = [0.0, 1024.0, 1024.0000001, 9216.0, 5.0, 1e10, 2e10]
    of_box = draw.random(count) < 0.5
    share_of_crowds = draw.choice([0.0, 0.2, 1.0], p=[0.4, 0.55, 0.05])
    return GroundTruth.of(
        draw.integers(0, images, count),
        draw_boxes(draw, count, size=size, on_grid=on_grid),
        draw.integers(0, classes, count),
        crowd=draw.random(count) < share_of_crowds,
        area=np.where(of_box, np.nan, draw.choice(borders, count)),
    )


def draw_parameters(draw: np.random.Generator) -> Parameters:
    usual = Parameters()
    if draw.random() < 0.5:
        return usual
    overlaps = (usual.iou, (0.1, 0.5, 1.0), (0.5,), (0.3, 0.30000000000000004, 0.75))
    recalls = (usual.recall, (0.0,), (0.2, 0.5, 1.0), (0.0, 1 / 3, 0.5, 2 / 3, 1.0, 1.1))
    limits = ((1, 10, 100), (1,), (1, 2, 3), (2, 5), (100,))
    odd = (AreaRange("all", 0, 1e10), AreaRange("exact", 1024, 1024), AreaRange("none", 5, 4))
    areas = (COCO_AREAS, COCO_AREAS[:1], odd)
    return Parameters(
        iou=overlaps[draw.integers(4)],
        recall=recalls[draw.integers(4)],
        areas=areas[draw.integers(3)],
        max_detections=limits[draw.integers(5)],
        class_agnostic=bool(draw.random() < 0.4),
    )


# -- tests of the tests: the fuzz notices each of these faults -------------------------------


@pytest.mark.parametrize(
    "fault",
    ["first of equal overlaps", "used up crowds", "unstable ties", "score of the first hit",
     "other objects first", "rounded recalls"],
)  # fmt: skip
def test_a_planted_fault_is_noticed(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(fault, monkeypatch)
    assert any(True for _ in wrong_seeds(range(300)))


def plant(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    match fault:
        case "first of equal overlaps":
            order = cells.best_first

            def reversed_ties(pairs: Any) -> Any:
                chosen = np.lexsort((pairs.right, -pairs.iou, pairs.left))
                assert len(chosen) == len(order(pairs))
                return chosen

            monkeypatch.setattr(cells, "best_first", reversed_ties)
        case "used up crowds":
            match_boxes = matching.match
            monkeypatch.setattr(
                coco,
                "match",
                lambda pairs, *, crowd, **rest: match_boxes(pairs, crowd=crowd & False, **rest),
            )
        case "unstable ties":
            monkeypatch.setattr(
                cells,
                "descending",
                lambda scores: len(scores) - 1 - np.argsort(-scores[::-1], kind="stable"),
            )
        case "score of the first hit":
            best = accumulate.Judged.best_score
            monkeypatch.setattr(accumulate.Judged, "best_score", lambda judged: best(judged) * 0)
        case "other objects first":
            plan = matching.plan
            monkeypatch.setattr(
                matching, "plan", lambda pairs, ignored, needed: plan(pairs, ~ignored, needed)
            )
        case "rounded recalls":
            monkeypatch.setattr(
                accumulate, "hits_needed",
                lambda counted, recall: np.ceil(recall * np.maximum(counted, 1)[:, None]).astype(int),
            )  # fmt: skip
        case _:
            raise AssertionError(fault)
