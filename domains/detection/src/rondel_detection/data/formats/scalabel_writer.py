"""Writes Scalabel JSON: all frames, and a config with the classes in their order."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as coco

from rondel_detection.data.formats.ignored import without_ignored
from rondel_detection.data.formats.json_file import write_json
from rondel_detection.data.formats.label_file import target_of
from rondel_detection.data.formats.leftovers import (
    list_areas,
    list_classes,
    list_columns,
    outline_area,
    sound_outline,
    writable_rows,
)
from rondel_detection.data.loss_report import LossReport
from rondel_detection.data.table import Annotations, Outline, Status

FLAGS = ("crowd", "difficult", "truncated", "occluded")
"""Flags of the table; Scalabel keeps them among the attributes, by these names."""
FRAME_KEYS = ("url", "videoName", "timestamp", "frameIndex", "index", "intrinsics", "extrinsics")
"""What Scalabel says of a frame beside its attributes."""


def write(annotations: Annotations, path: Path) -> LossReport:
    """Write one JSON file, ``scalabel.json`` in a folder.

    Raises:
        UsageError: It cannot be written.
    """
    report = LossReport()
    table = without_ignored(annotations, report)
    list_columns(table, report, images=("split",))
    list_classes(table, report, groups=False)
    writer = _Writer(table, report)
    frames = [writer.frame(image) for image in range(len(table.images))]
    list_areas(table, report, writer.areas)
    config = {"imageSize": None, "attributes": None, "categories": _categories(table)}
    content = {"frames": frames, "groups": None, "config": config}
    write_json(target_of(path, "scalabel.json"), content)
    return report


class _Writer:
    """Makes the frames.

    Args:
        table: What is written.
        report: What is lost.
    """

    def __init__(self, table: Annotations, report: LossReport) -> None:
        self.table = table
        self.report = report
        self.rows = writable_rows(table, report)
        self.areas: dict[int, float] = {}

    def frame(self, image: int) -> dict[str, Any]:
        """Return a frame with its labels; null if nobody looked at it."""
        images = self.table.images
        unlabelled = images.status[image] == Status.UNLABELLED
        if unlabelled and self.rows[image]:
            place = self.table.image_place(image)
            self.report.add("unlabelled image with boxes became a labelled one", place)
            unlabelled = False
        attributes = dict(images.attributes.get(image, {}))
        own = [key for key in FRAME_KEYS if attributes.get(key, "") not in (None, "")]
        size = {"width": int(images.width[image]), "height": int(images.height[image])}
        return {
            "name": images.file[image],
            **({"id": images.id[image]} if images.id[image] != image else {}),
            **{key: attributes.pop(key) for key in own},
            "size": size if all(size.values()) else None,
            "attributes": attributes or None,
            "labels": None if unlabelled else [self._label(row) for row in self.rows[image]],
        }

    def _label(self, row: int) -> dict[str, Any]:
        boxes = self.table.boxes
        x1, y1, x2, y2 = boxes.xyxy[row].tolist()
        score = float(boxes.score[row])
        return {
            "id": boxes.id[row],
            "category": self.table.labels.names[boxes.label[row]],
            "attributes": self._attributes(row),
            **({} if math.isnan(score) else {"score": score}),
            "box2d": {"x1": x1, "y1": y1, "x2": x2, "y2": y2},
            **self._outline(row),
        }

    def _attributes(self, row: int) -> dict[str, Any]:
        boxes = self.table.boxes
        flags = {flag: True for flag in FLAGS if getattr(boxes, flag)[row]}
        found: dict[str, Any] = {}
        for key, value in boxes.attributes.get(row, {}).items():
            if key in flags or (str(key).lower() in FLAGS and isinstance(value, bool)):
                self.report.add(
                    f"attribute {key!r} gives way to the flag of that name",
                    self.table.box_place(row),
                )
            else:
                found[str(key)] = value
        return found | flags

    def _outline(self, row: int) -> dict[str, Any]:
        outline, _ = sound_outline(self.table, row, self.report)
        if outline is None:
            return {}
        self.areas[row] = outline_area(outline)
        if outline.counts:
            return {"rle": self._run_length(row, outline)}
        return {
            "poly2d": [
                {"vertices": points.tolist(), "types": "L" * len(points), "closed": True}
                for points in outline.polygons
            ]
        }

    def _run_length(self, row: int, outline: Outline) -> dict[str, Any]:
        image = self.table.boxes.image[row]
        size = [int(self.table.images.height[image]), int(self.table.images.width[image])]
        packed = coco.frPyObjects({"counts": list(outline.counts), "size": size}, *size)
        return {"counts": packed["counts"].decode("ascii"), "size": size}


def _categories(table: Annotations) -> list[dict[str, Any]]:
    """Return the classes in their order, neighbours of one supercategory below it."""
    groups = [table.labels.groups.get(index, "") for index in range(len(table.labels))]
    found: list[dict[str, Any]] = []
    for group, run in itertools.groupby(np.arange(len(groups)).tolist(), groups.__getitem__):
        leaves = [{"name": table.labels.names[index]} for index in run]
        found += [{"name": group, "subcategories": leaves}] if group else leaves
    return found
