"""Writes COCO JSON that pycocotools loads: one file, or one for each split in a folder."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rondel_detection.data.formats.files import image_size, safe_split, split_name
from rondel_detection.data.formats.ignored import without_ignored
from rondel_detection.data.formats.label_file import make_folder, write_bytes
from rondel_detection.data.labels import SourceId
from rondel_detection.data.loss_report import LossReport
from rondel_detection.data.table import Annotations, Integers, Outline, Status

KEPT_FIELDS = ("license", "flickr_url", "coco_url", "date_captured")
"""Fields of COCO's own images; the table holds them as attributes of the image."""


def write(annotations: Annotations, path: Path) -> LossReport:
    """Write COCO JSON and return what it cannot hold.

    Args:
        annotations: The table.
        path: A ``.json`` file for everything; or a folder, in which each split becomes
            ``annotations/instances_<split>.json``, and the unlabelled images of a split
            ``annotations/image_info_<split>.json``, as COCO lists its own.

    Raises:
        DataError: A split cannot be the name of a file.
        UsageError: A file cannot be written.
    """
    losses = LossReport()
    annotations = without_ignored(annotations, losses)
    for file, rows in _files(annotations, path, losses).items():
        content = _Writer(annotations, rows, losses).content(labelled="image_info" not in file.stem)
        make_folder(file.parent)
        # pure ASCII: pycocotools opens files in the encoding of the machine
        write_bytes(file, json.dumps(content).encode("ascii"))
    return losses


def _files(annotations: Annotations, path: Path, losses: LossReport) -> dict[Path, Integers]:
    """Return which images go to which file, and list what that loses."""
    images = annotations.images
    with_boxes = np.bincount(annotations.boxes.image, minlength=len(images)) > 0
    unlabelled = images.status == Status.UNLABELLED
    for row in np.flatnonzero(unlabelled & with_boxes).tolist():
        place = annotations.image_place(row)
        losses.add("unlabelled image with boxes became a labelled one", place)
    bare = unlabelled & ~with_boxes
    if path.suffix:
        for row in np.flatnonzero(images.split != "").tolist():
            losses.add("split of an image was not kept in one file", annotations.image_place(row))
        for row in np.flatnonzero(bare).tolist():
            place = annotations.image_place(row)
            losses.add("unlabelled image looks like one without objects", place)
        return {path: np.arange(len(images))}
    files: dict[Path, Integers] = {}
    for split in dict.fromkeys(images.split.tolist()) or [""]:
        name = safe_split(split) or "default"
        of_split = images.split == split
        if split_name(name) != split:
            told = f"split of an image is read back as {split_name(name)!r}"
            losses.add(told, repr(split), count=int(of_split.sum()))
        for kind, chosen in (("instances", of_split & ~bare), ("image_info", of_split & bare)):
            if chosen.any() or (kind == "instances" and not of_split.any()):
                files[path / "annotations" / f"{kind}_{name}.json"] = np.flatnonzero(chosen)
    return files


