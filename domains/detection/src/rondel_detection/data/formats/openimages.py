"""Open Images CSV: boxes as shares of the image, classes by MID, verified image-level labels.

An image without a box is empty only if people verified that what they looked for is not there;
otherwise nobody may have looked. Sizes come from the image files, ``<ImageID>.jpg``.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

from rondel.errors import DataError
from rondel_detection.data.formats.files import (
    head,
    image_names,
    image_size,
    relative_name,
)
from rondel_detection.data.formats.format import Source
from rondel_detection.data.labels import LabelMap
from rondel_detection.data.table import Annotations, Status, TableBuilder, integers

SIDES = ("XMin", "XMax", "YMin", "YMax")
BOX_COLUMNS = frozenset({"ImageID", "LabelName", *SIDES})
LABEL_COLUMNS = frozenset({"ImageID", "LabelName", "Confidence"})
FLAG_COLUMNS = ("IsOccluded", "IsTruncated", "IsGroupOf", "IsDepiction", "IsInside")
KNOWN_COLUMNS = BOX_COLUMNS | {"Confidence", *FLAG_COLUMNS}
SPLITS = ("train", "validation", "test")

Record = Mapping[str, str]


def recognise(path: Path) -> str:
    """Say why a path is Open Images', or nothing."""
    found = next(iter(_box_files(path)), None)
    if found is None:
        return ""
    return f"{relative_name(found, path)} has the columns of Open Images' boxes"


def _columns(path: Path) -> frozenset[str]:
    """Return the names in the first line of a CSV file."""
    return frozenset(head(path).split("\n", 1)[0].strip().split(","))


def _csv_files(path: Path) -> list[Path]:
    if path.is_file():
        return [path] if path.suffix.lower() == ".csv" else []
    places = (path, path / "annotations", path / "labels", path / "metadata")
    return [file for place in places for file in sorted(place.glob("*.csv"))]


def _box_files(path: Path) -> list[Path]:
    return [file for file in _csv_files(path) if _columns(file) >= BOX_COLUMNS]


def read(source: Source) -> Annotations:
    """Read the CSV files of boxes, and what lies beside them: class names, verified labels.

    Where only some of the images are there, as after the download of a part, the others are left
    out and counted.

    Raises:
        DataError: There is none, or one is no CSV.
    """
    path = source.path
    files = _box_files(path)
    if not files:
        raise DataError(
            "holds no CSV file with the columns ImageID, LabelName, XMin, XMax, YMin, YMax",
            where=str(path),
        )
    home = path.parent if path.is_file() else path
    beside = _csv_files(home)
    splits = {_split_of(file) for file in files}
    reader = _Reader(TableBuilder(source.images or home, "openimages"), _class_names(beside))
    for file in beside:
        columns = _columns(file)
        if columns >= LABEL_COLUMNS and not columns >= BOX_COLUMNS and _split_of(file) in splits:
            reader.add_verified(file)
    for file in files:
        reader.add_boxes(file, relative_name(file, path))
    reader.add_other_images()
    return reader.build()


def _split_of(file: Path) -> str:
    """Return the split that the name of a file tells: ``oidv6-train-annotations-bbox.csv``."""
    named = next((split for split in SPLITS if split in file.stem), "")
    return "val" if named == "validation" else named


def _class_names(files: list[Path]) -> dict[str, str]:
    """Return class names by MID; those of the classes that have boxes come first."""
    chosen = [file for file in files if "class-descriptions" in file.name]
    names: dict[str, str] = {}
    for file in sorted(chosen, key=lambda file: "boxable" not in file.name):
        for row in _rows(file):
            if len(row) > 1 and row[0].startswith("/"):
                names.setdefault(row[0], row[1])
    return names


def _rows(file: Path) -> Iterator[list[str]]:
    try:
        with file.open(encoding="utf-8-sig", errors="replace", newline="") as opened:
            yield from csv.reader(opened)
    except (OSError, csv.Error) as error:
        raise DataError(f"is no CSV that can be read: {error}", where=str(file)) from error


def _records(file: Path) -> Iterator[tuple[int, Record]]:
    """Yield the line number and the fields of each record."""
    rows = _rows(file)
    names = next(rows, [])
    for number, row in enumerate(rows, 2):
        yield number, dict(zip(names, row, strict=False))


@dataclass
class Verified:
    """What people verified of an image: names of classes that are there, and that are not."""

    split: str
    present: list[str] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)

    @property
    def attributes(self) -> dict[str, Any]:
        """As attributes of the image."""
        found = {"verified_present": self.present, "verified_absent": self.absent}
        return {key: names for key, names in found.items() if names}


