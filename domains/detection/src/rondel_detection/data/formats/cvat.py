"""CVAT for images 1.1: one XML file for a task, a project or a job; and CVAT for video.

Coordinates are pixels, edges, of the picture as it is seen. A rotation turns clockwise about the
centre of the shape. An image that is listed without shapes was looked at; deleted frames are gaps
in the numbers. Frame numbers repeat across the subsets of a project, and so may names.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rondel.errors import DataError
from rondel_detection.data.formats.class_names import ClassNames
from rondel_detection.data.formats.cvat_shapes import Size, drawn_shape
from rondel_detection.data.formats.cvat_writer import FLAGS, SHAPE_KEYS, write
from rondel_detection.data.formats.files import (
    head,
    holds,
    image_names,
    image_size,
    relative_name,
)
from rondel_detection.data.formats.format import Source
from rondel_detection.data.formats.label_file import files_of
from rondel_detection.data.formats.xml_file import Element, read_xml
from rondel_detection.data.table import Annotations, TableBuilder

__all__ = ["read", "recognise", "write"]

Frame = tuple[str, int]
"""Subset and number."""

_ROOT = re.compile(r"<annotations[\s>]")
_PARTS = re.compile(r"<(?:version|meta|image|track)[\s>]")
_FRAME = re.compile(r"(?:(.*)/)?frame_(\d+)\.\w+")


def recognise(path: Path) -> str:
    """Say why a path is CVAT's, or nothing; also of its .zip, which `read` asks to unpack."""
    if path.is_dir():
        found = next((file for file in sorted(path.glob("*.xml")) if recognise(file)), None)
        return f"{found.name}: {recognise(found)}" if found else ""
    if path.suffix.lower() == ".zip":
        return "a .zip with annotations.xml" if "annotations.xml" in _names_in(path) else ""
    text = head(path) if path.suffix.lower() == ".xml" else ""
    return "XML with <annotations> and its <image>s" if _is_cvat(text) else ""


def _is_cvat(text: str) -> bool:
    root = _ROOT.search(text)
    return root is not None and _PARTS.search(text, root.end()) is not None


def _names_in(path: Path) -> list[str]:
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.namelist()
    except (OSError, ValueError, zipfile.BadZipFile):
        return []


def read(source: Source) -> Annotations:
    """Read a CVAT file, or all in a folder.

    The images are those below ``source.images``, else below ``images`` beside the file, else beside
    the file; with their subset as folder or without.

    Raises:
        DataError: There is no CVAT file, or one cannot be read.
    """
    folder, files = files_of(source.path, ".xml", recognise, "CVAT")
    beside = folder / "images"
    root = source.images or (beside if beside.is_dir() else folder)
    builder, classes = TableBuilder(root, "cvat"), ClassNames()
    for file in files:
        content = read_xml(file)
        if content.tag != "annotations":
            raise DataError(
                f"is no file of CVAT: it begins with <{content.tag}>, not <annotations>",
                where=f"{file}:{content.line}",
            )
        origin = builder.add_file(relative_name(file, source.path))
        _Reader(content, builder, classes, origin).read()
    return classes.build(builder)


@dataclass
class _Label:
    """A label of the task: the input types of its attributes by name."""

    name: str
    types: Mapping[str, str]
    is_class: bool


