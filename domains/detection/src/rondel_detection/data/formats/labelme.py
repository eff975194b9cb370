"""LabelMe JSON: one file per image, as LabelMe 4 to 7 and its descendants write them.

Coordinates are pixels of the picture as it is seen, after its EXIF rotation. A JSON file with
``"shapes": []`` says that nothing is there; an image without a JSON file was never looked at. The
pseudo-class ``__ignore__`` marks a region in which nothing counts, ``_background_`` no object.
LabelMe keeps keys that it does not know: scores, attributes and the flag ``difficult`` stand in
such keys, named as its descendant X-AnyLabeling names them.
"""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path, PureWindowsPath
from typing import Any

from rondel.errors import DataError
from rondel_detection.data.formats import drawn
from rondel_detection.data.formats.class_names import ClassNames
from rondel_detection.data.formats.drawn import Drawn, points_of
from rondel_detection.data.formats.files import holds, image_names, image_size, relative_name
from rondel_detection.data.formats.format import Source
from rondel_detection.data.formats.json_file import first_keys, read_json, score_of
from rondel_detection.data.formats.labelme_writer import BACKGROUND, FLAGS, IGNORE, LABELS, write
from rondel_detection.data.formats.png_mask import decode_mask
from rondel_detection.data.geometry import circle_bounds
from rondel_detection.data.table import Annotations, Status, TableBuilder

__all__ = ["read", "recognise", "write"]

LOOKED_AT = 20
"""JSON files of a folder whose beginning is looked at, at most."""
_COLOURS = {"lineColor", "fillColor", "line_color", "fill_color"}
_IMAGE_KEYS = _COLOURS | {"version", "flags", "shapes", "attributes"}
_IMAGE_KEYS |= {"imagePath", "imageData", "imageHeight", "imageWidth"}
_SHAPE_KEYS = _COLOURS | {"label", "points", "group_id", "shape_type", "flags", "description"}
_SHAPE_KEYS |= {"mask", "score", "attributes", "difficult"}
_EMPTY: tuple[Any, ...] = (None, "", [], {})

Shape = Mapping[str, Any]


def recognise(path: Path) -> str:
    """Say why a path is LabelMe's, or nothing."""
    if path.is_dir():
        files = itertools.islice(path.rglob("*.json"), LOOKED_AT)
        found = next((file for file in files if recognise(file)), None)
        return f"{relative_name(found, path)}: {recognise(found)}" if found else ""
    kind, keys = first_keys(path)
    shapes = "shapes" in keys and keys & {"version", "flags", "imagePath", "imageHeight"}
    if kind == "object" and (shapes or "imageData" in keys):
        return "a JSON object with 'shapes' of one image"
    return ""


def read(source: Source) -> Annotations:
    """Read one LabelMe file, or all in a folder and its subfolders.

    Images are looked for where ``imagePath`` leads, then in the same place below
    ``source.images``, then by their name. In a folder, images without a JSON file are unlabelled.

    Raises:
        DataError: There is no LabelMe file, or one cannot be read.
    """
    path = source.path
    if not path.exists():
        raise DataError("there is no such file or folder", where=str(path))
    home = path if path.is_dir() else path.parent
    reader = _Reader(home, source.images or home)
    files = _json_files(path) if path.is_dir() else [path]
    for file in files:
        if file == path or recognise(file):
            reader.add(file)
        else:
            reader.builder.losses.add(
                "JSON file that is not LabelMe's was skipped", relative_name(file, path)
            )
    if not reader.builder.files:
        raise DataError("holds no JSON file of LabelMe", where=str(path))
    if path.is_dir():
        reader.add_unlabelled()
    return reader.build()


def _json_files(folder: Path) -> list[Path]:
    """Return the JSON files of a folder and its subfolders, but not of hidden ones, in order."""
    found = folder.rglob("*.json")
    return sorted(
        file
        for file in found
        if not any(part.startswith(".") for part in file.parent.relative_to(folder).parts)
    )