class _Reader:
    """Collects verified labels, then boxes, then the images that have none."""

    def __init__(self, builder: TableBuilder, names: Mapping[str, str]) -> None:
        self.builder = builder
        self.losses = builder.losses
        self.names = names
        self.files: dict[str, str] = {}  # by ImageID
        for name in image_names(builder.root):
            self.files.setdefault(PurePosixPath(name).stem, name)
        self.verified: dict[str, Verified] = {}
        self.rows: dict[str, int] = {}  # by ImageID
        self.sizes: list[tuple[int, int]] = []  # by row
        self.mids: dict[str, int] = {}

    def add_verified(self, file: Path) -> None:
        """Collect the verified image-level labels of a file."""
        for _, record in _records(file):
            seen = self.verified.setdefault(record.get("ImageID", ""), Verified(_split_of(file)))
            mid = record.get("LabelName", "")
            found = seen.present if _number(record, "Confidence") > 0 else seen.absent
            found.append(self.names.get(mid, mid))

    def add_boxes(self, file: Path, place: str) -> None:
        """Add the boxes of a file, and their images."""
        origin = self.builder.add_file(place)
        for column in sorted(_columns(file) - KNOWN_COLUMNS):
            self.losses.add(f"column {column!r} is not kept", place)
        split = _split_of(file)
        for number, record in _records(file):
            row = self._image(record.get("ImageID", ""), split, Status.LABELLED)
            if row is None:
                self.losses.add(
                    "box of an image that is not there was left out", f"{place}:{number}"
                )
            else:
                self._add_box(record, row, origin, number)

    def add_other_images(self) -> None:
        """Add images without a box: empty if only absence was verified, else unlabelled."""
        for image, seen in self.verified.items():
            empty = seen.absent and not seen.present
            self._image(image, seen.split, Status.LABELLED if empty else Status.UNLABELLED)
        for image in self.files:
            self._image(image, "", Status.UNLABELLED)

    def build(self) -> Annotations:
        """Make the table; classes are in the order of the descriptions."""
        order = {mid: place for place, mid in enumerate(self.names)}
        mids = sorted(self.mids, key=lambda mid: (order.get(mid, len(order)), mid))
        used: dict[str, str] = {}
        for mid in mids:
            name = self.names.get(mid, mid)
            used[f"{name} ({mid})" if name in used else name] = mid
        table = self.builder.build(LabelMap(tuple(used), tuple(used.values())))
        final = {self.mids[mid]: row for row, mid in enumerate(mids)}
        label = integers([final[value] for value in table.boxes.label.tolist()])
        return replace(table, boxes=replace(table.boxes, label=label))

    def _image(self, image: str, split: str, status: Status) -> int | None:
        """Return the row of an image, a new one if needed; None if it is left out."""
        if image in self.rows:
            return self.rows[image]
        if image not in self.files and self.files:
            return None
        file = self.files.get(image, f"{image}.jpg")
        width, height = image_size(self.builder.root, file)
        self.sizes.append((width, height))
        seen = self.verified.get(image)
        self.rows[image] = self.builder.add_image(
            file,
            width=width,
            height=height,
            status=status,
            split=split,
            id=image,
            attributes=seen.attributes if seen else None,
        )
        return self.rows[image]

    def _add_box(self, record: Record, image: int, origin: int, line: int) -> None:
        place = f"{self.builder.files[origin]}:{line}"
        x1, x2, y1, y2 = (_number(record, side) for side in SIDES)
        width, height = self.sizes[image]
        if not (width and height):
            self.losses.add("box in an image that cannot be read was dropped", place)
            return
        if not all(map(math.isfinite, (x1, x2, y1, y2))):
            self.losses.add("box that is not finite was dropped", place)
            return
        values = {name: record.get(name, "") for name in FLAG_COLUMNS}
        for name in (name for name, value in values.items() if value == "-1"):
            self.losses.add(f"{name} that is not known is taken as not set", place)
        flags = {name: value in ("1", "1.0") for name, value in values.items()}
        score = _number(record, "Confidence")
        self.builder.add_box(
            image,
            (x1 * width, y1 * height, x2 * width, y2 * height),
            self.mids.setdefault(record.get("LabelName", ""), len(self.mids)),
            crowd=flags["IsGroupOf"],
            occluded=flags["IsOccluded"],
            truncated=flags["IsTruncated"],
            score=score if score < 1 else math.nan,
            origin=origin,
            line=line,
            attributes={name: True for name in ("IsDepiction", "IsInside") if flags[name]},
        )


def _number(record: Record, name: str) -> float:
    try:
        return float(record[name])
    except (KeyError, ValueError):
        return math.nan
