"""Label Studio JSON: the list of tasks, full or as JSON-MIN, and a single task.

A task has an annotation for each person who worked on it: the one that is marked as ground truth
counts, else the latest. ``annotations: []`` means that nobody looked, an annotation with ``result:
[]`` that nothing is there; where all were cancelled, the task was skipped and is ignored.
Predictions and drafts are no labels. ``label_config.xml`` beside the file, which the writer makes
for the labelling interface, gives the order of the classes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rondel.errors import DataError
from rondel_detection.data.formats.class_names import ClassNames
from rondel_detection.data.formats.files import image_size, relative_name
from rondel_detection.data.formats.format import Source
from rondel_detection.data.formats.json_file import first_keys, read_json, score_of
from rondel_detection.data.formats.label_file import files_of
from rondel_detection.data.formats.labelstudio_names import ImageNames, image_key
from rondel_detection.data.formats.labelstudio_regions import (
    Json,
    Region,
    Size,
    drawn_region,
    regions_of,
    size_of,
)
from rondel_detection.data.formats.labelstudio_writer import CONFIG, FLAGS, write
from rondel_detection.data.formats.xml_file import read_xml
from rondel_detection.data.labels import SourceId
from rondel_detection.data.table import Annotations, Status, TableBuilder

__all__ = ["read", "recognise", "write"]

_PARTS = {"annotations", "completions", "predictions"}
_MIN_PARTS = {"annotation_id", "annotator", "lead_time", "created_at", "updated_at"}
_MIN_KEYS = _MIN_PARTS | {"id", "agreement"}


def recognise(path: Path) -> str:
    """Say why a path is Label Studio's, or nothing."""
    if path.is_dir():
        found = next((file for file in sorted(path.glob("*.json")) if recognise(file)), None)
        return f"{found.name}: {recognise(found)}" if found else ""
    kind, keys = first_keys(path)
    if kind == "list" and (keys & _PARTS or {"data", "id"} <= keys):
        return "a JSON list of tasks with 'annotations'"
    if kind == "list" and "id" in keys and len(keys & _MIN_PARTS) >= 2:
        return "a JSON-MIN list with an 'annotation_id' each"
    one = kind == "object" and "data" in keys and keys & _PARTS and "images" not in keys
    return "a JSON object with the 'data' and 'annotations' of a task" if one else ""


def read(source: Source) -> Annotations:
    """Read a file of tasks, or all in a folder.

    Raises:
        DataError: There is no file of Label Studio, or one cannot be read.
    """
    folder, files = files_of(source.path, ".json", recognise, "Label Studio")
    reader = _Reader(source.images or folder)
    reader.classes.arrange(_listed_classes(folder / CONFIG))
    for file in files:
        content = read_json(file)
        tasks = [content] if isinstance(content, dict) else content
        if not isinstance(tasks, list):
            raise DataError("is no file of Label Studio: it is no list", where=f"{file}:1:1")
        name = relative_name(file, source.path)
        origin = reader.builder.add_file(name)
        for number, task in _joined(tasks):
            reader.add(task, origin, number, f"{name}: task {number}")
    return reader.classes.build(reader.builder)


def _listed_classes(path: Path) -> list[str]:
    """Return the labels of the first control of a labelling interface."""
    if not path.is_file():
        return []
    for control in read_xml(path).children:
        labels = [label.attributes for label in control.all("Label")]
        if labels:
            return [label.get("alias") or label.get("value", "") for label in labels]
    return []


def _joined(tasks: list[Any]) -> Iterable[tuple[int, object]]:
    """Yield tasks with their numbers; JSON-MIN has a record for each annotation of a task."""
    joined: dict[object, tuple[int, dict[str, Any]]] = {}
    for number, task in enumerate(tasks, 1):
        if not isinstance(task, dict) or "data" in task or task.keys() & _PARTS:
            joined[object()] = number, task
            continue
        full = _full(task)
        key = ("task", task["id"]) if isinstance(task.get("id"), int | str) else object()
        joined.setdefault(key, (number, {**full, "annotations": []}))[1]["annotations"].extend(
            full["annotations"]
        )
    return joined.values()


def _full(record: Json) -> dict[str, Any]:
    """Return a record of JSON-MIN as a task with one annotation."""
    data = {key: value for key, value in record.items() if key not in _MIN_KEYS}
    results: list[dict[str, Any]] = []
    for name, value in list(data.items()):
        regions = value if isinstance(value, list) else [value]
        if regions and all(isinstance(region, dict) for region in regions):
            del data[name]
            results += [{**region, "value": region, "from_name": name} for region in regions]
    annotation = {"id": record.get("annotation_id"), "result": results}
    annotation |= {key: record.get(key) for key in ("created_at", "updated_at")}
    return {"id": record.get("id"), "data": data, "annotations": [annotation]}


