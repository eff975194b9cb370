"""Scalabel and BDD100K JSON: a list of frames, or an object with ``frames`` and ``config``.

``box2d`` holds edges here: x2 and y2 are taken as they stand. Scalabel's own toolkit takes them for
the last pixels within the box (inclusive: COCO's width is x2 - x1 + 1 there), although the files of
BDD100K hold fractions of pixels; the boxes of the two differ by that one pixel. ``labels`` that are null or
missing mean that nobody looked, an empty list that nothing is there. (The toolkit's ``dump`` strips
empty lists: what went through it comes back as not labelled.)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rondel.errors import DataError
from rondel_detection.data.formats import drawn
from rondel_detection.data.formats.class_names import ClassNames
from rondel_detection.data.formats.coco_columns import run_lengths
from rondel_detection.data.formats.drawn import Drawn, numbers, points_of
from rondel_detection.data.formats.files import holds, image_size, relative_name
from rondel_detection.data.formats.format import Source
from rondel_detection.data.formats.image_url import is_url, url_path
from rondel_detection.data.formats.json_file import first_keys, read_json, score_of
from rondel_detection.data.formats.label_file import files_of
from rondel_detection.data.formats.scalabel_writer import FLAGS, write
from rondel_detection.data.geometry import bezier_bounds, mask_bounds
from rondel_detection.data.images import IMAGE_SUFFIXES
from rondel_detection.data.table import Annotations, Outline, Status, TableBuilder

__all__ = ["read", "recognise", "write"]

Json = Mapping[str, Any]
Size = tuple[int, int]

_FRAME_SIGNS = {"labels", "videoName", "timestamp", "frameIndex", "index", "url", "attributes"}
_FRAME_KEYS = {"name", "size", "labels", "attributes", "objects", "id"}
_SHAPES = {"box2d", "box3d", "poly2d", "rle", "graph"}
_BOOKKEEPING = {"index", "manualShape", "manualAttributes", "haveVideo"}
_LABEL_KEYS = _SHAPES | _BOOKKEEPING | {"id", "category", "attributes", "score"}


def recognise(path: Path) -> str:
    """Say why a path is Scalabel's, or nothing."""
    if path.is_dir():
        found = next((file for file in sorted(path.glob("*.json")) if recognise(file)), None)
        return f"{found.name}: {recognise(found)}" if found else ""
    kind, keys = first_keys(path)
    if kind == "object" and "frames" in keys:
        return "a JSON object with 'frames'"
    is_list = kind == "list" and "name" in keys and keys & _FRAME_SIGNS
    return "a JSON list of frames with 'name' and 'labels'" if is_list else ""


def read(source: Source) -> Annotations:
    """Read a Scalabel file, or all in a folder.

    Raises:
        DataError: There is no Scalabel file, or one cannot be read.
    """
    folder, files = files_of(source.path, ".json", recognise, "Scalabel")
    reader = _Reader(source.images or folder)
    for file in files:
        reader.add(file, relative_name(file, source.path))
    return reader.classes.build(reader.builder)


@dataclass(frozen=True)
class _Frame:
    """The frame whose labels are read: its row and size, and its label file."""

    row: int
    size: Size
    origin: int