class _Reader:
    """Collects the files one after the other."""

    def __init__(self, home: Path, root: Path) -> None:
        self.home = home
        self.builder = TableBuilder(root, "labelme")
        self.losses = self.builder.losses
        self.classes = ClassNames()
        self.used: set[str] = set()
        self.everywhere: list[tuple[int, int, int, Drawn]] = []  # regions marked __ignore__
        self._named: dict[str, list[str]] | None = None

    def add(self, file: Path) -> None:
        content = read_json(file)
        name = relative_name(file, self.home)
        if not isinstance(content, dict) or not isinstance(content.get("shapes"), list):
            raise DataError(
                "is no file of LabelMe: it has no list of 'shapes'", where=f"{file}:1:1"
            )
        origin = self.builder.add_file(name)
        image, size = self._add_image(content, file, origin)
        groups: dict[tuple[Any, ...], list[tuple[int, Shape, Drawn]]] = {}
        for number, shape in enumerate(content["shapes"], 1):
            found = self._drawn(shape, size, f"{name}: shape {number}")
            if found is not None:
                group = shape.get("group_id")
                key = (number,) if group is None else (str(shape.get("label")), str(group))
                groups.setdefault(key, []).append((number, shape, found))
        for parts in groups.values():
            self._add_object(parts, image, origin, name)

    def add_unlabelled(self) -> None:
        for name in image_names(self.builder.root):
            if name not in self.used:
                width, height = image_size(self.builder.root, name)
                self.builder.add_image(name, width=width, height=height, status=Status.UNLABELLED)

    def build(self) -> Annotations:
        """Make the table."""
        listed = self._listed_classes()
        if set(self.classes.names) <= set(listed):
            self.classes.arrange(listed)
        elif listed:
            self.losses.add("list of classes that lacks some of them was not used", LABELS)
        for image, origin, number, region in self.everywhere:
            for name in list(self.classes.names):
                label = self.classes.index(name)
                self.builder.add_box(
                    image, region.box, label, crowd=True, origin=origin, line=number
                )
        return self.classes.build(self.builder)

    def _listed_classes(self) -> list[str]:
        """Return the classes of ``labels.txt``, the file that LabelMe is started with."""
        try:
            text = (self.home / LABELS).read_bytes().decode("utf-8-sig", "replace")
        except OSError:
            return []
        lines = [line.rstrip("\r") for line in text.split("\n")]
        return list(dict.fromkeys(line for line in lines if line not in ("", IGNORE, BACKGROUND)))

    def _add_image(
        self, content: Mapping[str, Any], file: Path, origin: int
    ) -> tuple[int, tuple[int, int]]:
        name = self._find(content.get("imagePath"), file)
        self.used.add(name)
        size = _pixels(content.get("imageWidth")), _pixels(content.get("imageHeight"))
        if not all(size):
            read = image_size(self.builder.root, name)
            size = read if all(read) else size
        if content.get("imageData") and not holds(self.builder.root, name):
            self.losses.add(
                "image that is missing stands in the JSON file only, and was not unpacked",
                self.builder.files[origin],
            )
        flags = _mapping(content.get("flags"))
        ignored = flags.pop(IGNORE, False) is True
        attributes = flags | _mapping(content.get("attributes"))
        for key, value in content.items():
            if key not in _IMAGE_KEYS and value not in _EMPTY:
                attributes[key] = value
        row = self.builder.add_image(
            name,
            width=size[0],
            height=size[1],
            status=Status.IGNORED if ignored else Status.LABELLED,
            origin=origin,
            line=1,
            attributes=attributes,
        )
        return row, size

    def _find(self, image_path: object, file: Path) -> str:
        """Return the image of a JSON file, relative to the root; a name that leads out stays."""
        name = relative_name(file, self.home)
        given = PureWindowsPath(image_path).as_posix() if isinstance(image_path, str) else ""
        base = given.rpartition("/")[2]
        if base in ("", ".", ".."):
            self.losses.add("JSON file does not name its image", name)
            given = base = file.stem
        absolute = given.startswith("/") or given[1:2] == ":"
        below = file.parent.relative_to(self.home)
        straight = _relative(file.parent / given, self.builder.root)
        mirrored = straight if absolute else _relative(self.home / below / given, self.home)
        for found in (straight, mirrored):
            if holds(self.builder.root, found):
                return found
        for found in ((below / base).as_posix(), *self._by_name(base)):
            if holds(self.builder.root, found):
                self.losses.add(
                    "imagePath does not lead to the image, which was found by its name", name
                )
                return found
        if absolute:
            return given
        return mirrored if straight.startswith("../") and mirrored[:3] != "../" else straight

    def _by_name(self, base: str) -> list[str]:
        """Return the image in the root whose name this is, if there is exactly one."""
        if self._named is None:
            self._named = {}
            for name in image_names(self.builder.root):
                self._named.setdefault(name.rpartition("/")[2], []).append(name)
        found = self._named.get(base, [])
        return found if len(found) == 1 else []

    def _drawn(self, shape: object, size: tuple[int, int], place: str) -> Drawn | None:
        """Return the shape, or None and list why it was dropped."""
        try:
            found = _shape(shape, size)
        except DataError as error:
            self.losses.add(error.what, place)
            return None
        if found.loss:
            self.losses.add(found.loss, place)
        return found

    def _add_object(
        self, parts: list[tuple[int, Shape, Drawn]], image: int, origin: int, name: str
    ) -> None:
        number, shape, _ = parts[0]
        place = f"{name}: shape {number}"
        label = shape.get("label")
        if label == BACKGROUND:
            self.losses.add(f"shape labelled {BACKGROUND!r} was dropped", place)
            return
        if label == IGNORE:
            self.losses.add(f"region labelled {IGNORE!r} became a crowd box of each class", place)
            self.everywhere += [(image, origin, line, region) for line, _, region in parts]
            return
        try:
            index = self.classes.index(label)
        except DataError as error:
            self.losses.add(error.what, place)
            return
        whole = drawn.joined([part for _, _, part in parts])
        if len(parts) > 1:
            self.losses.add("shapes of one group_id became one object", place)
            if whole.loss:
                self.losses.add(whole.loss, place)
        attributes: dict[str, Any] = {}
        for _, part, _ in reversed(parts):  # the first one's count
            attributes |= _attributes(part)
        if len(parts) > 1:
            attributes.pop("group_id", None)
        flags = (item for _, part, _ in parts for item in _flags(part).items())
        marked = {flag for flag, value in flags if value is True}
        self.builder.add_box(
            image,
            whole.box,
            index,
            crowd="crowd" in marked,
            difficult="difficult" in marked,
            truncated="truncated" in marked,
            occluded="occluded" in marked,
            area=whole.area,
            score=score_of(shape.get("score"), self.losses, place),
            origin=origin,
            line=number,
            attributes=attributes,
            outline=whole.outline,
        )


