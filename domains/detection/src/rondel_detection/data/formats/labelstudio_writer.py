"""Writes Label Studio JSON: tasks to import, and the labelling interface that shows them.

What a person drew becomes an annotation, what a model found a prediction with its score, to be
corrected in the tool. Flags and attributes become answers to questions about each region.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rondel_detection.data.formats.files import image_size
from rondel_detection.data.formats.json_file import write_json
from rondel_detection.data.formats.label_file import target_of, write_bytes
from rondel_detection.data.formats.leftovers import (
    fitting_outline,
    list_areas,
    list_classes,
    list_columns,
    outline_area,
    writable_rows,
)
from rondel_detection.data.formats.xml_file import escaped, is_writable
from rondel_detection.data.loss_report import LossReport
from rondel_detection.data.table import Annotations, Status

CONFIG = "label_config.xml"
"""The labelling interface, written beside the tasks."""
FLAGS = ("crowd", "difficult", "truncated", "occluded")
"""Flags of the table; each is a question with the answer 'true'."""
TAKEN = ("image", "width", "height", "label", "polygon")
"""Names that have a meaning of their own in tasks and results that are written here."""
MOST_CHOICES = 20
"""Different texts of an attribute that are offered for choice; more are free text."""

Json = dict[str, Any]


def write(annotations: Annotations, path: Path) -> LossReport:
    """Write the tasks, ``tasks.json`` in a folder, and the labelling interface beside them.

    Raises:
        UsageError: They cannot be written.
    """
    report = LossReport()
    list_columns(annotations, report, images=("split",))
    list_classes(annotations, report)
    writer = _Writer(annotations, report)
    tasks = [writer.task(image) for image in range(len(annotations.images))]
    list_areas(annotations, report, writer.areas)
    target = target_of(path, "tasks.json")
    write_json(target, tasks)
    write_bytes(target.with_name(CONFIG), ("\n".join(writer.interface()) + "\n").encode())
    return report


class _Writer:
    """Makes the tasks.

    Args:
        table: What is written.
        report: What is lost.
    """

    def __init__(self, table: Annotations, report: LossReport) -> None:
        self.table = table
        self.report = report
        self.rows = writable_rows(table, report)
        self.areas: dict[int, float] = {}
        self.choices = self._choices()
        self.questions: dict[str, str] = {}  # type by name

    def task(self, image: int) -> Json:
        """Return a task with its annotation, its prediction, or both."""
        images = self.table.images
        size = int(images.width[image]), int(images.height[image])
        if not all(size):
            found = image_size(self.table.root, images.file[image])
            size = found if all(found) else size
        results, found_by_model = self._results(image, size)
        annotations = self._annotations(image, results, predicted=bool(found_by_model))
        data: Json = {"image": images.file[image]}
        data |= {"width": size[0], "height": size[1]} if all(size) else {}
        for key, value in images.attributes.get(image, {}).items():
            if key in TAKEN:
                place = self.table.image_place(image)
                self.report.add(f"attribute {key!r} of an image was not kept", place)
            else:
                data[key] = value
        return {
            "id": images.id[image],
            "data": data,
            "annotations": annotations,
            "predictions": [_prediction(found_by_model)] if found_by_model else [],
        }

    def _annotations(self, image: int, results: list[Json], *, predicted: bool) -> list[Json]:
        status = self.table.images.status[image]
        place = self.table.image_place(image)
        if status == Status.IGNORED:
            return [{"result": results, "was_cancelled": True, "ground_truth": False}]
        if status == Status.UNLABELLED and results:
            self.report.add("unlabelled image with boxes became a labelled one", place)
        elif status == Status.LABELLED and predicted and not results:
            self.report.add("image with nothing but predictions is not labelled yet", place)
            return []
        elif status == Status.UNLABELLED:
            return []
        return [{"result": results, "was_cancelled": False, "ground_truth": False}]

    def _results(self, image: int, size: tuple[int, int]) -> tuple[list[Json], list[Json]]:
        """Return the results of people, and those of a model."""
        people: list[Json] = []
        model: list[Json] = []
        taken: set[str] = set()
        for row in self.rows[image]:
            place = self.table.box_place(row)
            if not all(size):
                self.report.add("box in an image of unknown size was not written", place)
                continue
            results = self._region(row, size, self._id(row, taken))
            if math.isnan(self.table.boxes.score[row]):
                people += results
            else:
                self.report.add("box with a score became a prediction, which is no label", place)
                model += results
        return people, model

    def _id(self, row: int, taken: set[str]) -> str:
        """Return the id of a region, once in its image."""
        given = self.table.boxes.id[row]
        text = str(given)
        if isinstance(given, str) and text.lstrip("-").isdecimal():
            self.report.add("annotation id became a number", self.table.box_place(row))
        if not text or text in taken:
            self.report.add("annotation id was not kept", self.table.box_place(row))
            number = next(n for n in range(1, len(taken) + 3) if f"{text}_{n}" not in taken)
            text = f"{text}_{number}"
        taken.add(text)
        return text

    def _region(self, row: int, size: tuple[int, int], name: str) -> list[Json]:
        """Return the shape of a box and the answers about it."""
        boxes = self.table.boxes
        kind, value = self._value(row, size)
        value |= {kind: [self.table.labels.names[boxes.label[row]]]}
        shape = _result(name, kind, _CONTROLS[kind], value, size)
        attributes = dict(boxes.attributes.get(row, {}))
        if isinstance(attributes.get("meta"), dict) and attributes["meta"]:
            shape["meta"] = attributes.pop("meta")
        if not math.isnan(boxes.score[row]):
            shape["score"] = float(boxes.score[row])
        results = [shape]
        for flag in FLAGS:
            if isinstance(attributes.get(flag), bool):
                del attributes[flag]
                self._lose(f"attribute {flag!r} gives way to the flag of that name", row)
            if getattr(boxes, flag)[row]:
                if attributes.pop(flag, None) is not None:
                    self._lose(f"attribute {flag!r} gives way to the flag of that name", row)
                results.append(self._answer(name, flag, True, size))
        for key, given in attributes.items():
            if key in TAKEN or not _can_be_answer(given):
                self._lose(f"attribute {key!r} of an annotation was not kept", row)
            else:
                results.append(self._answer(name, str(key), given, size))
        return results

    def _lose(self, kind: str, row: int) -> None:
        self.report.add(kind, self.table.box_place(row))

    def _value(self, row: int, size: tuple[int, int]) -> tuple[str, Json]:
        """Return the kind of a region and its place in percent."""
        boxes = self.table.boxes
        outline = boxes.outline.get(row)
        if outline is not None and (outline.counts or len(outline.polygons) > 1):
            self._lose("outline that is no single polygon was not kept", row)
        else:
            outline = fitting_outline(self.table, row, self.report)
            if outline is not None:
                self.areas[row] = outline_area(outline)
                return "polygonlabels", {
                    "points": [
                        [x / size[0] * 100, y / size[1] * 100]
                        for x, y in outline.polygons[0].tolist()
                    ],
                    "closed": True,
                }
        x1, y1, x2, y2 = boxes.xyxy[row].tolist()
        return "rectanglelabels", {
            "x": x1 / size[0] * 100,
            "y": y1 / size[1] * 100,
            "width": (x2 - x1) / size[0] * 100,
            "height": (y2 - y1) / size[1] * 100,
            "rotation": 0,
        }

    def _answer(self, name: str, question: str, given: Any, size: tuple[int, int]) -> Json:
        value: Json
        if isinstance(given, bool):
            kind, value = "choices", {"choices": [str(given).lower()]}
        elif isinstance(given, int | float):
            kind, value = "number", {"number": given}
        elif isinstance(given, list) or len(self.choices.get(question, ())) <= MOST_CHOICES:
            kind, value = "choices", {"choices": given if isinstance(given, list) else [given]}
        else:
            kind, value = "textarea", {"text": [given]}
        self.questions.setdefault(question, kind)
        return _result(name, kind, question, value, size)

    def _choices(self) -> dict[str, dict[str, None]]:
        """Return the different texts of each attribute, in the order in which they are met."""
        found: dict[str, dict[str, None]] = {}
        for attributes in self.table.boxes.attributes.values():
            for key, value in attributes.items():
                texts = [value] if isinstance(value, str) else value
                if isinstance(texts, list):
                    found.setdefault(str(key), {}).update(
                        (text, None) for text in texts if isinstance(text, str)
                    )
        return found

    def interface(self) -> Iterator[str]:
        """Yield the lines of the labelling interface."""
        names = self.table.labels.names
        if not all(map(is_writable, names)):
            self.report.add("character that XML cannot hold was replaced", CONFIG)
        yield '<View>\n  <Image name="image" value="$image"/>'
        for control, name in (("RectangleLabels", "label"), ("PolygonLabels", "polygon")):
            yield f'  <{control} name="{name}" toName="image">'
            yield from (f'    <Label value="{escaped(label)}"/>' for label in names if label)
            yield f"  </{control}>"
        for question, kind in self.questions.items():
            said = f'name="{escaped(question)}" toName="image" perRegion="true"'
            if kind != "choices":
                yield f"  <{'Number' if kind == 'number' else 'TextArea'} {said}/>"
                continue
            yield f'  <Choices choice="multiple" {said}>'
            for choice in self.choices.get(question, {}) or ("true", "false"):
                yield f'    <Choice value="{escaped(choice)}"/>'
            yield "  </Choices>"
        yield "</View>"


_CONTROLS = {"rectanglelabels": "label", "polygonlabels": "polygon"}


def _result(name: str, kind: str, control: str, value: Json, size: tuple[int, int]) -> Json:
    return {
        "id": name,
        "type": kind,
        "from_name": control,
        "to_name": "image",
        "original_width": size[0],
        "original_height": size[1],
        "image_rotation": 0,
        "value": value,
    }


def _prediction(results: list[Json]) -> Json:
    scores = [result["score"] for result in results if "score" in result]
    return {"model_version": "rondel", "score": sum(scores) / len(scores), "result": results}


def _can_be_answer(value: object) -> bool:
    """Tell whether an attribute comes back from an answer as it was."""
    if isinstance(value, list):
        return len(value) > 1 and all(isinstance(text, str) for text in value)
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, bool | int) or (
        isinstance(value, str) and value not in ("", "true", "false")
    )