class _Reader:
    """Collects the files one after the other."""

    def __init__(self, root: Path) -> None:
        self.builder = TableBuilder(root, "scalabel")
        self.losses = self.builder.losses
        self.classes = ClassNames()

    def add(self, file: Path, name: str) -> None:
        content = read_json(file)
        frames = content.get("frames") if isinstance(content, dict) else content
        if not isinstance(frames, list):
            raise DataError("is no file of Scalabel: it has no list of frames", where=f"{file}:1:1")
        whole: Json = content if isinstance(content, dict) else {}
        config = _mapping(whole.get("config"))
        leaves: dict[str, str] = {}
        for leaf, group in _leaves(config.get("categories")):
            leaves.setdefault(leaf, group)
        self.classes.groups |= {leaf: group for leaf, group in leaves.items() if group}
        self.classes.arrange([*self.classes.known, *leaves])
        origin = self.builder.add_file(name)
        for number, frame in enumerate(frames, 1):
            place = f"{name}: frame {number}"
            # BDD100K's first release has one file per image, which names it above its one frame
            given = {"name": whole.get("name")} | frame if isinstance(frame, dict) else {}
            if not isinstance(given.get("name"), str | int) or given["name"] == "":
                self.losses.add("frame without a name was skipped", place)
                continue
            self._add_frame(given, config, origin, number, place)

    def _add_frame(self, frame: Json, config: Json, origin: int, line: int, place: str) -> None:
        file = self._file(frame, place)
        size = _size(frame.get("size")) or _size(config.get("imageSize"))
        size = size or image_size(self.builder.root, file)
        labels = frame.get("labels", frame.get("objects"))
        known = isinstance(labels, list)
        if not known and labels is not None:
            self.losses.add("labels that are no list were dropped", place)
        kept = {key: frame[key] for key in frame if key not in _FRAME_KEYS}
        kept = {key: value for key, value in kept.items() if value not in (None, "")}
        row = self.builder.add_image(
            file,
            width=size[0],
            height=size[1],
            status=Status.LABELLED if known else Status.UNLABELLED,
            id=frame["id"] if isinstance(frame.get("id"), int | str) else "",
            origin=origin,
            line=line,
            attributes=kept | _mapping(frame.get("attributes")),
        )
        made = _Frame(row, size, origin)
        for number, label in enumerate(labels if known else (), 1):
            try:
                self._add_label(label, made, number, f"{place}, label {number}")
            except DataError as error:
                self.losses.add(error.what, f"{place}, label {number}")

    def _file(self, frame: Json, place: str) -> str:
        name = str(frame["name"]).replace("\\", "/")
        if is_url(name):
            name = url_path(name).rpartition("/")[2] or name
            self.losses.add("name that is a URL became the name of its file", place)
        video = frame.get("videoName")
        names = [name, *([f"{video}/{name}"] if video else [])]
        found = next((each for each in names if holds(self.builder.root, each)), "")
        if found or Path(name).suffix.lower() in IMAGE_SUFFIXES:
            return found or name
        endings = (f"{name}{suffix}" for suffix in sorted(IMAGE_SUFFIXES))
        found = next((each for each in endings if holds(self.builder.root, each)), "")
        self.losses.add("name without a suffix was completed", place)
        return found or f"{name}.jpg"

    def _add_label(self, label: object, frame: _Frame, line: int, place: str) -> None:
        """Add a label.

        Raises:
            DataError: It has no box or no category; its text is the loss to list.
        """
        if not isinstance(label, dict):
            raise DataError("label that is no JSON object was dropped")
        for shape in ("box3d", "graph"):
            if label.get(shape):
                self.losses.add(f"{shape} was not kept", place)
        found = _drawn(label, frame.size)
        index = self.classes.index(label.get("category"))
        if found.loss:
            self.losses.add(found.loss, place)
        flags, attributes = self._attributes(label, place)
        self.builder.add_box(
            frame.row,
            found.box,
            index,
            crowd="crowd" in flags,
            difficult="difficult" in flags,
            truncated="truncated" in flags,
            occluded="occluded" in flags,
            area=found.area,
            score=score_of(label.get("score"), self.losses, place),
            id=label["id"] if isinstance(label.get("id"), int | str) else "",
            origin=frame.origin,
            line=line,
            attributes=attributes,
            outline=found.outline,
        )

    def _attributes(self, label: Json, place: str) -> tuple[set[str], dict[str, Any]]:
        """Return the flags that are set, and the other attributes."""
        given = label.get("attributes")
        if isinstance(given, list):  # of old files, which do not name them
            self.losses.add("attributes without names were numbered", place)
            given = {str(number): value for number, value in enumerate(given)}
        extra = {key: value for key, value in label.items() if key not in _LABEL_KEYS}
        found = {key: value for key, value in extra.items() if value is not None}
        found |= _mapping(given)
        flags = {key for key, value in found.items() if is_flag(key, value)}
        return (
            {key.lower() for key in flags if found[key]},
            {key: value for key, value in found.items() if key not in flags},
        )


def is_flag(key: str, value: object) -> bool:
    """Tell whether an attribute is a flag of the table; BDD100K writes ``Truncated`` as well."""
    return key.lower() in FLAGS and isinstance(value, bool)


