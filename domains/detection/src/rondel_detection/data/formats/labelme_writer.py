"""Writes LabelMe JSON: one file per labelled image, in the folders of the images.

An unlabelled image gets no file, which is how LabelMe tells that nobody looked at it; with boxes,
such as those of a model that are to be corrected, it becomes a labelled one.
"""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from rondel.errors import DataError, UsageError
from rondel_detection.data.formats.files import holds
from rondel_detection.data.formats.json_file import write_json
from rondel_detection.data.formats.label_file import make_folder, write_bytes
from rondel_detection.data.formats.leftovers import (
    fitting_outline,
    list_areas,
    list_classes,
    list_columns,
    outline_area,
    writable_rows,
)
from rondel_detection.data.formats.png_mask import crop, encode_mask
from rondel_detection.data.loss_report import LossReport
from rondel_detection.data.table import Annotations, Outline, Status

VERSION = "5.5.0"
IGNORE = "__ignore__"
"""Pseudo-class of a region in which nothing counts; as a flag of an image, of the whole image."""
BACKGROUND = "_background_"
LABELS = "labels.txt"
"""The list of classes that LabelMe is started with, in their order."""
FLAGS = ("crowd", "difficult", "truncated", "occluded")
"""Flags of the table, which stand among the flags of a shape under their own names."""


def write(annotations: Annotations, path: Path) -> LossReport:
    """Write one JSON file per labelled image below a folder, and `labels.txt`.

    A path with a suffix is the JSON file of the only image.

    Raises:
        UsageError: The path names one file, but there are several images.
    """
    report = LossReport()
    list_columns(annotations, report, images=("id", "split"), boxes=("id",))
    list_classes(annotations, report)
    writer = _Writer(annotations, path, report)
    for image, file in zip(range(len(annotations.images)), writer.files(), strict=True):
        if annotations.images.status[image] == Status.UNLABELLED:
            writer.list_unlabelled(image)
            if not writer.rows[image]:
                continue
        make_folder(file.parent)
        write_json(file, writer.content(image, file), indent=2)
    list_areas(annotations, report, writer.areas)
    writer.write_classes()
    return report


