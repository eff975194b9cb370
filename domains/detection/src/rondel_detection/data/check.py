"""Everything that can be wrong with a labelled set, found before it is trained on.

Letters: N boxes, P pairs.
"""

from __future__ import annotations

import difflib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from rondel_detection.data.defects import KINDS, Defect, box_defect, defect
from rondel_detection.data.duplicates import equal_rows, likeness
from rondel_detection.data.image_check import (
    count_of,
    file_defects,
    image_files,
    likeness_defects,
    some_names,
)
from rondel_detection.data.images import Header
from rondel_detection.data.misreading import misreadings
from rondel_detection.data.repair import box_defects, box_faults, sides
from rondel_detection.data.table import Annotations, Floats, Integers, Status

TINY = 2.0
"""Pixels; a box with a shorter side is suspicious."""
SAME_BOX = 0.95
"""Overlap (IoU) above which two boxes of a class are the same object."""
RARE = 3
"""Boxes of a class whose name may be misspelt, if another has ten times as many and more."""
ALIKE = 0.8
"""Likeness of two such names (Ratcliff and Obershelp, 1988)."""
_NEIGHBOURS = 200
NAMED = 10


def check(
    annotations: Annotations, *, files: bool = True, decode: bool | None = None
) -> list[Defect]:
    """Return all defects of a set, ordered as in `rondel_detection.data.defects.KINDS`.

    Args:
        annotations: Labels as they were read.
        files: Look at the image files too: their presence, their size and whether some are equal.
        decode: Decode all pictures, which finds damaged and almost identical ones; by default only
            if all files are small together.
    """
    found: list[Defect] = []
    if files:
        opened = image_files(annotations)
        found += file_defects(annotations, opened, decode=decode)
        annotations = with_sizes(annotations, opened.headers)
    else:
        unopened = [None] * len(annotations.images)
        alike = likeness(annotations, unopened, decode=False)
        found += likeness_defects(annotations, alike)
    for look in (box_checks, class_checks, status_checks):
        found += look(annotations)
    order = {kind: place for place, kind in enumerate(KINDS)}
    return sorted(found, key=lambda each: order[each.kind])


def with_sizes(annotations: Annotations, headers: list[Header | None]) -> Annotations:
    """Fill in the sizes that the labels do not say from those of the files."""
    images = annotations.images
    known = np.array([(h.width, h.height) if h else (0, 0) for h in headers], dtype=np.int64)
    known = known.reshape(-1, 2)
    unknown = (images.width <= 0) | (images.height <= 0)
    width = np.where(unknown, known[:, 0], images.width)
    height = np.where(unknown, known[:, 1], images.height)
    return replace(annotations, images=replace(images, width=width, height=height))


def box_checks(annotations: Annotations) -> Iterator[Defect]:
    """Look at the boxes: their corners, their size, their ids, and what they look like together."""
    boxes = annotations.boxes
    faults = box_faults(annotations)
    yield from misreadings(annotations)
    yield from box_defects(annotations, faults)
    sound = ~faults.hopeless
    shorter = sides(faults.repaired).min(axis=1, initial=np.inf)
    for row in np.flatnonzero(sound & (shorter < TINY)).tolist():
        width, height = sides(faults.repaired)[row]
        reason = f"box of {width:.3g} x {height:.3g} pixels"
        yield box_defect("tiny", reason, annotations, [row])
    rows = np.flatnonzero(sound)
    for first, second, overlap in same_boxes(annotations, rows, faults.repaired):
        label = annotations.labels.names[boxes.label[second]]
        reason = f"the same {label!r} as annotation {boxes.id[first]!r}: IoU {overlap:.3f}"
        yield box_defect("duplicate_box", reason, annotations, [first, second])
    ids = zip(boxes.origin.tolist(), boxes.id, strict=True)
    for group in equal_rows(enumerate(ids)):
        reason = f"the id {boxes.id[group[0]]!r} has {len(group)} annotations"
        yield box_defect("duplicate_id", reason, annotations, group)


def same_boxes(
    annotations: Annotations, rows: Integers, xyxy: Floats
) -> Iterator[tuple[int, int, float]]:
    """Yield (earlier row, later row, IoU) of boxes that mark the same object twice.

    Args:
        annotations: The set.
        rows: The boxes to compare, with each other, if they have image and class in common.
        xyxy: (N, 4) all boxes, sorted.

    A box is named once, however many it equals, and compared with at most 200 others whose left
    edges are nearest.
    """
    boxes = annotations.boxes
    rows = rows[np.lexsort((xyxy[rows, 0], boxes.label[rows], boxes.image[rows]))]
    image, label, corners = boxes.image[rows], boxes.label[rows], xyxy[rows]
    left, width = corners[:, 0], sides(corners)[:, 0]
    named: dict[int, tuple[int, float]] = {}
    first = np.arange(len(rows))
    for offset in range(1, _NEIGHBOURS + 1):
        first = first[first + offset < len(rows)]
        second = first + offset
        # left edges further apart than this share of the width leave less than the overlap, and
        # since the boxes are sorted by them, all boxes after such a one are further still
        alive = (image[first] == image[second]) & (label[first] == label[second])
        alive &= left[second] - left[first] <= (1 - SAME_BOX) * width[first]
        first, second = first[alive], second[alive]
        if not len(first):
            break
        overlap = overlaps(corners[first], corners[second])
        for one, other, iou in zip(rows[first], rows[second], overlap, strict=True):
            if iou > SAME_BOX:
                low, high = sorted((int(one), int(other)))
                named.setdefault(high, (low, float(iou)))
    yield from ((low, high, iou) for high, (low, iou) in sorted(named.items()))