class _Writer:
    """Makes the content of one file.

    Args:
        annotations: The table.
        rows: The images of the file.
        losses: Where what COCO cannot hold is listed.
    """

    def __init__(self, annotations: Annotations, rows: Integers, losses: LossReport) -> None:
        self.annotations = annotations
        self.images = annotations.images
        self.boxes = annotations.boxes
        self.rows = rows.tolist()
        self.losses = losses
        self.image_ids = self._image_ids()
        self.class_ids = self._class_ids()

    def content(self, *, labelled: bool) -> dict[str, Any]:
        """Return the whole object; without annotations if nobody has labelled the images."""
        images = [self._image(row) for row in self.rows]
        content = {"info": {}, "licenses": [], "images": images, "categories": self._categories()}
        if not labelled:
            return content
        return {**content, "annotations": self._annotations()}

    def _image_ids(self) -> dict[int, int]:
        ids = [self.images.id[row] for row in self.rows]
        if _are_ids(ids):
            return dict(zip(self.rows, ids, strict=True))
        self._list_renumbered("image id", ids, self.rows)
        return {row: number for number, row in enumerate(self.rows, 1)}

    def _class_ids(self) -> list[int]:
        ids = self.annotations.labels.ids
        if _are_ids(ids):
            return [int(value) for value in ids]
        self.losses.add("class id became a number", repr(ids[0]), count=len(ids))
        return list(range(1, len(ids) + 1))

    def _list_renumbered(self, what: str, ids: Sequence[SourceId], rows: Sequence[int]) -> None:
        # ids that only count the rows were not given by anybody
        if ids and list(ids) != list(rows):
            self.losses.add(f"{what} is renumbered", repr(ids[0]), count=len(ids))

    def _categories(self) -> list[dict[str, Any]]:
        labels = self.annotations.labels
        return [
            {
                "id": self.class_ids[index],
                "name": name,
                "supercategory": labels.groups.get(index, ""),
            }
            for index, name in enumerate(labels.names)
        ]

    def _image(self, row: int) -> dict[str, Any]:
        images = self.images
        attributes = dict(images.attributes.get(row, {}))
        image: dict[str, Any] = {
            "id": self.image_ids[row],
            "file_name": images.file[row],
            "width": int(images.width[row]),
            "height": int(images.height[row]),
        }
        image |= {key: attributes.pop(key) for key in KEPT_FIELDS if key in attributes}
        return image | ({"attributes": attributes} if attributes else {})

    def _annotations(self) -> list[dict[str, Any]]:
        boxes = self.boxes
        rows = self._box_rows()
        xywh = np.concatenate([boxes.xyxy[:, :2], boxes.xyxy[:, 2:] - boxes.xyxy[:, :2]], axis=1)
        area = np.where(np.isnan(boxes.area), xywh[:, 2] * xywh[:, 3], boxes.area)
        return [
            {
                "id": number,
                "image_id": self.image_ids[int(boxes.image[row])],
                "category_id": self.class_ids[int(boxes.label[row])],
                "bbox": xywh[row].tolist(),
                "area": float(area[row]),
                "iscrowd": int(boxes.crowd[row]),
                "segmentation": self._segmentation(row),
                **self._rest(row),
            }
            for row, number in zip(rows, self._box_ids(rows), strict=True)
        ]

    def _box_rows(self) -> list[int]:
        chosen = np.isin(self.boxes.image, self.rows)
        finite = np.isfinite(self.boxes.xyxy).all(axis=1)
        for row in np.flatnonzero(chosen & ~finite).tolist():
            self.losses.add(
                "box that is not finite was not written", self.annotations.box_place(row)
            )
        rows: list[int] = np.flatnonzero(chosen & finite).tolist()
        return rows

    def _box_ids(self, rows: list[int]) -> list[int]:
        ids = [self.boxes.id[row] for row in rows]
        if not _are_ids(ids):
            self._list_renumbered("annotation id", ids, rows)
            return list(range(1, len(rows) + 1))
        if 0 in ids:
            self._list_renumbered("annotation id (pycocotools takes 0 for no match)", ids, rows)
            return [number + 1 for number in ids]
        return ids

    def _rest(self, row: int) -> dict[str, Any]:
        """Return the fields that only few boxes have; flags where CVAT and others put them."""
        boxes = self.boxes
        attributes = dict(boxes.attributes.get(row, {}))
        for name, flag in (("truncated", boxes.truncated[row]), ("occluded", boxes.occluded[row])):
            if name in attributes:
                self.losses.add(f"attribute {name!r} gives way to the flag of that name")
            if flag:
                attributes[name] = True
        rest: dict[str, Any] = {"ignore": 1} if boxes.difficult[row] else {}
        if not np.isnan(boxes.score[row]):
            rest["score"] = float(boxes.score[row])
        return rest | ({"attributes": attributes} if attributes else {})

    def _segmentation(self, row: int) -> list[list[float]] | Mapping[str, Any]:
        outline = self.boxes.outline.get(row, Outline())
        if outline.polygons:
            return [points.ravel().tolist() for points in outline.polygons]
        if not outline.counts:
            return []
        image = int(self.boxes.image[row])
        width, height = int(self.images.width[image]), int(self.images.height[image])
        if not width:
            width, height = image_size(self.annotations.root, self.images.file[image])
        if sum(outline.counts) != width * height:
            place = self.annotations.box_place(row)
            self.losses.add("outline that is a mask of another size is dropped", place)
            return []
        return {"counts": list(outline.counts), "size": [height, width]}


def _are_ids(ids: Sequence[SourceId]) -> bool:
    """Tell whether these are whole numbers, each once, as COCO's tools expect."""
    return all(type(value) is int for value in ids) and len(set(ids)) == len(ids)
