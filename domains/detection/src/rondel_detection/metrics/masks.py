"""COCO's evaluation of masks: overlaps by pycocotools, all the rest as for boxes.

Masks are compressed run lengths, as pycocotools makes them: ``{"size": [H, W], "counts": bytes}``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypedDict

import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco_mask

from rondel.errors import UsageError
from rondel_detection.data.table import Flags, Integers, Outline
from rondel_detection.metrics.cells import OverlapsOf, run_starts
from rondel_detection.metrics.coco import COCO, Evaluation, Shapes, evaluate_shapes
from rondel_detection.metrics.columns import Detections, GroundTruth
from rondel_detection.metrics.overlap import Overlaps
from rondel_detection.metrics.parameters import Parameters


class Mask(TypedDict):
    """A mask of a whole image as compressed run lengths."""

    size: list[int]
    counts: bytes


def evaluate_masks(
    truth: GroundTruth,
    truth_masks: Sequence[Mask],
    found: Detections,
    found_masks: Sequence[Mask],
    *,
    images: int,
    classes: int,
    parameters: Parameters = COCO,
) -> Evaluation:
    """Evaluate masks; the areas of ``truth`` decide about the size of objects.

    Args:
        truth: What is there.
        truth_masks: A mask for each object.
        found: What was detected.
        found_masks: A mask for each detection.
        images: Number of images; their order decides between equal scores.
        classes: Number of classes.
        parameters: Of the evaluation; the defaults are COCO's.

    Raises:
        UsageError: There are more or fewer masks than rows.
        DataError: An image or class is out of range, or a number is not finite.
    """
    for what, rows, masks in (("objects", truth, truth_masks), ("detections", found, found_masks)):
        if len(rows) != len(masks):
            raise UsageError(f"{len(rows)} {what} have {len(masks)} masks")
    area = coco_mask.area(list(found_masks)) if found_masks else []
    shapes = Shapes(
        np.asarray(area, dtype=np.float64), mask_overlaps(truth_masks, found_masks, truth.crowd)
    )
    return evaluate_shapes(
        truth, found, shapes, images=images, classes=classes, parameters=parameters
    )


def mask_overlaps(
    truth_masks: Sequence[Mask], found_masks: Sequence[Mask], crowd: Flags
) -> OverlapsOf:
    """Return the function that overlaps masks, cell by cell."""

    def compute(
        left: Integers,
        left_cell: Integers,
        right: Integers,
        right_cell: Integers,
        lowest: float,
    ) -> Overlaps:
        none = np.zeros(0, dtype=np.int64)
        parts = [(none, none, np.zeros(0))]
        starts = run_starts(left_cell)
        for start, stop in zip(starts, [*starts[1:], len(left_cell)], strict=True):
            first, last = np.searchsorted(right_cell, [left_cell[start], left_cell[start] + 1])
            one = [found_masks[row] for row in left[start:stop]]
            two = [truth_masks[row] for row in right[first:last]]
            iou = np.asarray(coco_mask.iou(one, two, crowd[right[first:last]].tolist()))
            rows, columns = np.nonzero(iou >= lowest)
            parts.append((start + rows, first + columns, iou[rows, columns]))
        return Overlaps(*(np.concatenate(column) for column in zip(*parts, strict=True)))

    return compute


def encode_masks(masks: npt.ArrayLike) -> list[Mask]:
    """Turn (N, H, W) masks of anything that is true or false into run lengths."""
    columns = np.asarray(masks).astype(np.uint8).transpose(1, 2, 0)
    encoded: list[Mask] = coco_mask.encode(np.asfortranarray(columns))
    return encoded


def encode_outline(outline: Outline, *, height: int, width: int) -> Mask:
    """Turn the outline of an object into a mask of its picture.

    Args:
        outline: Polygons, which are united, or uncompressed run lengths.
        height: Of the picture in pixels.
        width: Of the picture in pixels.
    """
    shapes: Any = [np.asarray(polygon).reshape(-1).tolist() for polygon in outline.polygons]
    if outline.counts:
        shapes = [{"size": [height, width], "counts": list(outline.counts)}]
    encoded: Mask = coco_mask.merge(coco_mask.frPyObjects(shapes, height, width))
    return encoded
