"""Pascal VOC XML: a devkit, several, or any folder of such files, one for each image.

The devkit counts pixels from 1 and names the last one that belongs to an object, so that its boxes
begin one pixel too far to the right and below; it is told by its ``<database>``. The files of
labelImg, Roboflow and others hold the edges themselves, as torchvision takes all of them.
"""

from __future__ import annotations

import math
from itertools import islice
from pathlib import Path
from typing import Any

from rondel.errors import DataError
from rondel_detection.data.formats.class_names import ClassNames
from rondel_detection.data.formats.files import head, image_size, relative_name
from rondel_detection.data.formats.format import Source
from rondel_detection.data.formats.voc_layout import (
    Devkit,
    ImageFiles,
    devkit_of,
    devkits,
    splits_of,
    without_suffix,
)
from rondel_detection.data.formats.voc_writer import LABEL_MAP, UNSPECIFIED, write
from rondel_detection.data.formats.xml_file import Element, read_xml
from rondel_detection.data.table import Annotations, Status, TableBuilder

__all__ = ["read", "recognise", "write"]

LOOKED_AT = 20
"""XML files of a folder whose beginning is looked at, at most."""
OBJECT_FIELDS = frozenset(
    {"name", "pose", "truncated", "difficult", "occluded", "bndbox", "attributes"}
)
CORNERS = ("xmin", "ymin", "xmax", "ymax")


def recognise(path: Path) -> str:
    """Say why a path is VOC, or nothing."""
    what = "an XML file of one image with its size and boxes as VOC has them"
    if path.is_file():
        return what if _is_voc(path) else ""
    for place in (path / "Annotations", *sorted(path.glob("*/Annotations")), path):
        files = islice(place.rglob("*.xml"), LOOKED_AT) if place.is_dir() else ()
        for found in files:
            if _is_voc(found):
                return f"{relative_name(found, path)} is {what}"
    return ""


def _is_voc(path: Path) -> bool:
    if path.suffix.lower() != ".xml" or not path.is_file():
        return False
    text = head(path)
    # the XML of MIT's LabelMe has the same root, but polygons, and its own element of the size
    foreign = "<imagesize>" in text or "<deleted>" in text
    own = "<size>" in text or "<bndbox>" in text or "<filename>" in text
    return "<annotation>" in text and own and not foreign


def read(source: Source) -> Annotations:
    """Read an XML file, or all of a devkit, of several, or of a folder.

    In a folder, images without an XML file are unlabelled.

    Raises:
        DataError: There is no such file, or one is no XML.
    """
    path = source.path
    if path.is_file():
        kit = devkit_of(source)
        reader = _Reader(path.parent, kit.root)
        reader.add_file(kit, path, ImageFiles(kit), "")
        return reader.build()
    kits = list(devkits(source))
    reader = _Reader(path, kits[0].root)
    for kit in kits:
        reader.add(kit)
    if not reader.builder.files and kits[0].labels == path:  # an empty devkit is nothing strange
        raise DataError("holds no XML file of VOC", where=str(path))
    return reader.build()


def _listed_classes(home: Path) -> list[str]:
    """Return the classes of CVAT's ``labelmap.txt``, lines of ``name:colour:parts:actions``."""
    try:
        text = (home / LABEL_MAP).read_bytes().decode("utf-8-sig", "replace")
    except OSError:
        return []
    lines = [line for line in text.split("\n") if line[:1] != "#" and line.count(":") > 2]
    # black is the colour of what is no object
    return [line.rsplit(":", 3)[0].strip() for line in lines if ":0,0,0:" not in line]


