"""COCO annotations as columns: boxes, flags and outlines of many annotations at once.

Letters: N annotations.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import numpy as np

from rondel.errors import DataError
from rondel_detection.data.geometry import Box, enclosing, mask_bounds
from rondel_detection.data.labels import SourceId
from rondel_detection.data.loss_report import LossReport
from rondel_detection.data.table import (
    Boxes,
    Flags,
    Floats,
    Images,
    Objects,
    Outline,
    integers,
    objects,
    taken,
)

Annotation = Mapping[str, Any]

FIELDS = frozenset(
    {
        "id",
        "image_id",
        "category_id",
        "bbox",
        "area",
        "iscrowd",
        "ignore",
        "score",
        "segmentation",
        "attributes",
    }
)
"""What is understood of an annotation."""
NO_BOX = (float("nan"),) * 4


@dataclass
class Gathered:
    """Annotations whose image and class are known, from one file or several."""

    annotations: list[Annotation] = field(default_factory=list)
    image: list[int] = field(default_factory=list)  # row in Images
    label: list[int] = field(default_factory=list)  # index in the LabelMap
    origin: list[int] = field(default_factory=list)  # row in Annotations.files


def source_id(value: object) -> SourceId | None:
    """Return an id as it is kept: a whole number or a text; None if it is neither."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, (int, str)) else None


def box_columns(
    gathered: Gathered, images: Images, files: Sequence[str], losses: LossReport
) -> Boxes:
    """Make the columns of the boxes; what has no box at all is dropped and listed."""
    found = gathered.annotations
    shapes = _Shapes(gathered, images, files, losses)
    xyxy = shapes.corners()
    attributes = _attributes(found)
    _list_unknown_fields(found, losses)
    boxes = Boxes(
        image=integers(gathered.image),
        xyxy=xyxy,
        label=integers(gathered.label),
        crowd=_flags(found, "iscrowd"),
        difficult=_flags(found, "ignore"),
        truncated=_flag_of(attributes, "truncated", len(found)),
        occluded=_flag_of(attributes, "occluded", len(found)),
        area=_numbers(found, "area"),
        score=_numbers(found, "score"),
        id=_ids(found),
        origin=integers(gathered.origin),
        line=np.zeros(len(found), dtype=np.int64),
        attributes={row: values for row, values in attributes.items() if values},
        outline=shapes.outlines,
    )
    kept = np.flatnonzero(np.isfinite(xyxy).all(axis=1))
    return boxes if len(kept) == len(boxes) else taken(boxes, kept)


def _flags(found: list[Annotation], name: str) -> Flags:
    return np.array([bool(a.get(name, False)) for a in found], dtype=bool)


def _numbers(found: list[Annotation], name: str) -> Floats:
    values = [a.get(name) for a in found]
    try:
        return np.array(values, dtype=np.float64).reshape(len(found))  # None becomes NaN
    except (TypeError, ValueError):
        return np.array([_number(value) for value in values])


def _number(value: object) -> float:
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return float("nan")


def _ids(found: list[Annotation]) -> Objects:
    ids = [source_id(a.get("id")) for a in found]
    return objects([row if value is None else value for row, value in enumerate(ids)])


def _attributes(found: list[Annotation]) -> dict[int, dict[str, Any]]:
    return {
        row: dict(a["attributes"])
        for row, a in enumerate(found)
        if "attributes" in a and isinstance(a["attributes"], dict)
    }


def _flag_of(attributes: Mapping[int, dict[str, Any]], name: str, count: int) -> Flags:
    """Take the attribute that is a flag of the table out of the attributes, (count,)."""
    flags = np.zeros(count, dtype=bool)
    for row, values in attributes.items():
        if isinstance(values.get(name), bool):
            flags[row] = values.pop(name)
    return flags


def _list_unknown_fields(found: list[Annotation], losses: LossReport) -> None:
    unknown: Counter[str] = Counter()
    for annotation in found:
        if not annotation.keys() <= FIELDS:
            unknown.update(annotation.keys() - FIELDS)
    for name in sorted(unknown):
        losses.add(f"field {name!r} of an annotation is not kept", count=unknown[name])