class _Reader:
    """Reads one file into the table."""

    def __init__(
        self, content: Element, builder: TableBuilder, classes: ClassNames, origin: int
    ) -> None:
        self.content = content
        self.builder = builder
        self.losses = builder.losses
        self.classes = classes
        self.origin = origin
        self.labels = {label.name: label for label in _labels(content)}
        self.images: dict[Frame, tuple[int, Size]] = {}
        classes.arrange(
            [*classes.known, *(label.name for label in self.labels.values() if label.is_class)]
        )

    def read(self) -> None:
        repeated = _repeated(self.content.all("image"))
        for element in self.content.all("image"):
            self._add_image(element, repeated)
        tracks = list(self.content.all("track"))
        self._add_frames(tracks)
        for track in tracks:
            self._add_track(track)

    def _place(self, element: Element) -> str:
        return f"{self.builder.files[self.origin]}:{element.line}"

    def _add_image(self, element: Element, repeated: set[str]) -> None:
        name, subset = element.attributes.get("name", ""), element.attributes.get("subset", "")
        if not name:
            self.losses.add("image without a name was skipped", self._place(element))
            return
        file = self._file(name.replace("\\", "/"), subset, repeated=name in repeated)
        size = _pixels(element.attributes.get("width")), _pixels(element.attributes.get("height"))
        if not all(size):
            found = image_size(self.builder.root, file)
            size = found if all(found) else size
        number = _natural(element.attributes.get("id", ""))
        row = self.builder.add_image(
            file,
            width=size[0],
            height=size[1],
            split=subset,
            id=element.attributes.get("id", "") if number is None else number,
            origin=self.origin,
            line=element.line,
            attributes=self._tags(element),
        )
        if number is not None:
            self.images.setdefault((subset, number), (row, size))
        for shape in element.children:
            if shape.tag not in ("tag", "attribute"):
                self._add_shape(shape, shape.attributes.get("label"), row, size)

    def _file(self, name: str, subset: str, *, repeated: bool) -> str:
        """Return the image below the root: exports of projects have a folder for each subset."""
        below = f"{subset}/{name}"
        if not subset or holds(self.builder.root, name):
            return below if subset and repeated else name
        return below if repeated or holds(self.builder.root, below) else name

    def _tags(self, element: Element) -> dict[str, Any]:
        tags = [tag for tag in element.all("tag") if tag.attributes.get("label")]
        for tag in tags:
            self.losses.add("tag became an attribute of its image", self._place(tag))
            if any(tag.all("attribute")):
                self.losses.add("attributes of a tag were dropped", self._place(tag))
        return {"tags": [tag.attributes["label"] for tag in tags]} if tags else {}

    def _add_frames(self, tracks: Iterable[Element]) -> None:
        """Add an image for each frame of a video that a track or the name of a file knows."""
        tasks: dict[Frame, str] = {}
        for track in tracks:
            for shape in track.children:
                number = _natural(shape.attributes.get("frame", ""))
                if number is not None:
                    frame = track.attributes.get("subset", ""), number
                    tasks.setdefault(frame, track.attributes.get("task_id", ""))
        files: dict[Frame, str] = {}
        for name in image_names(self.builder.root) if tasks else ():
            match = _FRAME.fullmatch(name)
            if match:
                files[match[1] or "", int(match[2])] = name
        bare = {frame for frame in files if not frame[0] and not self.images}
        for frame in sorted((tasks.keys() | bare) - self.images.keys()):
            self._add_frame(frame, files.get(frame, ""), tasks.get(frame, ""))

    def _add_frame(self, frame: Frame, file: str, task: str) -> None:
        subset, number = frame
        name = f"frame_{number:06d}.png"
        file = file or (f"{subset}/{name}" if subset else name)
        self.losses.add("image of a frame was named by convention", file)
        size = self._original_size(task)
        if not all(size):
            size = image_size(self.builder.root, file)
        row = self.builder.add_image(
            file, width=size[0], height=size[1], split=subset, id=number, origin=self.origin
        )
        self.images[frame] = row, size

    def _original_size(self, task: str) -> Size:
        for found in self.content.below("task"):
            size = found.first("original_size")
            if size is not None and task in ("", found.text_of("id")):
                return _pixels(size.text_of("width")), _pixels(size.text_of("height"))
        return 0, 0

    def _add_track(self, track: Element) -> None:
        subset, given = track.attributes.get("subset", ""), track.attributes.get("id", "")
        identity = _natural(given)
        extra = {"track_id": given if identity is None else identity}
        for shape in track.children:
            frame = _natural(shape.attributes.get("frame", ""))
            if shape.attributes.get("outside") == "1":
                continue  # the object is not in the picture
            if frame is None:
                self.losses.add("shape without a frame was dropped", self._place(shape))
                continue
            row, size = self.images[subset, frame]
            self._add_shape(shape, track.attributes.get("label"), row, size, extra)

    def _add_shape(
        self,
        element: Element,
        label: str | None,
        image: int,
        size: Size,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        place = self._place(element)
        try:
            found = drawn_shape(element, size)
            index = self.classes.index(label)
        except DataError as error:
            self.losses.add(error.what, place)
            return
        if found.loss:
            self.losses.add(found.loss, place)
        if self.labels and label not in self.labels:
            self.losses.add(f"label {label!r} is not among those of the task", place)
        attributes = self._attributes(element, label or "") | dict(extra or {})
        flags = {
            flag: attributes.pop(flag) for flag in FLAGS if isinstance(attributes.get(flag), bool)
        }
        self.builder.add_box(
            image,
            found.box,
            index,
            crowd=flags.get("crowd", False),
            difficult=flags.get("difficult", False),
            truncated=flags.get("truncated", False),
            occluded=element.attributes.get("occluded") == "1",
            area=found.area,
            origin=self.origin,
            line=element.line,
            attributes=attributes,
            outline=found.outline,
        )

    def _attributes(self, element: Element, label: str) -> dict[str, Any]:
        """Return attributes with the types of their label, and what else is worth keeping."""
        found: dict[str, Any] = {}
        for key, unset in SHAPE_KEYS.items():
            value = element.attributes.get(key, "")
            if value not in ("", *unset):
                found[key] = value if key == "source" else _typed(value, "number")
        types = self.labels[label].types if label in self.labels else {}
        for attribute in element.all("attribute"):
            name = attribute.attributes.get("name", "")
            found[name] = _typed(attribute.text, types.get(name, ""))
        return found


def _labels(content: Element) -> Iterator[_Label]:
    """Yield the labels; points of a skeleton and pure tags are no classes."""
    for label in content.below("label"):
        name = label.first("name")
        types = {
            attribute.text_of("name"): attribute.text_of("input_type")
            for attributes in label.all("attributes")
            for attribute in attributes.all("attribute")
        }
        if name is not None and name.text:
            is_class = label.first("parent") is None and label.text_of("type") != "tag"
            yield _Label(name.text, types, is_class)


def _repeated(images: Iterable[Element]) -> set[str]:
    """Return the names that occur in several subsets."""
    subsets: dict[str, set[str]] = {}
    for image in images:
        of_name = subsets.setdefault(image.attributes.get("name", ""), set())
        of_name.add(image.attributes.get("subset", ""))
    return {name for name, found in subsets.items() if len(found) > 1}


def _typed(text: str, kind: str) -> Any:
    """Return the value of an attribute of CVAT's input type."""
    if kind == "checkbox" and text.strip().lower() in ("true", "false"):
        return text.strip().lower() == "true"
    if kind != "number":
        return text
    try:
        return float(text) if set(text.lower()) & set(".en") else int(text)
    except ValueError:
        return text


def _natural(text: str) -> int | None:
    """Return a whole number from 0 on, or None."""
    return int(text) if text.isdecimal() and len(text) < 19 else None


def _pixels(text: str | None) -> int:
    """Return a number of pixels; 0 if it is none."""
    pixels = _natural((text or "").strip()) or 0
    return pixels if pixels < 1 << 31 else 0