@dataclass(frozen=True)
class _Chosen:
    """The annotation that counts."""

    status: Status
    results: list[Any]


class _Reader:
    """Collects the tasks one after the other."""

    def __init__(self, root: Path) -> None:
        self.builder = TableBuilder(root, "labelstudio")
        self.losses = self.builder.losses
        self.classes = ClassNames()
        self.names = ImageNames(root, self.losses)

    def add(self, task: object, origin: int, line: int, place: str) -> None:
        data = dict(task["data"]) if isinstance(task, dict) and _is_map(task.get("data")) else {}
        key = image_key(data)
        if not isinstance(task, dict) or not key:
            self.losses.add("task without an image was skipped", place)
            return
        file = self.names.find(data.pop(key), place)
        chosen = self._choose(task, place)
        regions = list(regions_of(chosen.results))
        size = self._size(regions, data, file)
        said = {name: value for name, value in data.items() if name not in ("width", "height")}
        for region in regions:
            if region.shape is None:
                said |= region.answers
        row = self.builder.add_image(
            file,
            width=size[0],
            height=size[1],
            status=chosen.status,
            id=task["id"] if isinstance(task.get("id"), int | str) else "",
            origin=origin,
            line=line,
            attributes=said,
        )
        for region in regions:
            try:
                self._add_region(region, row, size, origin, f"{place}, result {region.number}")
            except DataError as error:
                self.losses.add(error.what, f"{place}, result {region.number}")

    def _choose(self, task: Json, place: str) -> _Chosen:
        found = task.get("annotations", task.get("completions"))
        annotations = [each for each in found if _is_map(each)] if isinstance(found, list) else []
        for other in ("predictions", "drafts"):
            if task.get(other):
                self.losses.add(f"{other} are no labels and were not read", place)
        live = [each for each in annotations if not _cancelled(each)]
        if len(live) > 1:
            self.losses.add(
                "annotation of a task that has several was not used", place, count=len(live) - 1
            )
        if not annotations:
            return _Chosen(Status.UNLABELLED, [])
        results = max(live or annotations, key=_rank).get("result")
        status = Status.LABELLED if live else Status.IGNORED
        return _Chosen(status, results if isinstance(results, list) else [])

    def _size(self, regions: list[Region], data: Json, file: str) -> Size:
        sizes = [size_of(result) for region in regions for result in region.results]
        sizes.append(
            size_of({"original_width": data.get("width"), "original_height": data.get("height")})
        )
        known = next((size for size in sizes if all(size)), None)
        return known or image_size(self.builder.root, file)

    def _add_region(self, region: Region, image: int, size: Size, origin: int, place: str) -> None:
        """Add a region.

        Raises:
            DataError: It has no box or no label; its text is the loss to list.
        """
        shape = region.shape
        if shape is None:
            if not region.answers:
                raise DataError("result without a shape was dropped")
            return  # about the image
        if shape.get("item_index"):
            raise DataError("region on a further page of a task was dropped")
        own = size_of(shape)
        found = drawn_region(shape, own if all(own) else size)
        index = self.classes.index(region.labels[0] if region.labels else "")
        if found.loss:
            self.losses.add(found.loss, place)
        if len(region.labels) > 1:
            self.losses.add("further label of a region was dropped", place)
        if shape.get("image_rotation"):
            self.losses.add("image was turned in the editor: look whether the box fits", place)
        flags = {flag for flag in FLAGS if isinstance(region.answers.get(flag), bool)}
        attributes = {key: value for key, value in region.answers.items() if key not in flags}
        if shape.get("meta"):
            attributes["meta"] = shape["meta"]
        self.builder.add_box(
            image,
            found.box,
            index,
            crowd=region.answers.get("crowd") is True,
            difficult=region.answers.get("difficult") is True,
            truncated=region.answers.get("truncated") is True,
            occluded=region.answers.get("occluded") is True,
            area=found.area,
            score=score_of(shape.get("score"), self.losses, place),
            id=_region_id(region.id),
            origin=origin,
            line=region.number,
            attributes=attributes,
            outline=found.outline,
        )


def _is_map(value: object) -> bool:
    return isinstance(value, dict)


def _cancelled(annotation: Json) -> bool:
    return bool(annotation.get("was_cancelled") or annotation.get("skipped"))


def _rank(annotation: Json) -> tuple[bool, str, int]:
    """Order annotations: ground truth first, then the time of the last change, then the id."""
    time = annotation.get("updated_at") or annotation.get("created_at") or ""
    number = annotation.get("id")
    return bool(annotation.get("ground_truth")), str(time), number if type(number) is int else -1


def _region_id(text: str) -> SourceId:
    """Return the id of a region; ids that were numbers before they were written are so again."""
    number = text.removeprefix("-").isdecimal() and len(text) < 19
    return int(text) if number and str(int(text)) == text else text
