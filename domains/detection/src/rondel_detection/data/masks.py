"""Masks of objects at the size of the canvas, from the outlines of the labels.

Letters: (H, W) the picture that was labelled, (h, w) the picture on the canvas.
"""

from __future__ import annotations

import warnings

import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco

from rondel.errors import DataError
from rondel_detection.data.table import Floats, Outline

Bitmap = npt.NDArray[np.bool_]
Size = tuple[int, int]


def mask_of(outline: Outline | None, box: Floats, full: Size, scaled: Size) -> Bitmap:
    """Return the mask of an object, (h, w); without an outline, its box is filled.

    Args:
        outline: In pixels of the labelled picture.
        box: (4,) x1 y1 x2 y2, likewise.
        full: (H, W).
        scaled: (h, w).

    Raises:
        DataError: A run-length mask does not have the size of the picture.
    """
    if outline is not None and outline.counts:
        return _nearest(_of_counts(outline.counts, full), scaled)
    factor = np.array([scaled[1] / full[1], scaled[0] / full[0]])
    # pycocotools takes four numbers for a box, and two points enclose nothing
    polygons = [p * factor for p in outline.polygons if len(p) > 2] if outline else []
    if polygons:
        return _of_polygons(polygons, scaled)
    x1, y1, x2, y2 = box.tolist()
    corners = np.array([[x1, y1], [x2, y1], [x2, y2], [x1, y2]])
    return _of_polygons([corners * factor], scaled)


def _of_polygons(polygons: list[Floats], size: Size) -> Bitmap:
    parts = coco.frPyObjects([polygon.ravel().tolist() for polygon in polygons], *size)
    with warnings.catch_warnings():
        # pycocotools 2.0 asks NumPy 2 for an array in a way that is deprecated
        warnings.simplefilter("ignore", DeprecationWarning)
        made: Bitmap = coco.decode(coco.merge(parts)).astype(bool)
    return made


def _of_counts(counts: tuple[int, ...], full: Size) -> Bitmap:
    if sum(counts) != full[0] * full[1]:
        raise DataError(
            f"a run-length mask of {sum(counts)} pixels is not that of a picture of "
            f"{full[1]} x {full[0]}",
            hint="Labels and picture do not belong together.",
        )
    inside = np.arange(len(counts)) % 2 == 1
    return np.repeat(inside, counts).reshape(full, order="F")


def _nearest(mask: Bitmap, size: Size) -> Bitmap:
    rows, columns = (
        ((np.arange(new) + 0.5) * old / new).astype(np.int64)
        for new, old in zip(size, mask.shape, strict=True)
    )
    made: Bitmap = mask[rows[:, None], columns]
    return made
