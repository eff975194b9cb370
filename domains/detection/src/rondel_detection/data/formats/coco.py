"""COCO JSON: one object with images, annotations and categories, or a folder of such files.

A folder is COCO's own (``annotations/instances_train2017.json`` beside ``train2017/``), Roboflow's
(``train/_annotations.coco.json`` among the images), or holds such a file directly. A file without
``annotations`` lists images that nobody has labelled, as COCO's ``image_info_test2017.json`` does.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from rondel.errors import DataError
from rondel_detection.data.formats.coco_classes import Classes
from rondel_detection.data.formats.coco_columns import (
    Annotation,
    Gathered,
    box_columns,
    source_id,
)
from rondel_detection.data.formats.coco_layout import (
    LabelFile,
    image_folder,
    image_root,
    kind_of,
    label_files,
)
from rondel_detection.data.formats.coco_writer import KEPT_FIELDS, write
from rondel_detection.data.formats.files import (
    holds,
    image_size,
    plain_name,
    relative_name,
    tail_in,
    uncollected,
)
from rondel_detection.data.formats.format import Source
from rondel_detection.data.formats.json_file import read_json
from rondel_detection.data.table import Annotations, Status, TableBuilder

__all__ = ["read", "read_files", "recognise", "write"]

IMAGE_FIELDS = frozenset({"id", "file_name", "width", "height", "attributes", *KEPT_FIELDS})
PARTS = frozenset({"images", "annotations", "categories"})
LARGEST_SIDE = 1 << 24
"""Pixels; a longer side is no size."""

ABSOLUTE = re.compile(r"/|[A-Za-z]:/")

FileName = Callable[[Annotation], str]


def recognise(path: Path) -> str:
    """Say why a path is COCO, or nothing."""
    what = "a JSON object with images, annotations and categories as COCO has them"
    if path.is_file():
        return {"coco": what, "results": "a list of COCO results"}.get(kind_of(path), "")
    found = label_files(path, "coco")
    return f"{relative_name(found[0].path, path)} is {what}" if found else ""


def read(source: Source) -> Annotations:
    """Read a COCO file, or all of a folder.

    Raises:
        DataError: A file is no COCO JSON, or a list of results.
    """
    return read_files(source, "coco", _file_name)


def read_files(
    source: Source, kind: str, name_of: FileName, kept_fields: Sequence[str] = KEPT_FIELDS
) -> Annotations:
    """Read one file, or all of a folder, of COCO's kind.

    Args:
        source: The file or folder.
        kind: 'coco' or 'lvis'.
        name_of: How the file name of an image is found.
        kept_fields: Fields of an image that become its attributes.

    Raises:
        DataError: A file cannot be read, or is of another kind.
    """
    files = label_files(source.path, kind)
    if source.path.is_file() or not files:
        files = [LabelFile(source.path)]
    with uncollected():
        content = _content(files[0].path)
        root = source.images or image_root(source.path, [*map(name_of, content["images"][:5])])
        reader = _Reader(TableBuilder(root, kind), name_of, kept_fields)
        for file in files:
            if file is not files[0]:
                content = _content(file.path)
            reader.add(file, content, relative_name(file.path, source.path))
        return reader.build()


def _content(path: Path) -> Mapping[str, Any]:
    content = read_json(path)
    if isinstance(content, list):
        raise DataError(
            "is a list of COCO results: detections without images and classes",
            where=str(path),
            hint="Name the file with 'images', 'annotations' and 'categories' that they belong to.",
        )
    if not isinstance(content, dict) or not isinstance(content.get("images"), list):
        raise DataError("has no list of 'images', so it is no COCO JSON", where=str(path))
    for key in ("images", "annotations"):
        entries = content.get(key) or []
        if not isinstance(entries, list) or not all(isinstance(one, dict) for one in entries):
            raise DataError(f"{key!r} is no list of objects", where=str(path))
    return content


def _file_name(image: Annotation) -> str:
    name = image.get("file_name")
    if isinstance(name, str) and name:
        return plain_name(name)
    url = image.get("coco_url")
    return PurePosixPath(url).name if isinstance(url, str) else ""


class _Reader:
    """Collects images, classes and annotations of one file after the other."""

    def __init__(self, builder: TableBuilder, name_of: FileName, kept: Sequence[str]) -> None:
        self.builder = builder
        self.losses = builder.losses
        self.name_of = name_of
        self.kept_fields = kept
        self.classes = Classes(builder.losses)
        self.gathered = Gathered()

    def add(self, file: LabelFile, content: Mapping[str, Any], name: str) -> None:
        """Add all of a file."""
        names = [self._near(self.name_of(image), name) for image in content["images"]]
        folder = image_folder(self.builder.root, file, names)
        labelled = isinstance(content.get("annotations"), list)
        if folder is None and not labelled and self.builder.files:
            self.losses.add("list of unlabelled images that are not there is left out", name)
            return
        if folder is None:
            # Roboflow's images lie beside the labels, even where they cannot be seen
            folder = file.folders[0]
        names = [f"{folder}/{image}" if folder else image for image in names]
        origin = self.builder.add_file(name)
        rows = self._add_images(content["images"], names, file.split, origin, labelled)
        annotations = content.get("annotations") or []
        labels = self.classes.add(content.get("categories"), annotations, name)
        self._add_annotations(annotations, rows, labels, origin)
        for key in sorted(content.keys() - PARTS):
            if content[key]:
                self.losses.add(f"{key!r} of the whole set is not kept", name)

    def _near(self, image: str, place: str) -> str:
        """Return a name below the root instead of an absolute path of another machine."""
        if not ABSOLUTE.match(image) or holds(self.builder.root, image):
            return image
        found = tail_in(self.builder.root, image)
        if found is not None:
            self.losses.add("absolute path of an image became what exists of its end", place)
        return found or image

    def build(self) -> Annotations:
        """Make the table."""
        table = self.builder.build(self.classes.labels())
        boxes = box_columns(self.gathered, table.images, table.files, table.losses)
        return replace(table, boxes=boxes)

    def _add_images(
        self,
        images: Sequence[Annotation],
        names: Sequence[str],
        split: str,
        origin: int,
        labelled: bool,
    ) -> Mapping[Any, int]:
        """Add the images of a file and return their rows by id."""
        place = self.builder.files[origin]
        rows: dict[Any, int] = {}
        unknown: Counter[str] = Counter()
        fields = IMAGE_FIELDS.union(self.kept_fields)
        for image, name in zip(images, names, strict=True):
            source = source_id(image.get("id"))
            if not name:
                self.losses.add("image without a file name", f"{place}: image {source!r}")
            unknown.update(image.keys() - fields)
            width, height = self._size(image, name)
            row = self.builder.add_image(
                name,
                width=width,
                height=height,
                status=Status.LABELLED if labelled else Status.UNLABELLED,
                split=split,
                id="" if source is None else source,
                origin=origin,
                attributes=self._image_attributes(image),
            )
            if source is not None and rows.setdefault(source, row) != row:
                self.losses.add(
                    "image id occurs twice: its boxes belong to the first",
                    f"{place}: image {source!r}",
                )
        for key in sorted(unknown):
            self.losses.add(f"field {key!r} of an image is not kept", count=unknown[key])
        return rows

    def _size(self, image: Annotation, name: str) -> tuple[int, int]:
        width, height = (_side(image.get(key)) for key in ("width", "height"))
        return (width, height) if width and height else image_size(self.builder.root, name)

    def _image_attributes(self, image: Annotation) -> dict[str, Any]:
        kept = {key: image[key] for key in self.kept_fields if key in image}
        given = image.get("attributes")
        return {**kept, **given} if isinstance(given, dict) else kept

    def _add_annotations(
        self,
        annotations: Sequence[Annotation],
        rows: Mapping[Any, int],
        labels: Mapping[Any, int],
        origin: int,
    ) -> None:
        """Gather the annotations whose image and class are known; list the others."""
        image = _looked_up(annotations, "image_id", rows)
        label = _looked_up(annotations, "category_id", labels)
        if min(image, default=0) < 0 or min(label, default=0) < 0:
            place = self.builder.files[origin]
            for column, key in ((image, "image_id"), (label, "category_id")):
                for row in (row for row, found in enumerate(column) if found < 0):
                    given = annotations[row]
                    self.losses.add(
                        f"annotation of an unknown {key} is dropped",
                        f"{place}: annotation {given.get('id')!r} ({key} {given.get(key)!r})",
                    )
            known = [
                row for row, (i, c) in enumerate(zip(image, label, strict=True)) if min(i, c) >= 0
            ]
            annotations = [annotations[row] for row in known]
            image, label = [image[row] for row in known], [label[row] for row in known]
        self.gathered.annotations += annotations
        self.gathered.image += image
        self.gathered.label += label
        self.gathered.origin += [origin] * len(annotations)


def _looked_up(annotations: Sequence[Annotation], key: str, rows: Mapping[Any, int]) -> list[int]:
    """Return the row of each annotation's image or class, -1 where it is unknown."""
    # a list or an object has no hash; looking that up would raise
    values = [annotation.get(key) for annotation in annotations]
    return [rows.get(value, -1) if value.__hash__ else -1 for value in values]


def _side(value: object) -> int:
    """Return a width or height, 0 if it is none."""
    if not isinstance(value, (int, float)) or not 0 < value < LARGEST_SIDE:
        return 0
    return int(value)
