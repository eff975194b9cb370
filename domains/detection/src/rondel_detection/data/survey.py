"""What is in a labelled set, in numbers: how many of what, how large, and where.

Letters: I images, N boxes with an area, K classes, S splits.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from rondel_detection.data.repair import border, box_faults, sides
from rondel_detection.data.table import Annotations, Flags, Floats, Integers, Status
from rondel_detection.wording import plural

SMALL_AREA, LARGE_AREA = 32.0**2, 96.0**2
"""Pixels; COCO's borders between small, medium and large objects."""
CELLS = 24
"""Of the heat map of centres, along each side."""
USUAL = ("", "train", "val", "valid", "validation", "test")
"""Splits in the order in which people name them."""


@dataclass(frozen=True)
class SplitCount:
    """How much there is in a split; the name of the whole set is 'all'."""

    name: str
    images: int
    with_boxes: int
    empty: int
    unlabelled: int
    ignored: int
    boxes: int


@dataclass(frozen=True)
class ClassCount:
    """How much there is of a class: its boxes, by split, and the images that show it."""

    name: str
    boxes: int
    of_splits: tuple[int, ...]
    images: int


@dataclass(frozen=True, eq=False)
class Survey:
    """The numbers of a set.

    Args:
        whole: All of it.
        splits: Each split, train before val before test; that without a name first. Empty if no image
            has any.
        classes: In the order of the label map.
        areas: (N,) pixels of each object.
        shares: (N,) square root of the share of the image that a box covers; NaN if not known.
        ratios: (N,) width of a box over its height.
        per_image: (I,) boxes of each image that somebody looked at.
        centres: (24, 24) boxes by where in their image they stand, rows from top to bottom.
        sizes: (width, height) of images and how many have it, most frequent first; 0 is not known.
    """

    whole: SplitCount
    splits: tuple[SplitCount, ...]
    classes: tuple[ClassCount, ...]
    areas: Floats
    shares: Floats
    ratios: Floats
    per_image: Integers
    centres: Integers
    sizes: tuple[tuple[tuple[int, int], int], ...]

    @property
    def by_size(self) -> dict[str, int]:
        """The boxes that are small, medium and large by COCO's borders."""
        small, large = self.areas < SMALL_AREA, self.areas > LARGE_AREA
        counts = int(small.sum()), int((~small & ~large).sum()), int(large.sum())
        return dict(zip(("small", "medium", "large"), counts, strict=True))


def survey(annotations: Annotations) -> Survey:
    """Count what is in a set; boxes are those that would be left after a repair."""
    faults = box_faults(annotations)
    sound = annotations.take_boxes(~faults.hopeless)
    xyxy = faults.repaired[~faults.hopeless]
    images, boxes = annotations.images, annotations.boxes
    counts = np.bincount(boxes.image, minlength=len(images))
    names = sorted(set(images.split), key=lambda name: (_place(name), name))
    wide, high = sides(xyxy).T
    own = sound.boxes.area
    limits = border(sound)
    return Survey(
        whole=_split_count("all", np.ones(len(images), dtype=bool), images.status, counts),
        splits=tuple(
            _split_count(name, images.split == name, images.status, counts)
            for name in (names if names != [""] else [])
        ),
        classes=_class_counts(annotations, names),
        areas=np.where(np.isfinite(own), own, wide * high),
        shares=np.sqrt(wide * high / np.where(np.isfinite(limits), limits, np.nan).prod(axis=1)),
        ratios=wide / high,
        per_image=counts[(images.status == Status.LABELLED) | (counts > 0)],
        centres=_centres(xyxy, limits),
        sizes=tuple(
            Counter(zip(images.width.tolist(), images.height.tolist(), strict=True)).most_common()
        ),
    )


def _place(name: str) -> int:
    """Sort splits as people name them, unknown ones last."""
    return USUAL.index(name) if name in USUAL else len(USUAL)


def _split_count(name: str, chosen: Flags, status: Integers, counts: Integers) -> SplitCount:
    labelled = chosen & (status == Status.LABELLED)
    return SplitCount(
        name=name,
        images=int(chosen.sum()),
        with_boxes=int((labelled & (counts > 0)).sum()),
        empty=int((labelled & (counts == 0)).sum()),
        unlabelled=int((chosen & (status == Status.UNLABELLED)).sum()),
        ignored=int((chosen & (status == Status.IGNORED)).sum()),
        boxes=int(counts[chosen].sum()),
    )


def _class_counts(annotations: Annotations, splits: list[str]) -> tuple[ClassCount, ...]:
    boxes, classes = annotations.boxes, len(annotations.labels)
    known = (boxes.label >= 0) & (boxes.label < classes)
    image, label = boxes.image[known], boxes.label[known]
    of_box = annotations.images.split[image]
    table = [np.bincount(label[of_box == name], minlength=classes) for name in splits]
    pairs = np.unique(np.stack([image, label], axis=1), axis=0)
    seen = np.bincount(pairs[:, 1], minlength=classes)
    counts = np.stack(table, axis=1) if table else np.zeros((classes, 0), dtype=np.int64)
    return tuple(
        ClassCount(name, int(row.sum()), tuple(row.tolist()), int(images))
        for name, row, images in zip(annotations.labels.names, counts, seen, strict=True)
    )


def _centres(xyxy: Floats, limits: Floats) -> Integers:
    known = np.isfinite(limits).all(axis=1)
    places = (xyxy[known, :2] + xyxy[known, 2:]) / 2 / limits[known]
    cells = np.clip((places * CELLS).astype(np.int64), 0, CELLS - 1)
    flat = np.bincount(cells[:, 1] * CELLS + cells[:, 0], minlength=CELLS * CELLS)
    return flat.reshape(CELLS, CELLS).astype(np.int64)


def summary(annotations: Annotations, title: str) -> list[str]:
    """Describe a set in two or three lines."""
    counts = survey(annotations)
    whole = counts.whole
    parts = [
        f"{number:,} {told}"
        for number, told in (
            (whole.with_boxes, "with boxes"),
            (whole.empty, "empty"),
            (whole.unlabelled, "unlabelled"),
            (whole.ignored, "ignored"),
        )
        if number
    ]
    boxes, classes = plural(whole.boxes, "box", "boxes"), len(counts.classes)
    images = plural(whole.images, "image")
    lines = [f"{title}: {images}, {boxes}, {plural(classes, 'class', 'classes')}"]
    if whole.images:
        lines.append(f"  images: {', '.join(parts)}")
    if counts.splits:
        named = ((each.name or "none", each.images) for each in counts.splits)
        lines.append(f"  splits: {', '.join(f'{name} {images:,}' for name, images in named)}")
    return lines