class _Writer:
    """Makes the content of the files.

    Args:
        table: What is written.
        path: The folder, or the only file.
        report: What is lost.
    """

    def __init__(self, table: Annotations, path: Path, report: LossReport) -> None:
        self.table = table
        self.path = path
        self.report = report
        self.rows = writable_rows(table, report, reserved=("", IGNORE, BACKGROUND))
        self.areas: dict[int, float] = {}

    def files(self) -> Iterable[Path]:
        """Return a JSON file for each image, no two of them the same.

        Raises:
            UsageError: The path names one file, but there are several images.
        """
        if not self.path.suffix:
            return self._files_below()
        if len(self.table.images) != 1:
            raise UsageError(
                f"LabelMe keeps one JSON file per image, and there are {len(self.table.images)}",
                where=str(self.path),
                hint="Name a folder.",
            )
        return [self.path]

    def _files_below(self) -> Iterable[Path]:
        taken: set[PurePosixPath] = set()
        for row, name in enumerate(self.table.images.file):
            # what the disk cannot hold is replaced; the JSON file itself holds the true name
            clean = name.replace("\0", "_").encode("utf-8", "replace").decode()
            kept = [part for part in PurePosixPath(clean).parts if part not in ("/", "..")]
            image = PurePosixPath(*kept) if kept else PurePosixPath(f"image{row}")
            usual = image.with_suffix(".json")
            others = (image.with_name(f"{image.name}{tail}.json") for tail in _tails())
            file = next(file for file in itertools.chain([usual], others) if file not in taken)
            if file != usual and self.table.images.status[row] != Status.UNLABELLED:
                self.report.add(
                    "two images have one name but for the suffix: LabelMe does not find the"
                    " JSON file of the second",
                    self.table.image_place(row),
                )
            taken.add(file)
            yield self.path / file

    def list_unlabelled(self, image: int) -> None:
        """List what an unlabelled image loses by having no file, or by having one."""
        place = self.table.image_place(image)
        if self.rows[image]:
            self.report.add("unlabelled image with boxes became a labelled one", place)
            return
        if not holds(self.table.root, self.table.images.file[image]):
            self.report.add("unlabelled image is not there and was not written", place)
        if image in self.table.images.attributes:
            self.report.add("attributes of an unlabelled image were not written", place)

    def content(self, image: int, file: Path) -> dict[str, Any]:
        """Return what the file of an image holds."""
        images = self.table.images
        attributes = images.attributes.get(image, {})
        flags = {
            key: value
            for key, value in attributes.items()
            if (value is True or value is False) and key != IGNORE
        }
        others = {key: value for key, value in attributes.items() if key not in flags}
        if images.status[image] == Status.IGNORED:
            flags = {IGNORE: True, **flags}
        name = images.file[image]
        if not name.startswith("/"):
            name = os.path.relpath(self.table.root / name, file.parent).replace(os.sep, "/")
        return {
            "version": VERSION,
            "flags": flags,
            "shapes": self._shapes(image),
            "imagePath": name,
            "imageData": None,
            "imageHeight": int(images.height[image]) or None,
            "imageWidth": int(images.width[image]) or None,
            **({"attributes": others} if others else {}),
        }

    def write_classes(self) -> None:
        """Write the list of classes, unless there is nothing that it could say."""
        names = self.table.labels.names
        if not self.path.suffix and not any(set(name) & {"\n", "\r"} for name in names):
            lines = "".join(f"{name}\n" for name in (IGNORE, BACKGROUND, *names))
            make_folder(self.path)
            write_bytes(self.path / LABELS, lines.encode("utf-8", "replace"))
            return
        written = {names[self.table.boxes.label[row]] for rows in self.rows for row in rows}
        if list(names) != sorted(written):
            self.report.add("order of the classes, and those without a box, were not kept")

    def _shapes(self, image: int) -> list[dict[str, Any]]:
        groups = _Groups(self.table.boxes.attributes.get(row, {}) for row in self.rows[image])
        return [shape for row in self.rows[image] for shape in self._object(row, groups)]

    def _object(self, row: int, groups: _Groups) -> Iterable[dict[str, Any]]:
        """Yield the shapes of one object: several polygons are joined by their group."""
        boxes = self.table.boxes
        outline = fitting_outline(self.table, row, self.report)
        parts = self._parts(row, outline)
        if outline is not None and parts[0]["shape_type"] != "rectangle":
            self.areas[row] = outline_area(outline)
        label = self.table.labels.names[boxes.label[row]]
        attributes = dict(boxes.attributes.get(row, {}))
        group, lost = groups.of(label, attributes, len(parts))
        if lost:
            self.report.add("group_id of an object was not kept", self.table.box_place(row))
        for part in parts:
            yield {"label": label, **part, "group_id": group, **self._rest(row, attributes)}

    def _parts(self, row: int, outline: Outline | None) -> Sequence[dict[str, Any]]:
        if outline is not None and outline.counts:
            image = self.table.boxes.image[row]
            size = int(self.table.images.height[image]), int(self.table.images.width[image])
            try:
                window, left, top = crop(outline.counts, *size)
            except DataError:  # does not happen: the outline was found to fit its box
                outline = None
            else:
                height, width = window.shape
                corners = [[left, top], [left + width - 1, top + height - 1]]
                mask = encode_mask(window)
                return [{"points": corners, "shape_type": "mask", "mask": mask}]
        if outline is not None:
            return [
                {"points": points.tolist(), "shape_type": "polygon"} for points in outline.polygons
            ]
        x1, y1, x2, y2 = self.table.boxes.xyxy[row].tolist()
        if x1 > x2 or y1 > y2:
            self.report.add("corners of a box were put in order", self.table.box_place(row))
        return [{"points": [[x1, y1], [x2, y2]], "shape_type": "rectangle"}]

    def _rest(self, row: int, attributes: Mapping[str, Any]) -> dict[str, Any]:
        """Return flags, description, score and all other attributes of a shape."""
        boxes = self.table.boxes
        flags = {flag: True for flag in FLAGS if getattr(boxes, flag)[row]}
        others: dict[str, Any] = {}
        for key, value in attributes.items():
            plain_flag = value is True or value is False
            place = flags if plain_flag and key not in FLAGS else others
            place[key] = value
        description = ""
        if isinstance(others.get("description"), str) and others["description"]:
            description = others.pop("description")
        score = float(boxes.score[row])
        return {
            "description": description,
            "flags": flags,
            **({} if math.isnan(score) else {"score": score}),
            **({"attributes": others} if others else {}),
        }


class _Groups:
    """Hands out the ``group_id`` of the objects of one image: equal ones of a class are joined."""

    def __init__(self, attributes: Iterable[Mapping[str, Any]]) -> None:
        given = (_whole_group(values) for values in attributes)
        self.free = itertools.count(max((group for group in given if group is not None), default=0))
        next(self.free)
        self.taken: set[tuple[str, int]] = set()

    def of(self, label: str, attributes: dict[str, Any], parts: int) -> tuple[int | None, bool]:
        """Return the group of an object, and whether its own one was lost; takes it out."""
        given = _whole_group(attributes)
        if given is not None:
            del attributes["group_id"]
        if parts > 1:
            return next(self.free), given is not None
        if given is None or (label, given) in self.taken:
            return None, given is not None
        self.taken.add((label, given))
        return given, False


def _whole_group(attributes: Mapping[str, Any]) -> int | None:
    group = attributes.get("group_id")
    return group if isinstance(group, int) and not isinstance(group, bool) else None


def _tails() -> Iterable[str]:
    """Yield what is put behind a name that is taken: nothing, ``_2``, ``_3`` ..."""
    return itertools.chain([""], (f"_{number}" for number in itertools.count(2)))