def overlaps(one: Floats, other: Floats) -> Floats:
    """Return the intersection over union of P pairs of boxes with area, (P, 4) each, as (P,)."""
    lower, upper = np.maximum(one[:, :2], other[:, :2]), np.minimum(one[:, 2:], other[:, 2:])
    common = np.clip(upper - lower, 0.0, None).prod(axis=1)
    together = sides(one).prod(axis=1) + sides(other).prod(axis=1) - common
    return np.asarray(common / together)


def class_checks(annotations: Annotations) -> Iterator[Defect]:
    """Look at the classes: those that are never used, and those that may be the same."""
    labels, boxes, images = annotations.labels, annotations.boxes, annotations.images
    if len(images) and not len(boxes):
        yield defect("no_boxes", f"none of {len(images):,} images has a box")
    spelt: dict[str, list[str]] = defaultdict(list)
    for name in labels.names:
        spelt[" ".join(name.replace("_", " ").replace("-", " ").casefold().split())].append(name)
    for names in spelt.values():
        if len(names) > 1:
            told = ", ".join(map(repr, names))
            yield defect("similar_classes", f"{told} differ only in case, spaces or dashes")
    known = (boxes.label >= 0) & (boxes.label < len(labels))
    counts = np.bincount(boxes.label[known], minlength=len(labels))
    yield from _misspelt(labels.names, counts)
    unused = [labels.names[row] for row in np.flatnonzero(counts == 0)]
    if unused and len(boxes):
        named = ", ".join(map(repr, unused[:NAMED])) + (" ..." if len(unused) > NAMED else "")
        told = "class has" if len(unused) == 1 else "classes have"
        yield defect("unused_class", f"{len(unused)} of {len(labels)} {told} no box: {named}")
    yield from _untrained(annotations)


def _misspelt(names: Sequence[str], counts: Integers) -> Iterator[Defect]:
    """Name rare classes that are probably a slip of the keyboard for a frequent one."""
    for rare in np.flatnonzero((counts > 0) & (counts <= RARE)).tolist():
        frequent = [name for name, count in zip(names, counts, strict=True) if count > 10 * RARE]
        meant = difflib.get_close_matches(names[rare], frequent, n=1, cutoff=ALIKE)
        if meant and len(names[rare]) > 3:
            noun = "box" if counts[rare] == 1 else "boxes"
            yield defect(
                "misspelt_class",
                f"{names[rare]!r} has {counts[rare]} {noun}; did somebody mean {meant[0]!r}?",
            )


def _untrained(annotations: Annotations) -> Iterator[Defect]:
    boxes, labels = annotations.boxes, annotations.labels
    if "train" not in annotations.images.split:
        return
    of_box = annotations.images.split[boxes.image]
    usable = (of_box != "") & (boxes.label >= 0) & (boxes.label < len(labels))
    trained = set(boxes.label[usable & (of_box == "train")].tolist())
    for index in sorted(set(boxes.label[usable].tolist()) - trained):
        found = np.flatnonzero(usable & (boxes.label == index))
        where = " and ".join(sorted(set(of_box[found])))
        noun = "box" if len(found) == 1 else "boxes"
        reason = f"{labels.names[index]!r} has {len(found):,} {noun} in {where}, none in train"
        yield defect("untrained_class", reason, boxes=found.tolist())


def status_checks(annotations: Annotations) -> Iterator[Defect]:
    """Look at what is known about the images."""
    images, boxes = annotations.images, annotations.boxes
    counts = np.bincount(boxes.image, minlength=len(images))
    unlabelled = images.status == Status.UNLABELLED
    for row in np.flatnonzero(unlabelled & (counts > 0)).tolist():
        noun = "box" if counts[row] == 1 else "boxes"
        reason = f"marked as unlabelled, but has {counts[row]} {noun}"
        yield defect("boxes_unseen", reason, annotations.image_place(row), images=(row,))
    for kind, chosen, told in (
        ("unlabelled", unlabelled & (counts == 0), "unlabelled: nobody looked at"),
        ("ignored", images.status == Status.IGNORED, "rejected or skipped in the labelling tool:"),
        ("no_size", (images.width <= 0) | (images.height <= 0), "of unknown size:"),
    ):
        rows = np.flatnonzero(chosen).tolist()
        if rows:
            names = some_names(annotations, rows)
            yield defect(kind, f"{count_of(len(rows), 'image')} {told} {names}", images=rows)