def _drawn(label: Json, size: Size) -> Drawn:
    """Return the shape of a label: the box as it stands, and the outline beside it.

    Raises:
        DataError: There is no shape, or it is defective.
    """
    box, poly2d, rle = label.get("box2d"), label.get("poly2d"), label.get("rle")
    parts: list[Drawn] = []
    if poly2d:
        parts = [_path(path) for path in _paths(poly2d, str(label.get("category") or ""))]
    elif rle:
        parts = [_run_length(_mapping(rle), size)]
    if not box:
        if not parts:
            raise DataError("label without a shape in two dimensions was dropped")
        if all(part.loss == _OPEN for part in parts):
            raise DataError("open path without an area was dropped")
        return drawn.joined(parts)
    corners = numbers([_mapping(box).get(key) for key in ("x1", "y1", "x2", "y2")], "box2d")
    upright = drawn.rectangle(*corners)
    if not parts:
        return upright
    outline = drawn.joined(parts)
    loss = "" if outline.outline else "outline with curves or open ends was not kept"
    return Drawn(upright.box, outline.outline, outline.area, loss)


_OPEN = "open path became its enclosing box"


def _paths(poly2d: object, category: str) -> list[Json]:
    if not isinstance(poly2d, list):
        raise DataError("poly2d that is no list was dropped")
    if not all(isinstance(vertex, list) and len(vertex) == 3 for vertex in poly2d):
        return [_mapping(path) for path in poly2d]
    # BDD100K's first release: [[x, y, "L"] ...]
    types = "".join(str(vertex[2]) for vertex in poly2d)
    vertices = [vertex[:2] for vertex in poly2d]
    return [{"vertices": vertices, "types": types, "closed": not category.startswith("lane")}]


def _path(path: Json) -> Drawn:
    points = points_of(path.get("vertices"), "poly2d")
    types = path.get("types") or "L" * len(points)
    closed = path.get("closed", True)
    if not isinstance(types, str) or len(types) != len(points) or set(types) - {"L", "C"}:
        raise DataError("poly2d whose types do not fit its vertices was dropped")
    box = bezier_bounds(points, types, closed=bool(closed))
    if not closed:
        return Drawn(box, loss=_OPEN)
    if "C" in types or len(points) < 3:
        return Drawn(box, loss="path with curves became its enclosing box")
    return drawn.polygon(points)


def _run_length(rle: Json, size: Size) -> Drawn:
    """Return a mask of the whole image as COCO spells it."""
    counts, shape = rle.get("counts"), rle.get("size")
    try:
        runs = run_lengths(counts) if isinstance(counts, str) else tuple(map(int, counts or ()))
        height, width = map(int, shape or ())
        box = mask_bounds(runs, height, width)
    except (TypeError, ValueError, OverflowError, DataError) as error:
        raise DataError("rle that is no run-length mask was dropped") from error
    if box is None:
        raise DataError("mask without a pixel was dropped")
    area = float(sum(runs[1::2]))
    if size not in ((width, height), (0, 0)):
        return Drawn(box, area=area, loss="mask of another size than the image became its box")
    return Drawn(box, Outline(counts=runs), area)


def _leaves(categories: object) -> Iterable[tuple[str, str]]:
    """Yield the classes of a tree of categories, each with the name of its parent."""
    waiting = [(category, "") for category in reversed(_listed(categories))]
    while waiting:
        category, parent = waiting.pop()
        name = category if isinstance(category, str) else _mapping(category).get("name")
        below = _listed(_mapping(category).get("subcategories"))
        if not isinstance(name, str):
            continue
        if not below:
            yield name, parent
        waiting += [(each, name) for each in reversed(below)]


def _listed(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _mapping(value: object) -> dict[str, Any]:
    return dict(value) if isinstance(value, dict) else {}


def _size(value: object) -> Size | None:
    found = _mapping(value)
    size = found.get("width"), found.get("height")
    whole = all(isinstance(side, int | float) and 0 < side < 1 << 31 for side in size)
    return (int(size[0]), int(size[1])) if whole else None  # type: ignore[arg-type]
