"""Detections as text and as labels."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rondel.spreadsheet import guarded
from rondel_detection.data.labels import LabelMap
from rondel_detection.data.table import Annotations, TableBuilder
from rondel_detection.prediction import Detections


def to_lines(found: Sequence[Detections]) -> str:
    """Return JSON Lines, one row for each picture."""
    return "".join(json.dumps(one.to_json()) + "\n" for one in found)


def to_list(found: Sequence[Detections]) -> str:
    """Return the same rows as one JSON list."""
    return json.dumps([one.to_json() for one in found], indent=1) + "\n"


def to_csv(found: Sequence[Detections]) -> str:
    """Return a table with one row for each detection; pictures without any have none.

    Text that a spreadsheet would take for a formula gets an apostrophe in front.
    """
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["file", "width", "height", "x1", "y1", "x2", "y2", "score", "label", "id"])
    for one in found:
        row = one.to_json()
        for each in row["detections"]:
            values = [row["file"], row["width"], row["height"], *each["box"], each["score"]]
            table.writerow(guarded(value) for value in [*values, each["label"], each["id"]])
    return text.getvalue()


def to_coco_results(found: Sequence[Detections]) -> str:
    """Return a COCO results list, with the ids that the classes had in the label files.

    The id of an image is its name where every name is a whole number, as in COCO itself
    (``000000000139.jpg`` is 139), and otherwise its position from 1; ``file_name`` is there too.
    """
    rows = []
    for image, one in zip(image_ids([one.source for one in found]), found, strict=True):
        for each in one.to_json()["detections"]:
            x1, y1, x2, y2 = each["box"]
            box = [x1, y1, round(x2 - x1, 3), round(y2 - y1, 3)]
            row = {"image_id": image, "category_id": each["id"], "bbox": box}
            rows.append({**row, "score": each["score"], "file_name": one.source})
    return json.dumps(rows, indent=1) + "\n"


def image_ids(files: Sequence[str]) -> list[int]:
    """Return the COCO ids of images: numeric names, or positions from 1."""
    stems = [Path(file).stem for file in files]
    if all(stem.isascii() and stem.isdecimal() for stem in stems):
        numbers = [int(stem) for stem in stems]
        if len(set(numbers)) == len(numbers):
            return numbers
    return list(range(1, len(files) + 1))


@dataclass(frozen=True)
class Document:
    """A text of all detections."""

    suffix: str
    text: Callable[[Sequence[Detections]], str]


DOCUMENTS: dict[str, Document] = {
    "jsonl": Document(".jsonl", to_lines),
    "json": Document(".json", to_list),
    "csv": Document(".csv", to_csv),
    "coco-results": Document(".json", to_coco_results),
}
"""Formats of detections alone; beside them there are the label formats."""


def to_annotations(found: Sequence[Detections], labels: LabelMap) -> Annotations:
    """Return detections as labelled images, with scores, below the folder that holds them all."""
    paths = [Path(one.source).absolute() for one in found]
    root = Path(os.path.commonpath([path.parent for path in paths])) if paths else Path()
    builder = TableBuilder(root, format="predictions")
    for path, one in zip(paths, found, strict=True):
        name = path.relative_to(root).as_posix()
        row = builder.add_image(name, width=one.size[1], height=one.size[0])
        for box, score, label in zip(one.boxes, one.scores, one.labels, strict=True):
            x1, y1, x2, y2 = (round(float(side), 3) for side in box)
            builder.add_box(row, (x1, y1, x2, y2), int(label), score=round(float(score), 6))
    return builder.build(labels)
