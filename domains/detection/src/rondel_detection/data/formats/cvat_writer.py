"""Writes CVAT for images 1.1: one XML file that CVAT imports into a task with the same images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rondel_detection.data.formats.files import image_size
from rondel_detection.data.formats.ignored import without_ignored
from rondel_detection.data.formats.label_file import target_of, write_bytes
from rondel_detection.data.formats.leftovers import (
    fitting_outline,
    list_areas,
    list_classes,
    list_columns,
    outline_area,
    writable_rows,
)
from rondel_detection.data.formats.png_mask import crop
from rondel_detection.data.formats.xml_file import escaped, is_writable
from rondel_detection.data.geometry import bitmap_counts
from rondel_detection.data.loss_report import LossReport
from rondel_detection.data.table import Annotations, Outline, Status

FLAGS = ("crowd", "difficult", "truncated")
"""Flags of the table that CVAT has no place for; they are checkboxes of these names."""
SHAPE_KEYS = {"group_id": ("0",), "z_order": ("0",), "source": ("manual", "file")}
"""What a shape may say beside its points, with the values that say nothing."""

Attributes = dict[str, Any]


def write(annotations: Annotations, path: Path) -> LossReport:
    """Write one XML file, ``annotations.xml`` in a folder.

    Raises:
        UsageError: It cannot be written.
    """
    report = LossReport()
    table = without_ignored(annotations, report)
    list_columns(table, report, boxes=("id", "score"))
    list_classes(table, report)
    writer = _Writer(table, report)
    text = "\n".join(writer.lines()) + "\n"
    list_areas(table, report, writer.areas)
    write_bytes(target_of(path, "annotations.xml"), text.encode())
    return report


class _Writer:
    """Makes the lines of the file.

    Args:
        table: What is written.
        report: What is lost.
    """

    def __init__(self, table: Annotations, report: LossReport) -> None:
        self.table = table
        self.report = report
        self.rows = writable_rows(table, report)
        self.areas: dict[int, float] = {}
        self.attributes = {row: self._attributes(row) for rows in self.rows for row in rows}
        self.types = self._types()

    def lines(self) -> Iterator[str]:
        """Yield the lines of the file."""
        yield '<?xml version="1.0" encoding="utf-8"?>'
        yield "<annotations>"
        yield "  <version>1.1</version>"
        yield from self._meta()
        numbers = self._numbers()
        for image, rows in enumerate(self.rows):
            if self._is_written(image):
                yield from self._image(image, rows, numbers[image])
        yield "</annotations>"

    def _is_written(self, image: int) -> bool:
        """Tell whether an image is listed: one without shapes means that nothing is there."""
        if self.table.images.status[image] != Status.UNLABELLED:
            return True
        place = self.table.image_place(image)
        if self.rows[image]:
            self.report.add("unlabelled image with boxes became a labelled one", place)
            return True
        self.report.add("unlabelled image was left out: CVAT would take it for empty", place)
        return False

    def _numbers(self) -> list[int]:
        """Return the frame number of each image, its id where that can be one."""
        images = self.table.images
        keys = list(zip(images.split, images.id, strict=True))
        whole = all(type(number) is int and number >= 0 for number in images.id)
        if whole and len(set(keys)) == len(keys):
            return list(images.id)
        list_columns(self.table, self.report, images=("id",))
        return list(range(len(images)))

    def _meta(self) -> Iterator[str]:
        count = sum(map(self._counts, range(len(self.rows))))
        yield "  <meta>\n    <task>"
        yield f"      <size>{count}</size>\n      <mode>annotation</mode>"
        yield "      <labels>"
        tags = {tag for row in range(len(self.rows)) for tag in self._tags(row)}
        for index, name in enumerate(self.table.labels.names):
            yield from self._label(name, "any", self.types.get(index, {}))
        for name in sorted(tags - set(self.table.labels.names)):
            yield from self._label(name, "tag", {})
        yield "      </labels>\n    </task>\n  </meta>"

    def _counts(self, image: int) -> bool:
        labelled = self.table.images.status[image] != Status.UNLABELLED
        return bool(labelled or self.rows[image])

    def _label(self, name: str, kind: str, types: Mapping[str, str]) -> Iterator[str]:
        yield "        <label>"
        yield f"          <name>{self._text(name, 'a class')}</name>"
        yield f"          <type>{kind}</type>\n          <attributes>"
        for attribute, input_type in types.items():
            default, values = _DEFAULTS[input_type]
            yield "            <attribute>"
            yield f"              <name>{self._text(attribute, 'an attribute')}</name>"
            yield "              <mutable>False</mutable>"
            yield f"              <input_type>{input_type}</input_type>"
            yield f"              <default_value>{default}</default_value>"
            yield f"              <values>{values}</values>"
            yield "            </attribute>"
        yield "          </attributes>\n        </label>"

    def _image(self, image: int, rows: list[int], number: int) -> Iterator[str]:
        images = self.table.images
        place = self.table.image_place(image)
        size = int(images.width[image]), int(images.height[image])
        if not all(size):
            found = image_size(self.table.root, images.file[image])
            size = found if all(found) else size
        subset = images.split[image]
        said = {"id": number, "name": images.file[image], **({"subset": subset} if subset else {})}
        yield f"  <image {self._said(said | {'width': size[0], 'height': size[1]}, place)}>"
        for row in rows:
            yield from self._shape(row)
        for tag in self._tags(image):
            yield f'    <tag label="{self._text(tag, place)}" source="manual"></tag>'
        if set(images.attributes.get(image, {})) - ({"tags"} if self._tags(image) else set()):
            self.report.add("attributes of an image were not kept", place)
        yield "  </image>"

    def _tags(self, image: int) -> list[str]:
        tags = self.table.images.attributes.get(image, {}).get("tags")
        if not isinstance(tags, list):
            return []
        return tags if all(isinstance(tag, str) and tag for tag in tags) else []

    def _shape(self, row: int) -> Iterator[str]:
        boxes = self.table.boxes
        place = self.table.box_place(row)
        kind, said = self._points(row)
        label = self.table.labels.names[boxes.label[row]]
        attributes = dict(self.attributes[row])
        extra = {key: attributes.pop(key) for key in SHAPE_KEYS if _is_own(key, attributes)}
        said = {"label": label, "source": "manual", "occluded": int(boxes.occluded[row]), **said}
        yield f"    <{kind} {self._said({**said, 'z_order': 0, **extra}, place)}>"
        types = self.types[int(boxes.label[row])]
        for name, value in attributes.items():
            text = self._text(_spelled(value, types[name]), place)
            yield f'      <attribute name="{self._text(name, place)}">{text}</attribute>'
        yield f"    </{kind}>"

    def _points(self, row: int) -> tuple[str, Attributes]:
        """Return the kind of a shape and its points; a rotation is never written."""
        boxes = self.table.boxes
        outline = boxes.outline.get(row)
        if outline is not None and len(outline.polygons) > 1:
            place = self.table.box_place(row)
            self.report.add("outline of several polygons was not kept", place)
        else:
            outline = fitting_outline(self.table, row, self.report)
            if outline is not None:
                self.areas[row] = outline_area(outline)
                return self._outlined(row, outline)
        corners = map(repr, boxes.xyxy[row].tolist())
        return "box", dict(zip(("xtl", "ytl", "xbr", "ybr"), corners, strict=True))

    def _outlined(self, row: int, outline: Outline) -> tuple[str, Attributes]:
        if outline.polygons:
            points = (f"{x!r},{y!r}" for x, y in outline.polygons[0].tolist())
            return "polygon", {"points": ";".join(points)}
        image = self.table.boxes.image[row]
        size = int(self.table.images.height[image]), int(self.table.images.width[image])
        window, left, top = crop(outline.counts, *size)
        height, width = window.shape
        # CVAT's runs go along the rows
        runs = ", ".join(map(str, bitmap_counts(np.ascontiguousarray(window.T))))
        return "mask", {"rle": runs, "left": left, "top": top, "width": width, "height": height}

    def _attributes(self, row: int) -> Attributes:
        """Return the attributes of a shape, its flags among them."""
        found = {str(key): value for key, value in self.table.boxes.attributes.get(row, {}).items()}
        for flag in FLAGS:
            if isinstance(found.get(flag), bool):
                del found[flag]
                self.report.add(
                    f"attribute {flag!r} gives way to the flag of that name",
                    self.table.box_place(row),
                )
            if getattr(self.table.boxes, flag)[row]:
                found[flag] = True
        return found

    def _types(self) -> dict[int, dict[str, str]]:
        """Return the input type of each attribute of each label."""
        types: dict[int, dict[str, str]] = {}
        for row, attributes in self.attributes.items():
            of_label = types.setdefault(int(self.table.boxes.label[row]), {})
            for name, value in attributes.items():
                if not _is_own(name, attributes):
                    kind = _input_type(value)
                    same = of_label.setdefault(name, kind) == kind
                    of_label[name] = kind if same else "text"
        for row, attributes in self.attributes.items():
            of_label = types[int(self.table.boxes.label[row])]
            for name, value in attributes.items():
                if of_label.get(name) == "text" and not isinstance(value, str):
                    self.report.add("attribute became text", self.table.box_place(row))
        return types

    def _said(self, values: Mapping[str, Any], place: str) -> str:
        return " ".join(f'{key}="{self._text(str(value), place)}"' for key, value in values.items())

    def _text(self, text: str, place: str) -> str:
        if not is_writable(text):
            self.report.add("character that XML cannot hold was replaced", place)
        return escaped(text)


_DEFAULTS = {
    "checkbox": ("false", "false"),
    "number": ("0", "-1000000000\n1000000000\n1"),
    "text": ("", ""),
}
"""Default value and values of an attribute by its input type; a number has bounds and a step."""


def _input_type(value: object) -> str:
    if isinstance(value, bool):
        return "checkbox"
    return "number" if isinstance(value, int | float) else "text"


def _spelled(value: object, kind: str) -> str:
    return str(value).lower() if kind == "checkbox" else str(value)


def _is_own(key: str, attributes: Mapping[str, Any]) -> bool:
    """Tell whether an attribute of ours is one that CVAT's shapes have themselves."""
    if key not in SHAPE_KEYS or key not in attributes:
        return False
    value = attributes[key]
    wanted = str if key == "source" else int
    return type(value) is wanted and str(value) not in ("", *SHAPE_KEYS[key])