class _Reader:
    """Collects XML files and images."""

    def __init__(self, home: Path, root: Path) -> None:
        self.home = home
        self.builder = TableBuilder(root, "voc")
        self.losses = self.builder.losses
        self.classes = ClassNames(_listed_classes(home))

    def add(self, kit: Devkit) -> None:
        """Add all of a devkit: its XML files, then the images without one."""
        files = sorted(file for file in kit.labels.rglob("*") if file.suffix.lower() == ".xml")
        by_stem = {kit.stem_of(file): file for file in files}
        images = ImageFiles(kit)
        known = frozenset({*by_stem, *images.by_stem, *images.names})
        splits = splits_of(kit, known, self.losses)
        used = set()
        for stem, file in by_stem.items():
            split = splits.get(stem, kit.implied_split(stem))
            used.add(self.add_file(kit, file, images, split))
        for name in images.names:
            if name not in used:
                stem = without_suffix(name)
                own = "" if stem in by_stem else splits.get(stem, kit.implied_split(stem))
                self._add_image(kit, name, Status.UNLABELLED, splits.get(name, own))

    def add_file(self, kit: Devkit, file: Path, images: ImageFiles, split: str) -> str:
        """Add an XML file and return the name of its image, relative to the devkit's images."""
        root = read_xml(file)
        place = relative_name(file, self.home)
        if root.tag != "annotation":
            self.losses.add("XML file that is no annotation of VOC was skipped", place)
            return ""
        origin = self.builder.add_file(place)
        name = images.find(kit.stem_of(file), root.text_of("filename"))
        size = tuple(_whole(root.text_of("size", side)) for side in ("width", "height"))
        row = self._add_image(kit, name, Status.LABELLED, split, size=size, origin=origin)
        if root.text_of("segmented") == "1":
            self.losses.add("segmentation in a file of its own is not read", place)
        shift = self._shift(root, place)
        for found in root.all("object"):
            self._add_object(found, row, origin, shift)
        return name

    def build(self) -> Annotations:
        """Make the table."""
        return self.classes.build(self.builder)

    def _add_image(
        self,
        kit: Devkit,
        name: str,
        status: Status,
        split: str,
        *,
        size: tuple[int, ...] = (0, 0),
        origin: int = -1,
    ) -> int:
        file = f"{kit.prefix}/{name}" if kit.prefix else name
        width, height = size if all(size) else image_size(kit.root, file)
        return self.builder.add_image(
            file, width=width, height=height, status=status, split=split, origin=origin
        )

    def _shift(self, root: Element, place: str) -> float:
        """Return what is taken off the upper left corner: 1 where pixels count from 1."""
        if "VOC" not in root.text_of("source", "database"):
            return 0.0
        firsts = [
            found.text_of("bndbox", corner)
            for found in root.all("object")
            for corner in ("xmin", "ymin")
        ]
        if any(_number(text) == 0 for text in firsts):
            self.losses.add(
                "file of VOC's database with a pixel 0 is taken as 0-based edges", place
            )
            return 0.0
        return 1.0

    def _add_object(self, found: Element, image: int, origin: int, shift: float) -> None:
        place = f"{self.builder.files[origin]}:{found.line}"
        for child in found.children:
            if child.tag not in OBJECT_FIELDS:
                self.losses.add(f"<{child.tag}> of an object is not kept", place)
        name = found.text_of("name")
        x1, y1, x2, y2 = (_number(found.text_of("bndbox", corner)) for corner in CORNERS)
        if not name:
            self.losses.add("object without a name was dropped", place)
        elif not all(map(math.isfinite, (x1, y1, x2, y2))):
            self.losses.add("object without a box was dropped", place)
        else:
            self.builder.add_box(
                image,
                (x1 - shift, y1 - shift, x2, y2),
                self.classes.index(name),
                difficult=_flag(found, "difficult"),
                truncated=_flag(found, "truncated"),
                occluded=_flag(found, "occluded"),
                origin=origin,
                line=found.line,
                attributes=_attributes(found),
            )


def _attributes(found: Element) -> dict[str, Any]:
    """Return the attributes as CVAT writes them, and the pose."""
    given = [one for outer in found.all("attributes") for one in outer.all("attribute")]
    attributes = {one.text_of("name"): one.text_of("value") for one in given}
    pose = found.text_of("pose")
    return attributes if pose in UNSPECIFIED else {"pose": pose, **attributes}


def _flag(found: Element, tag: str) -> bool:
    return found.text_of(tag).lower() in ("1", "true", "yes")


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _whole(text: str) -> int:
    """Return a width or height, 0 if it is none."""
    number = _number(text)
    return int(number) if 0 < number < 1 << 24 else 0