class _Shapes:
    """Boxes and outlines of annotations.

    Args:
        gathered: The annotations.
        images: Their images.
        files: The label files.
        losses: Where what cannot be kept is listed.
    """

    def __init__(
        self, gathered: Gathered, images: Images, files: Sequence[str], losses: LossReport
    ) -> None:
        self.gathered = gathered
        self.found = gathered.annotations
        self.images = images
        self.files = files
        self.losses = losses
        self.outlines: dict[int, Outline] = {}
        self._bounds: dict[int, Box | None] = {}  # of masks
        polygons: dict[int, list[list[float]]] = {}
        for row, annotation in enumerate(self.found):
            given = annotation.get("segmentation")
            if isinstance(given, list) and given:
                # some tools leave out the outer list of one
                parts = [given] if isinstance(given[0], (int, float)) else given
                polygons[row] = [part for part in parts if part != []]
            elif given:
                self._add_mask(row, given)
        self._add_polygons(polygons)

    def corners(self) -> Floats:
        """Return the boxes as corners, (N, 4); NaN where there is none."""
        values = [a.get("bbox") for a in self.found]
        try:
            xywh = np.array(values, dtype=np.float64)
        except (TypeError, ValueError):
            xywh = np.array([_four(value) for value in values])
        if xywh.shape != (len(values), 4):
            xywh = np.array([_four(value) for value in values]).reshape(-1, 4)
        xyxy = np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], axis=1)
        for row in np.flatnonzero(~np.isfinite(xyxy).all(axis=1)).tolist():
            xyxy[row] = self._around(row)
        return xyxy

    def _around(self, row: int) -> Box:
        """Return the box around an outline; NaN, and listed, if there is none."""
        outline = self.outlines.get(row)
        if outline is not None and outline.polygons:
            return enclosing(np.concatenate(outline.polygons))
        box = self._bounds.get(row)
        if box is None:
            self.losses.add("annotation without a box is dropped", self._place(row))
        return box or NO_BOX

    def _place(self, row: int) -> str:
        return f"{self.files[self.gathered.origin[row]]}: annotation {self.found[row].get('id')!r}"

    def _list_dropped(self, row: int) -> None:
        self.losses.add("outline that is no polygon and no mask is dropped", self._place(row))

    def _add_mask(self, row: int, segmentation: object) -> None:
        try:
            runs, height, width = _mask(segmentation)
            self._bounds[row] = mask_bounds(runs, height, width)
        except (TypeError, ValueError, KeyError, OverflowError, DataError):
            self._list_dropped(row)
            return
        image = self.gathered.image[row]
        size = self.images.height[image] or height, self.images.width[image] or width
        if size == (height, width):
            self.outlines[row] = Outline(counts=runs)
        else:
            self.losses.add("outline that is a mask of another size is dropped", self._place(row))

    def _add_polygons(self, polygons: Mapping[int, list[list[float]]]) -> None:
        """Add the polygons of many annotations; their points stand in one array."""
        lengths = {
            row: [_length(part) for part in parts] for row, parts in polygons.items() if parts
        }
        sound = {row: sizes for row, sizes in lengths.items() if min(sizes) > 4}
        try:
            flat = _flat(polygons, sound)
        except (TypeError, ValueError):  # a point that is no number: find whose it is
            sound = {row: sizes for row, sizes in sound.items() if _readable(polygons[row])}
            flat = _flat(polygons, sound)
        finite = np.isfinite(flat)
        whole = bool(finite.all())
        start = 0
        for row, sizes in sound.items():
            parts = []
            first = start
            for size in sizes:
                parts.append(flat[start : start + size].reshape(-1, 2))
                start += size
            if whole or finite[first:start].all():
                self.outlines[row] = Outline(tuple(parts))
        for row in sorted(lengths.keys() - self.outlines.keys()):
            self._list_dropped(row)


def _length(part: object) -> int:
    """Return how many numbers a polygon has, 0 if they are no pairs."""
    return len(part) if isinstance(part, list) and len(part) % 2 == 0 else 0


def _flat(polygons: Mapping[int, list[list[float]]], rows: Iterable[int]) -> Floats:
    chosen = chain.from_iterable(polygons[row] for row in rows)
    return np.array([*chain.from_iterable(chosen)], dtype=np.float64)


def _readable(parts: list[list[float]]) -> bool:
    try:
        return _flat({0: parts}, [0]).ndim == 1
    except (TypeError, ValueError):
        return False


def _mask(segmentation: Any) -> tuple[tuple[int, ...], int, int]:
    """Return the run lengths of a mask, its height and its width; raises for anything else."""
    counts = segmentation["counts"]
    height, width = map(int, segmentation["size"])
    runs = run_lengths(counts) if isinstance(counts, str) else tuple(map(int, counts))
    return runs, height, width


def _four(value: object) -> list[float]:
    """Return four numbers; NaN if a value is anything else."""
    if not isinstance(value, (list, tuple)) or len(value) != 4:
        return [float("nan")] * 4
    return [_number(part) for part in value]


def run_lengths(text: str) -> tuple[int, ...]:
    """Decode the run lengths that COCO packs into a text.

    Each number is cut into groups of five bits, the lowest first, one character each from ``'0'``
    on; the sixth bit says that more follow. From the fourth number on, the difference to the last
    but one is stored. (pycocotools decodes to a bitmap, without checking its size first.)

    Raises:
        ValueError: The text ends within a number, or holds other characters.
    """
    runs: list[int] = []
    value = shift = 0
    for character in text:
        bits = ord(character) - 48
        if not 0 <= bits < 64 or shift > 60:
            raise ValueError(f"{character!r} does not belong into run lengths")
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << shift
        runs.append(value + runs[-2] if len(runs) > 2 else value)
        value = shift = 0
    if shift:
        raise ValueError("the run lengths end within a number")
    return tuple(runs)
