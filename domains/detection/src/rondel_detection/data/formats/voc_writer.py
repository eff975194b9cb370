"""Writes Pascal VOC XML in the layout of the devkit, as edges counted from 0."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path, PurePosixPath
from typing import Any

from rondel.errors import UsageError
from rondel_detection.data.formats.files import (
    below,
    holds,
    is_line,
    safe_split,
    split_name,
)
from rondel_detection.data.formats.ignored import without_ignored
from rondel_detection.data.formats.label_file import make_folder, write_bytes
from rondel_detection.data.formats.leftovers import (
    list_areas,
    list_classes,
    list_columns,
    writable_rows,
)
from rondel_detection.data.formats.voc_layout import without_suffix
from rondel_detection.data.formats.xml_file import escaped
from rondel_detection.data.formats.xml_text import (
    ANNOTATION,
    ATTRIBUTE,
    OBJECT,
    as_read,
    number_text,
)
from rondel_detection.data.loss_report import LossReport
from rondel_detection.data.table import Annotations, Status

LABEL_MAP = "labelmap.txt"
"""CVAT's list of classes, which keeps their order and those without an object."""
UNSPECIFIED = frozenset({"", "Unspecified"})


def write(annotations: Annotations, path: Path) -> LossReport:
    """Write a devkit and return what it cannot hold.

    Args:
        annotations: The table.
        path: A folder: ``Annotations/`` gets an XML file for each labelled image,
            ``ImageSets/Main/`` a list for each split, ``labelmap.txt`` the classes.

    Raises:
        UsageError: The path has a suffix, or the folder cannot be made.
        DataError: A split cannot be the name of a file.
    """
    if path.suffix in (".xml", ".json", ".txt"):
        raise UsageError("VOC is written to a folder, not to one file", where=str(path))
    losses = LossReport()
    list_columns(
        annotations,
        losses,
        images=("id", "attributes"),
        boxes=("id", "crowd", "score", "outline"),
    )
    list_areas(annotations, losses, {})
    list_classes(annotations, losses)
    _Writer(without_ignored(annotations, losses), path, losses).write()
    return losses


class _Writer:
    """Writes the files of a devkit."""

    def __init__(self, annotations: Annotations, path: Path, losses: LossReport) -> None:
        self.annotations = annotations
        self.images = annotations.images
        self.boxes = annotations.boxes
        self.path = path
        self.losses = losses
        self.ids = _ids(annotations.images.file.tolist())

    def write(self) -> None:
        folder = self.path / "Annotations"
        make_folder(folder)
        rows = writable_rows(self.annotations, self.losses)
        lists: dict[str, list[str]] = {}
        for image, name in enumerate(self.ids):
            target = below(folder, name + ".xml", ".xml")
            if target is None:
                place = self.annotations.image_place(image)
                self.losses.add("image outside of the folder was left out", place)
                self.losses.add("box of an image that was left out", place, count=len(rows[image]))
                continue
            if self._is_written(image, rows[image]):
                make_folder(target.parent)
                write_bytes(target, self._annotation(image, rows[image]).encode())
            self._add_to_list(image, name, lists)
        self._write_lists(lists)
        self._write_classes()

    def _is_written(self, image: int, rows: list[int]) -> bool:
        """Tell whether an image gets an XML file, which says that somebody has looked at it."""
        if self.images.status[image] != Status.UNLABELLED:
            return True
        place = self.annotations.image_place(image)
        if rows:
            self.losses.add("unlabelled image with boxes became a labelled one", place)
        elif not holds(self.annotations.root, self.images.file[image]):
            self.losses.add("unlabelled image that is not there was left out", place)
        return bool(rows)

    def _add_to_list(self, image: int, name: str, lists: dict[str, list[str]]) -> None:
        split = safe_split(self.images.split[image])
        if not split:
            return
        if split_name(split) != split or split == "trainval" or not is_line(name):
            place = self.annotations.image_place(image)
            self.losses.add("split of an image is not read back as it was", place)
        lists.setdefault(split, []).append(name)

    def _write_lists(self, lists: dict[str, list[str]]) -> None:
        folder = self.path / "ImageSets" / "Main"
        make_folder(folder)
        for split, names in lists.items():
            write_bytes(folder / f"{split}.txt", _lines(names))

    def _write_classes(self) -> None:
        lines = ["# label:color_rgb:parts:actions"]
        for name in self.annotations.labels.names:
            back = as_read(name)
            if back != name:
                self.losses.add(f"name of a class is read back as {back!r}", repr(name))
            if "\n" not in back and not back.startswith("#"):
                lines.append(f"{back}:::")
            else:
                self.losses.add(
                    "order of the classes, and those without a box, were not kept",
                    f"class {name!r}",
                )
        write_bytes(self.path / LABEL_MAP, _lines(lines))

    def _annotation(self, image: int, rows: list[int]) -> str:
        name = self.images.file[image]
        return ANNOTATION.format(
            folder=escaped(PurePosixPath(name).parent.name),
            filename=escaped(PurePosixPath(name).name),
            width=self.images.width[image],
            height=self.images.height[image],
            objects="".join(self._object(row) for row in rows),
        )

    def _object(self, row: int) -> str:
        boxes = self.boxes
        attributes = dict(boxes.attributes.get(row, {}))
        pose = attributes.get("pose")
        if isinstance(pose, str) and pose == as_read(pose) and pose not in UNSPECIFIED:
            del attributes["pose"]
        else:
            pose = "Unspecified"
        x1, y1, x2, y2 = map(number_text, boxes.xyxy[row].tolist())
        return OBJECT.format(
            name=escaped(self.annotations.labels.names[int(boxes.label[row])]),
            pose=escaped(pose),
            truncated=int(boxes.truncated[row]),
            difficult=int(boxes.difficult[row]),
            occluded=int(boxes.occluded[row]),
            x1=x1,
            y1=y1,
            x2=x2,
            y2=y2,
            attributes=self._attributes(row, attributes),
        )

    def _attributes(self, row: int, attributes: dict[str, Any]) -> str:
        if not attributes:
            return ""
        parts = []
        for name, value in attributes.items():
            text = value if isinstance(value, str) else json.dumps(value, default=str)
            if (as_read(name), as_read(text)) != (name, value):
                self.losses.add("attribute became plain text", self.annotations.box_place(row))
            parts.append(ATTRIBUTE.format(name=escaped(name), value=escaped(text)))
        return f"    <attributes>\n{''.join(parts)}    </attributes>\n"


def _ids(files: list[str]) -> list[str]:
    """Return an id for each image: its name without suffix, or with it where two differ in that."""
    stems = [without_suffix(file) if file else "" for file in files]
    uses = Counter([*stems, *files])
    return [stem if uses[stem] == 1 else file for stem, file in zip(stems, files, strict=True)]


def _lines(lines: list[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode("utf-8", "replace")
