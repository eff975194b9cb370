"""YOLO txt: one text file for each image, its boxes as shares of the image's size.

An empty file says that somebody looked and nothing is there; YOLO's own tools say the same of an
image without a file, here nobody has looked at it. The sizes come from the image files.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from rondel.errors import DataError
from rondel_detection.data.formats.files import image_size, load_text, relative_name
from rondel_detection.data.formats.format import Source
from rondel_detection.data.formats.yolo_description import (
    Description,
    description_file,
    read_description,
)
from rondel_detection.data.formats.yolo_layout import Entry, Layout
from rondel_detection.data.formats.yolo_lines import Shape, parse_line
from rondel_detection.data.formats.yolo_writer import write
from rondel_detection.data.labels import LabelMap
from rondel_detection.data.loss_report import LossReport
from rondel_detection.data.table import Annotations, Status, TableBuilder, integers

__all__ = ["read", "recognise", "write"]


def recognise(path: Path) -> str:
    """Say why a path is YOLO, or nothing."""
    file = description_file(path)
    if file is not None:
        return f"{relative_name(file, path)} names classes and splits as YOLO's tools expect"
    if path.is_dir() and read_description(path) is not None:
        return "a folder of text files with YOLO's lines of numbers"
    return ""


def read(source: Source) -> Annotations:
    """Read a set by its ``data.yaml``, its ``obj.data``, or its folders.

    Raises:
        DataError: There is no such set, or its description cannot be read.
    """
    description = read_description(source.path)
    if description is None:
        raise DataError(
            "is no YOLO set",
            where=str(source.path),
            hint="Name its data.yaml or obj.data, or the folder that holds images and labels.",
        )
    losses = LossReport()
    layout = Layout(description, source.images, losses)
    builder = TableBuilder(layout.root, "yolo")
    builder.losses = losses
    reader = _Reader(description, builder)
    for entry in layout.entries:
        reader.add(entry)
    return reader.build()


class Classes:
    """Numbers of classes, or names in DOTA's files, as rows of the label map."""

    def __init__(self, names: dict[int, str], losses: LossReport) -> None:
        self.are_known = bool(names)
        self.losses = losses
        self.names = dict(names)
        self.by_name: dict[str, int] = {}
        for number, name in names.items():
            if self.by_name.setdefault(name, number) != number:
                losses.add("classes of one name became one", repr(name))

    def number(self, label: int | str) -> int | None:
        """Return the number of a class; None if the set does not have it."""
        if isinstance(label, str):
            self.names.setdefault(self.by_name.setdefault(label, self._free_number()), label)
            return self.by_name[label]
        if not self.are_known:
            self.names.setdefault(label, str(label))
            return label
        return self.by_name[self.names[label]] if label in self.names else None

    def _free_number(self) -> int:
        return max(self.names, default=-1) + 1

    def labels(self) -> tuple[LabelMap, dict[int, int]]:
        """Return the label map, and the row of each number."""
        if not self.are_known and self.names and not self.by_name:
            self.losses.add("classes have no names and are called by their numbers")
        kept = [n for n in sorted(self.names) if self.by_name.get(self.names[n], n) == n]
        labels = LabelMap(tuple(self.names[n] for n in kept), tuple(kept))
        return labels, {number: row for row, number in enumerate(kept)}


class _Reader:
    """Collects the images of a set."""

    def __init__(self, description: Description, builder: TableBuilder) -> None:
        self.description = description
        self.builder = builder
        self.losses = builder.losses
        self.classes = Classes(description.names, builder.losses)

    def add(self, entry: Entry) -> None:
        """Add an image and the boxes of its label file."""
        width, height = image_size(self.builder.root, entry.file)
        if entry.label is None:
            self.losses.add(
                "image without a label file is unlabelled (YOLO's tools take it for empty)",
                entry.file,
            )
            status, origin = Status.UNLABELLED, -1
        else:
            status = Status.LABELLED
            origin = self.builder.add_file(relative_name(entry.label, self.description.home))
        row = self.builder.add_image(
            entry.file,
            width=width,
            height=height,
            status=status,
            split=entry.split,
            origin=origin,
        )
        lines = load_text(entry.label).splitlines() if entry.label is not None else []
        for number, line in enumerate(lines, 1):
            self._add_line(line, row, (width, height), origin, number)

    def build(self) -> Annotations:
        """Make the table."""
        labels, rows = self.classes.labels()
        table = self.builder.build(labels)
        label = integers([rows[number] for number in table.boxes.label.tolist()])
        return replace(table, boxes=replace(table.boxes, label=label))

    def _add_line(
        self, text: str, image: int, size: tuple[int, int], origin: int, number: int
    ) -> None:
        place = f"{self.builder.files[origin]}:{number}"
        try:
            shape = parse_line(text, self.description.pose_columns)
        except DataError as error:
            self.losses.add(error.what, place)
            return
        if shape is not None:
            self._add_shape(shape, image, size, origin, number)

    def _add_shape(
        self, shape: Shape, image: int, size: tuple[int, int], origin: int, number: int
    ) -> None:
        place = f"{self.builder.files[origin]}:{number}"
        label = self.classes.number(shape.label)
        if label is None:
            names = len(self.classes.names)
            self.losses.add(f"box of a class beyond the {names} names was dropped", place)
        elif not (all(size) or shape.in_pixels):
            self.losses.add(
                "box in an image that cannot be read (images=FOLDER?) was dropped", place
            )
        else:
            if shape.loss:
                self.losses.add(shape.loss, place)
            xyxy, outline, area = shape.scaled(*size)
            self.builder.add_box(
                image,
                xyxy,
                label,
                difficult=shape.difficult,
                area=area,
                score=shape.score,
                origin=origin,
                line=number,
                outline=outline,
            )
