"""Writes YOLO txt: ``data.yaml``, a list of images for each split, and ``labels/``.

Images are not copied. The lists say ``./images/...``: with the folder of the images, or a link to
it, as ``images`` beside ``labels``, the set is complete for YOLO's own tools.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import yaml

from rondel.errors import DataError, UsageError
from rondel_detection.data.formats.files import (
    below,
    image_size,
    is_line,
    safe_split,
    split_name,
)
from rondel_detection.data.formats.ignored import without_ignored
from rondel_detection.data.formats.label_file import make_folder, write_bytes
from rondel_detection.data.formats.leftovers import (
    list_areas,
    list_classes,
    list_columns,
    writable_rows,
)
from rondel_detection.data.formats.voc_layout import without_suffix
from rondel_detection.data.formats.yolo_description import OTHER_KEYS
from rondel_detection.data.labels import LabelMap
from rondel_detection.data.loss_report import LossReport
from rondel_detection.data.table import Annotations, Status

FLAGS = ("crowd", "difficult", "truncated", "occluded")


def write(annotations: Annotations, path: Path) -> LossReport:
    """Write a YOLO set and return what it cannot hold.

    Args:
        annotations: The table.
        path: A folder: ``labels/`` gets the tree of the images, with a text file for each labelled
            image, empty if nothing is there.

    Raises:
        UsageError: The path has a suffix, or the folder cannot be made.
        DataError: The size of an image is not known, two images would share a label file, or a
            split cannot be the name of a file.
    """
    if path.suffix in (".txt", ".yaml", ".yml", ".json"):
        raise UsageError("YOLO is written to a folder, not to one file", where=str(path))
    losses = LossReport()
    labels = annotations.labels
    list_columns(
        annotations,
        losses,
        images=("id", "attributes"),
        boxes=("id", *FLAGS, "attributes", "outline"),
    )
    list_areas(annotations, losses, {})
    if labels.ids == tuple(range(len(labels))):
        labels = LabelMap(labels.names, groups=labels.groups)  # what is read back
    list_classes(replace(annotations, labels=labels), losses)
    _Writer(without_ignored(annotations, losses), path, losses).write()
    return losses


class _Writer:
    """Writes the files of a set."""

    def __init__(self, annotations: Annotations, path: Path, losses: LossReport) -> None:
        self.annotations = annotations
        self.images = annotations.images
        self.boxes = annotations.boxes
        self.path = path
        self.losses = losses

    def write(self) -> None:
        """Write everything."""
        self._check_label_files()
        folder = self.path / "labels"
        make_folder(folder)
        rows = writable_rows(self.annotations, self.losses, reserved=())
        lists: dict[str, list[str]] = {"train": [], "val": []} if any(self.images.split) else {}
        for image, name in enumerate(self.images.file.tolist()):
            target = below(folder, name, ".txt")
            if target is None or not is_line(name):
                place = self.annotations.image_place(image)
                self.losses.add("image whose name cannot be listed was left out", place)
                self.losses.add("box of an image that was left out", place, count=len(rows[image]))
                continue
            lists.setdefault(self._split(image), []).append(f"./images/{name}\n")
            if self._is_written(image, rows[image]):
                make_folder(target.parent)
                write_bytes(target, self._lines(image, rows[image]).encode("ascii"))
        for split, lines in lists.items():
            content = "".join(lines).encode("utf-8", "replace")
            write_bytes(self.path / f"{split}.txt", content)
        self._write_description(lists)

    def _check_label_files(self) -> None:
        stems = [without_suffix(name) if name else "" for name in self.images.file]
        shared = [stem for stem, uses in Counter(stems).items() if uses > 1]
        if shared:
            names = [
                name for stem, name in zip(stems, self.images.file, strict=True) if stem in shared
            ]
            raise DataError(
                f"the images {names[0]!r} and {names[1]!r} would share the file labels/{shared[0]}.txt",
                where=f"{self.annotations.root}",
                hint="YOLO knows images without their suffix: rename one of them.",
            )

    def _split(self, image: int) -> str:
        """Return the name of the list of an image; 'default' is that of no split."""
        split = safe_split(self.images.split[image])
        if split and (split_name(split) != split or split in OTHER_KEYS):
            place = self.annotations.image_place(image)
            self.losses.add("split of an image was not kept", place)
            return "default"
        return split or "default"

    def _is_written(self, image: int, rows: list[int]) -> bool:
        """Tell whether an image gets a label file, which says that somebody has looked at it."""
        if self.images.status[image] != Status.UNLABELLED:
            return True
        place = self.annotations.image_place(image)
        if rows:
            self.losses.add("unlabelled image with boxes became a labelled one", place)
        else:
            self.losses.add("unlabelled image is an empty one for YOLO's tools", place)
        return bool(rows)

    def _lines(self, image: int, rows: list[int]) -> str:
        if not rows:
            return ""
        width, height = self._size(image)
        boxes = self.boxes
        xyxy = boxes.xyxy[rows] / np.array([width, height, width, height], dtype=np.float64)
        centre, size = (xyxy[:, :2] + xyxy[:, 2:]) / 2, xyxy[:, 2:] - xyxy[:, :2]
        lines = []
        for row, numbers in zip(rows, np.hstack([centre, size]).tolist(), strict=True):
            score = float(boxes.score[row])
            columns = numbers if np.isnan(score) else [*numbers, score]
            lines.append(f"{boxes.label[row]} {' '.join(map(repr, columns))}\n")
        return "".join(lines)

    def _size(self, image: int) -> tuple[int, int]:
        """Return the size that the boxes of an image refer to."""
        given = int(self.images.width[image]), int(self.images.height[image])
        found = image_size(self.annotations.root, self.images.file[image])
        place = self.annotations.image_place(image)
        if not all(given) and not all(found):
            raise DataError(
                "the size of the image is not known, and YOLO's boxes are shares of it",
                where=place,
                hint="Name the folder of the images with images=FOLDER.",
            )
        if not all(found):
            self.losses.add("image is not there, without which its boxes cannot be placed", place)
        elif all(given) and given != found:
            self.losses.add(
                "size and box in pixels change where an image file has another size than its labels say",
                place,
            )
        return given if all(given) else found

    def _write_description(self, lists: dict[str, list[str]]) -> None:
        names = self.annotations.labels.names
        content = {split: f"{split}.txt" for split in lists}
        text = yaml.safe_dump(
            {**content, "nc": len(names), "names": dict(enumerate(names))},
            allow_unicode=True,
            sort_keys=False,
        )
        write_bytes(self.path / "data.yaml", text.encode("utf-8", "replace"))
