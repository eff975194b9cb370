"""The one table between all label formats: images, boxes and classes as columns.

Letters: I images, N boxes, K classes. Boxes are continuous pixel coordinates of the picture as it
is meant to be seen (after its EXIF rotation): the left edge of the first pixel is 0, the right edge
of the last one is the width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from rondel_detection.data.labels import LabelMap, SourceId
from rondel_detection.data.loss_report import LossReport

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
Objects = npt.NDArray[np.object_]


class Status(IntEnum):
    """What is known about the labels of an image."""

    UNLABELLED = 0
    """Nobody looked at it: it says nothing about what is not there."""
    LABELLED = 1
    """Somebody looked: without boxes, there is nothing."""
    IGNORED = 2
    """Rejected, deleted or skipped in the labelling tool; not to be trained on."""


@dataclass(frozen=True)
class Outline:
    """The exact shape of an object, where the source has one: polygons, or a COCO run-length mask.

    Args:
        polygons: Each (P, 2) float64, x and y in pixels.
        counts: Uncompressed column-major run lengths of a mask of the whole image, zeros first;
            empty if the shape is given by polygons.
    """

    polygons: tuple[Floats, ...] = ()
    counts: tuple[int, ...] = ()


@dataclass(frozen=True, eq=False)
class Images:
    """The columns of I images."""

    file: Objects  # (I,) str: path below the root of the images, with forward slashes
    width: Integers  # (I,) pixels; 0 is not known
    height: Integers  # (I,)
    status: Integers  # (I,) Status
    split: Objects  # (I,) str: 'train', 'val' ...; '' is none
    id: Objects  # (I,) int or str: the id in the source
    origin: Integers  # (I,) row in Annotations.files: the label file it was read from; -1 is none
    line: Integers  # (I,) 1-based line or record in that file; 0 is not known
    attributes: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)  # by row, sparse

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.file)


@dataclass(frozen=True, eq=False)
class Boxes:
    """The columns of N boxes."""

    image: Integers  # (N,) row in Images
    xyxy: Floats  # (N, 4) x1 y1 x2 y2 in pixels, as the source says: not clipped, not sorted
    label: Integers  # (N,) index in the LabelMap
    crowd: Flags  # (N,) a group that is not told apart: neither trained on nor counted
    difficult: Flags  # (N,) left out of the evaluation by some protocols
    truncated: Flags  # (N,) the object goes on outside of the picture
    occluded: Flags  # (N,) something stands before it
    area: Floats  # (N,) pixels of the object itself; NaN is that of the box
    score: Floats  # (N,) confidence of a model; NaN for what a person drew
    id: Objects  # (N,) int or str: the id in the source
    origin: Integers  # (N,) row in Annotations.files
    line: Integers  # (N,) 1-based line or record in that file; 0 is not known
    attributes: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)  # by row, sparse
    outline: Mapping[int, Outline] = field(default_factory=dict)  # by row, sparse

    def __len__(self) -> int:
        """Return the number of boxes."""
        return len(self.image)


@dataclass(frozen=True, eq=False)
class Annotations:
    """A labelled set of images, whatever its format was.

    Args:
        images: The columns of the images.
        boxes: The columns of the boxes.
        labels: The classes.
        root: The folder that ``images.file`` is relative to.
        format: Name of the format it was read from, such as 'coco'.
        files: The label files, relative to the path that was read (or absolute outside of it).
        losses: What the reader could not keep.
    """

    images: Images
    boxes: Boxes
    labels: LabelMap
    root: Path
    format: str
    files: tuple[str, ...] = ()
    losses: LossReport = field(default_factory=LossReport)

    def image_place(self, row: int) -> str:
        """Say where an image is described: ``labels.json:12 (image 'a.jpg')``."""
        place = self._place(self.images.origin[row], self.images.line[row])
        name = f"image {self.images.file[row]!r}"
        return f"{place} ({name})" if place else name

    def box_place(self, row: int) -> str:
        """Say where a box is described: ``labels.json: annotation 1042 (image 'a.jpg')``."""
        boxes = self.boxes
        place = self._place(boxes.origin[row], boxes.line[row])
        image = self.images.file[boxes.image[row]]
        named = f"annotation {boxes.id[row]!r} (image {image!r})"
        return f"{place}: {named}" if place else named

    def _place(self, origin: int, line: int) -> str:
        if origin < 0 or origin >= len(self.files):
            return ""
        return f"{self.files[origin]}:{line}" if line else self.files[origin]

    def boxes_of(self) -> list[Integers]:
        """Return the rows of the boxes of each image, in their order."""
        order = np.argsort(self.boxes.image, kind="stable")
        bounds = np.searchsorted(self.boxes.image[order], np.arange(len(self.images) + 1))
        return [order[bounds[row] : bounds[row + 1]] for row in range(len(self.images))]

    def take_images(self, rows: Sequence[int] | Integers) -> Annotations:
        """Return the images in ``rows`` with their boxes, in that order of images."""
        chosen = np.asarray(rows, dtype=np.int64)
        place = np.full(len(self.images), -1, dtype=np.int64)
        place[chosen] = np.arange(len(chosen))
        moved = place[self.boxes.image] if len(self.boxes) else self.boxes.image
        kept = np.flatnonzero(moved >= 0)
        boxes = taken(self.boxes, kept[np.argsort(moved[kept], kind="stable")])
        boxes = replace(boxes, image=place[boxes.image])
        return replace(self, images=taken(self.images, chosen), boxes=boxes)

    def take_boxes(self, rows: Sequence[int] | Integers | Flags) -> Annotations:
        """Return all images with the boxes in ``rows``, an index or a mask."""
        chosen = np.asarray(rows)
        chosen = np.flatnonzero(chosen) if chosen.dtype == bool else chosen.astype(np.int64)
        return replace(self, boxes=taken(self.boxes, chosen))


Columns = TypeVar("Columns", Images, Boxes)


def taken(columns: Columns, rows: Integers) -> Columns:
    """Return the rows of every column; sparse columns are renumbered."""
    changed: dict[str, Any] = {}
    for name, column in vars(columns).items():
        if isinstance(column, np.ndarray):
            changed[name] = column[rows]
        elif column:
            old = {int(row): new for new, row in enumerate(rows)}
            changed[name] = {old[row]: value for row, value in column.items() if row in old}
    return replace(columns, **changed)


class TableBuilder:
    """Collects images and boxes one by one, as readers meet them, and makes the columns at the end.

    Args:
        root: The folder that image paths are relative to.
        format: Name of the format.
    """

    def __init__(self, root: Path, format: str) -> None:  # noqa: A002 - the column's own name
        self.root = root
        self.format = format
        self.files: list[str] = []
        self.losses = LossReport()
        self._images: list[tuple[Any, ...]] = []
        self._boxes: list[tuple[Any, ...]] = []
        self._image_attributes: dict[int, Mapping[str, Any]] = {}
        self._box_attributes: dict[int, Mapping[str, Any]] = {}
        self._outlines: dict[int, Outline] = {}

    def add_file(self, name: str) -> int:
        """Add a label file and return its row, the ``origin`` of what was read from it."""
        self.files.append(name)
        return len(self.files) - 1

    def add_image(
        self,
        file: str,
        *,
        width: int = 0,
        height: int = 0,
        status: Status = Status.LABELLED,
        split: str = "",
        id: SourceId = "",  # noqa: A002 - the column's own name
        origin: int = -1,
        line: int = 0,
        attributes: Mapping[str, Any] | None = None,
    ) -> int:
        """Add an image and return its row; an empty ``id`` becomes the row itself."""
        row = len(self._images)
        source = row if id == "" else id
        self._images.append((file, width, height, int(status), split, source, origin, line))
        if attributes:
            self._image_attributes[row] = attributes
        return row

    def add_box(
        self,
        image: int,
        xyxy: tuple[float, float, float, float],
        label: int,
        *,
        crowd: bool = False,
        difficult: bool = False,
        truncated: bool = False,
        occluded: bool = False,
        area: float = float("nan"),
        score: float = float("nan"),
        id: SourceId = "",  # noqa: A002 - the column's own name
        origin: int = -1,
        line: int = 0,
        attributes: Mapping[str, Any] | None = None,
        outline: Outline | None = None,
    ) -> int:
        """Add a box and return its row; an empty ``id`` becomes the row itself."""
        row = len(self._boxes)
        flags = (crowd, difficult, truncated, occluded)
        source = row if id == "" else id
        self._boxes.append((image, xyxy, label, *flags, area, score, source, origin, line))
        if attributes:
            self._box_attributes[row] = attributes
        if outline is not None:
            self._outlines[row] = outline
        return row

    def build(self, labels: LabelMap) -> Annotations:
        """Make the table."""
        return Annotations(
            images=self._image_columns(),
            boxes=self._box_columns(),
            labels=labels,
            root=self.root,
            format=self.format,
            files=tuple(self.files),
            losses=self.losses,
        )

    def _image_columns(self) -> Images:
        columns = list(zip(*self._images, strict=True)) or [()] * 8
        file, width, height, status, split, source, origin, line = columns
        return Images(
            file=objects(file),
            width=integers(width),
            height=integers(height),
            status=integers(status),
            split=objects(split),
            id=objects(source),
            origin=integers(origin),
            line=integers(line),
            attributes=self._image_attributes,
        )

    def _box_columns(self) -> Boxes:
        columns = list(zip(*self._boxes, strict=True)) or [()] * 12
        image, xyxy, label, crowd, difficult, truncated, occluded = columns[:7]
        area, score, source, origin, line = columns[7:]
        return Boxes(
            image=integers(image),
            xyxy=np.asarray(xyxy, dtype=np.float64).reshape(-1, 4),
            label=integers(label),
            crowd=np.asarray(crowd, dtype=bool),
            difficult=np.asarray(difficult, dtype=bool),
            truncated=np.asarray(truncated, dtype=bool),
            occluded=np.asarray(occluded, dtype=bool),
            area=np.asarray(area, dtype=np.float64),
            score=np.asarray(score, dtype=np.float64),
            id=objects(source),
            origin=integers(origin),
            line=integers(line),
            attributes=self._box_attributes,
            outline=self._outlines,
        )


def objects(values: Sequence[Any]) -> Objects:
    """Return a column of any values, (N,)."""
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return column


def integers(values: Sequence[int]) -> Integers:
    """Return a column of whole numbers, (N,)."""
    return np.asarray(values, dtype=np.int64)