def _relative(path: Path, start: Path) -> str:
    """Return a path relative to a folder, without touching the disk; it may begin with ``../``."""
    try:
        return os.path.relpath(path, start).replace(os.sep, "/")
    except ValueError:  # another drive
        return path.as_posix()


def _pixels(value: object) -> int:
    """Return a number of pixels; 0 if it is none."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return int(value) if number and 0 < value < 1 << 31 else 0  # type: ignore[operator, call-overload]


def _mapping(value: object) -> dict[str, Any]:
    return dict(value) if isinstance(value, dict) else {}


def _flags(shape: Shape) -> dict[str, Any]:
    """Return the flags of a shape; X-AnyLabeling keeps ``difficult`` beside them."""
    return {"difficult": shape.get("difficult")} | _mapping(shape.get("flags"))


def _attributes(shape: Shape) -> dict[str, Any]:
    """Return flags that the table does not know, description, group and other keys of a shape."""
    found = {key: value for key, value in shape.items() if key not in _SHAPE_KEYS}
    found |= {key: shape.get(key) for key in ("description", "group_id")}
    found = {key: value for key, value in found.items() if value not in _EMPTY}
    flags = {key: value for key, value in _flags(shape).items() if key not in FLAGS}
    return found | flags | _mapping(shape.get("attributes"))


def _shape(shape: object, size: tuple[int, int]) -> Drawn:
    """Return what was drawn.

    Raises:
        DataError: It has no box; its text is the loss to list.
    """
    if not isinstance(shape, dict):
        raise DataError("shape that is no JSON object was dropped")
    kind = shape.get("shape_type") or "polygon"
    make = _KINDS.get(kind) if isinstance(kind, str) else None
    if make is None:
        raise DataError(f"shape of the unknown type {kind!r} was dropped")
    return make(shape, size)


def _rectangle(shape: Shape, size: tuple[int, int]) -> Drawn:  # noqa: ARG001 - as in the table
    # the two corners stand in the order in which they were drawn; descendants write all four
    points = points_of(shape.get("points"), "rectangle", least=2)
    return drawn.rectangle(*drawn.points_only(points, "").box)


def _polygon(shape: Shape, size: tuple[int, int]) -> Drawn:  # noqa: ARG001
    return drawn.polygon(points_of(shape.get("points"), "polygon", least=3))


def _circle(shape: Shape, size: tuple[int, int]) -> Drawn:  # noqa: ARG001
    centre, rim = points_of(shape.get("points"), "circle", least=2)[:2].tolist()
    area = math.pi * math.dist(centre, rim) ** 2
    return Drawn(circle_bounds(centre, rim), area=area, loss="circle became its enclosing box")


def _oriented(shape: Shape, size: tuple[int, int]) -> Drawn:  # noqa: ARG001
    return drawn.turned_rectangle(points_of(shape.get("points"), "rectangle", least=4))


def _mask(shape: Shape, size: tuple[int, int]) -> Drawn:
    # only the first point counts: the second may be rounded to another size than the mask has
    left, top = points_of(shape.get("points"), "mask")[0].round().astype(int).tolist()
    return drawn.mask(decode_mask(shape.get("mask")), left, top, size)


def _nothing(what: str) -> Callable[[Shape, tuple[int, int]], Drawn]:
    def drop(shape: Shape, size: tuple[int, int]) -> Drawn:  # noqa: ARG001
        raise DataError(f"{what} has no area and was dropped")

    return drop


_KINDS: dict[str, Callable[[Shape, tuple[int, int]], Drawn]] = {
    "rectangle": _rectangle,
    "polygon": _polygon,
    "circle": _circle,
    "mask": _mask,
    "oriented_rectangle": _oriented,
    "rotation": _oriented,  # X-AnyLabeling's name
    "line": _nothing("line"),
    "linestrip": _nothing("line"),
    "point": _nothing("point"),
    "points": _nothing("point"),
}
