"""What differs between two tables, such as before and after a conversion; and what explains it.

Letters: N and M are boxes of one image before and after.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rondel_detection.data.labels import LabelMap, SourceId
from rondel_detection.data.loss_report import LossReport
from rondel_detection.data.table import Annotations, Floats, Integers, Outline, Status

TOLERANCE = 1e-3
"""Pixels by which a coordinate may differ."""
FLAGS = ("crowd", "difficult", "truncated", "occluded")


@dataclass(frozen=True)
class Difference:
    """One thing that is not the same.

    Args:
        place: The image, box or class, as the table before describes it.
        before: The value before; None if there was nothing.
        after: The value after; None if there is nothing.
    """

    place: str
    before: Any
    after: Any

    def __str__(self) -> str:
        """Say it in one line."""
        return f"{self.place}: {self.before!r} became {self.after!r}"


Differences = dict[str, list[Difference]]
"""Differences by kind, a key of `KINDS`; kinds without any are missing, so that none is empty."""


@dataclass(frozen=True)
class Kind:
    """A kind of difference.

    Args:
        explained_by: What a line of a loss report says that explains it, as a regular expression.
        is_counted: Whether there must be a loss for each difference; classes are listed together.
    """

    explained_by: str
    is_counted: bool = True


_GONE = r"left out|skipped|dropped|not written"
KINDS: Mapping[str, Kind] = {
    "missing image": Kind(rf"image.*({_GONE})"),
    "added image": Kind(r"image.*added"),
    "image size": Kind(r"\bsize\b"),
    "status": Kind(r"(unlabelled|ignored) image|is not labelled yet"),
    "split": Kind(r"\bsplit\b"),
    "image id": Kind(r"\bimage id\b"),
    "image attributes": Kind(r"(attributes?|field\b.*) of an? (unlabelled )?image"),
    "missing box": Kind(rf"box.*({_GONE}|became a prediction)"),
    "added box": Kind(r"box of each class"),
    "coordinates": Kind(r"box moved|corners of a box|box in pixels"),
    "class": Kind(r"name of a class"),
    "crowd": Kind(r"\bcrowd\b"),
    "difficult": Kind(r"\bdifficult\b"),
    "truncated": Kind(r"\btruncated\b"),
    "occluded": Kind(r"\boccluded\b"),
    "area": Kind(r"\barea of an object\b"),
    "score": Kind(r"\bscore of an annotation\b"),
    "box id": Kind(r"\bannotation id\b"),
    "box attributes": Kind(r"\battributes? (of an annotation|became|'|without)|group_id"),
    "outline": Kind(r"\boutline\b"),
    "missing class": Kind(r"those without a box|name of a class", is_counted=False),
    "added class": Kind(r"name of a class|became a crowd box", is_counted=False),
    "class id": Kind(r"\b(id of a class|class id)\b", is_counted=False),
    "class order": Kind(r"order of the classes|name of a class", is_counted=False),
    "class group": Kind(r"\bsupercategory\b", is_counted=False),
}
"""All kinds of differences. A box or image counts as missing or added only; its columns are not
compared then."""


def differences(
    before: Annotations, after: Annotations, *, tolerance: float = TOLERANCE
) -> Differences:
    """Compare two tables by image file, and within an image by boxes, whatever their order.

    Not compared are: where things were read from; ids that only count the rows or the classes,
    since nobody gave them; an area that says no more than the box; unlabelled images without boxes
    that only the second table has, since they say nothing.

    Args:
        before: The table that should have been kept.
        after: What became of it.
        tolerance: Pixels by which coordinates may differ.

    Returns:
        The differences by kind, see `KINDS`.
    """
    found: defaultdict[str, list[Difference]] = defaultdict(list)
    for kind, difference in _differences(before, after, tolerance):
        found[kind].append(difference)
    return {kind: found[kind] for kind in KINDS if kind in found}


def unexplained(found: Differences, reports: Iterable[LossReport]) -> Differences:
    """Return the differences that no loss report of the readers and writers on the way lists."""
    left: Differences = {}
    losses = [item for report in reports for item in report.losses.items()]
    for kind, listed in found.items():
        said = KINDS[kind]
        count = sum(loss.count for text, loss in losses if re.search(said.explained_by, text))
        if count < (len(listed) if said.is_counted else 1):
            left[kind] = listed
    return left


Found = Iterator[tuple[str, Difference]]


def _differences(before: Annotations, after: Annotations, tolerance: float) -> Found:
    yield from _of_classes(before.labels, after.labels)
    first, second = before.boxes_of(), after.boxes_of()
    pairs: list[tuple[Integers, Integers]] = []
    rows = _by_file(after)
    for image, file in enumerate(before.images.file):
        queue = rows.get(file)
        if not queue:
            yield "missing image", Difference(before.image_place(image), file, None)
            continue
        other = queue.pop(0)
        yield from _of_images(before, after, image, other)
        matched = _matched(_Rows(before, first[image]), _Rows(after, second[other]), tolerance)
        pairs.append(matched)
        yield from _unmatched(before, after, first[image], second[other], matched)
    for file, queue in rows.items():
        for other in queue:
            if len(second[other]) or after.images.status[other] != Status.UNLABELLED:
                yield "added image", Difference(after.image_place(other), None, file)
    nothing = np.zeros(0, dtype=np.int64)
    ours = np.concatenate([nothing, *(pair[0] for pair in pairs)])
    theirs = np.concatenate([nothing, *(pair[1] for pair in pairs)])
    yield from _of_boxes(before, after, ours, theirs, tolerance)


def _by_file(table: Annotations) -> dict[str, list[int]]:
    rows: dict[str, list[int]] = {}
    for row, file in enumerate(table.images.file):
        rows.setdefault(file, []).append(row)
    return rows


def _of_classes(before: LabelMap, after: LabelMap) -> Found:
    common = [name for name in before.names if name in after.names]
    for name in before.names:
        if name not in common:
            yield "missing class", Difference(f"class {name!r}", name, None)
    for name in after.names:
        if name not in common:
            yield "added class", Difference(f"class {name!r}", None, name)
    order = [name for name in after.names if name in common]
    if order != common:
        yield "class order", Difference("classes", common, order)
    for name in common:
        ours, theirs = before.names.index(name), after.names.index(name)
        ids = before.ids[ours], after.ids[theirs]
        if ids[0] != ids[1] and not _only_counts(before.ids):
            yield "class id", Difference(f"class {name!r}", *ids)
        groups = before.groups.get(ours, ""), after.groups.get(theirs, "")
        if groups[0] != groups[1]:
            yield "class group", Difference(f"class {name!r}", *groups)


def _only_counts(ids: Sequence[SourceId]) -> bool:
    """Tell whether ids of classes are 0, 1, 2 ... or 1, 2, 3 ..., as formats without ids get."""
    return any(list(ids) == list(range(start, start + len(ids))) for start in (0, 1))


def _of_images(before: Annotations, after: Annotations, image: int, other: int) -> Found:
    ours, theirs = before.images, after.images
    values = {
        "image size": (
            (int(ours.width[image]), int(ours.height[image])),
            (int(theirs.width[other]), int(theirs.height[other])),
        ),
        "status": (Status(ours.status[image]).name, Status(theirs.status[other]).name),
        "split": (ours.split[image], theirs.split[other]),
        "image attributes": (ours.attributes.get(image, {}), theirs.attributes.get(other, {})),
    }
    if not all(values["image size"][0]):
        del values["image size"]  # nothing was known that could be lost
    if ours.id[image] != image:
        values["image id"] = (ours.id[image], theirs.id[other])
    if values["status"][0] != values["status"][1] and ours.status[image] == Status.IGNORED:
        values = {"status": values["status"]}  # it was left out, and found among the files again
    for kind, (value, again) in values.items():
        if value != again:
            yield kind, Difference(before.image_place(image), value, again)


class _Rows:
    """The boxes of one image, with what tells two at the same place from each other.

    Args:
        table: The table.
        rows: (N,) the boxes.
    """

    def __init__(self, table: Annotations, rows: Integers) -> None:
        boxes = table.boxes
        self.rows = rows
        self.xyxy: Floats = boxes.xyxy[rows]
        self.marks: list[tuple[Hashable, ...]] = [
            (
                table.labels.names[boxes.label[row]],
                *(bool(getattr(boxes, flag)[row]) for flag in FLAGS),
                repr(round(float(boxes.score[row]), 6)),
                repr(boxes.attributes.get(row)),
                _mark(boxes.outline.get(row)),
            )
            for row in rows.tolist()
        ]
        # an id that only counts the rows would pair boxes by chance
        self.ids: list[Hashable] = [
            None if boxes.id[row] == row else repr(boxes.id[row]) for row in rows.tolist()
        ]

    def are_distinct(self) -> bool:
        """Tell whether no two boxes are alike."""
        places = map(tuple, self.xyxy.round(2).tolist())
        return len(set(zip(self.marks, places, strict=True))) == len(self.rows)


def _mark(outline: Outline | None) -> Hashable:
    """Return what tells outlines apart that are not within a hundredth of a pixel."""
    if outline is None:
        return None
    return outline.counts, *(np.round(points, 2).tobytes() for points in outline.polygons)


def _matched(ours: _Rows, theirs: _Rows, tolerance: float) -> tuple[Integers, Integers]:
    """Pair the boxes of an image, nearest first; at equal distance those that are most alike."""
    if not len(ours.rows) or not len(theirs.rows):
        return ours.rows[:0], theirs.rows[:0]
    in_order = ours.marks == theirs.marks and ours.are_distinct()
    if in_order and np.abs(ours.xyxy - theirs.xyxy).max() <= tolerance:
        return ours.rows, theirs.rows
    distance = np.abs(ours.xyxy[:, None] - theirs.xyxy[None]).max(axis=2)  # (N, M)
    first, second = _numbered(ours, theirs)
    unlike = (first[:, None] != second[None]).sum(axis=2)  # (N, M)
    order = np.lexsort((unlike.ravel(), np.where(distance <= tolerance, 0, distance).ravel()))
    free_ours, free_theirs = set(range(len(ours.rows))), set(range(len(theirs.rows)))
    pairs: list[tuple[int, int]] = []
    for place in order.tolist():
        one, two = divmod(place, len(theirs.rows))
        if one in free_ours and two in free_theirs:
            free_ours.remove(one)
            free_theirs.remove(two)
            pairs.append((one, two))
    pairs.sort()
    chosen = np.array(pairs, dtype=np.int64)
    return ours.rows[chosen[:, 0]], theirs.rows[chosen[:, 1]]


def _numbered(ours: _Rows, theirs: _Rows) -> tuple[Integers, Integers]:
    """Return the marks and ids of boxes as numbers, equal ones by equal numbers, (N, C), (M, C)."""
    codes: dict[Hashable, int] = {}
    tables = [
        [
            [codes.setdefault(value, len(codes)) for value in (*marks, identity)]
            for marks, identity in zip(side.marks, side.ids, strict=True)
        ]
        for side in (ours, theirs)
    ]
    first, second = (np.array(table, dtype=np.int64) for table in tables)
    return first, second


def _differ(one: object, two: object) -> bool:
    return one != two


def _unmatched(
    before: Annotations,
    after: Annotations,
    ours: Integers,
    theirs: Integers,
    matched: tuple[Integers, Integers],
) -> Found:
    for row in np.setdiff1d(ours, matched[0]).tolist():
        xyxy = before.boxes.xyxy[row].tolist()
        yield "missing box", Difference(before.box_place(row), xyxy, None)
    for row in np.setdiff1d(theirs, matched[1]).tolist():
        yield "added box", Difference(after.box_place(row), None, after.boxes.xyxy[row].tolist())


def _of_boxes(
    before: Annotations, after: Annotations, ours: Integers, theirs: Integers, tolerance: float
) -> Found:
    """Compare the columns of matched boxes."""
    first, second = before.boxes, after.boxes
    columns: dict[str, tuple[Sequence[Any], Sequence[Any], Iterable[bool]]] = {}
    off = np.abs(first.xyxy[ours] - second.xyxy[theirs]).max(axis=1, initial=0) > tolerance
    columns["coordinates"] = first.xyxy[ours].tolist(), second.xyxy[theirs].tolist(), off
    names = [before.labels.names[label] for label in first.label[ours]]
    others = [after.labels.names[label] for label in second.label[theirs]]
    columns["class"] = names, others, map(_differ, names, others)
    for flag in FLAGS:
        one, two = getattr(first, flag)[ours], getattr(second, flag)[theirs]
        columns[flag] = one.tolist(), two.tolist(), one != two
    columns["area"] = _areas(before, after, ours, theirs, tolerance)
    one, two = first.score[ours], second.score[theirs]
    columns["score"] = one.tolist(), two.tolist(), ~np.isclose(one, two, equal_nan=True)
    ids, others = first.id[ours].tolist(), second.id[theirs].tolist()
    given = (row != value for row, value in zip(ours.tolist(), ids, strict=True))
    columns["box id"] = (
        ids,
        others,
        (a and b for a, b in zip(given, map(_differ, ids, others), strict=True)),
    )
    values = [first.attributes.get(row, {}) for row in ours.tolist()]
    others = [second.attributes.get(row, {}) for row in theirs.tolist()]
    columns["box attributes"] = values, others, map(_differ, values, others)
    shapes = [first.outline.get(row, Outline()) for row in ours.tolist()]
    others = [second.outline.get(row, Outline()) for row in theirs.tolist()]
    unlike = (not _same_outline(a, b, tolerance) for a, b in zip(shapes, others, strict=True))
    columns["outline"] = shapes, others, unlike
    for kind, (one_by_one, again, is_other) in columns.items():
        for place, differs in enumerate(is_other):
            if differs:
                where = before.box_place(int(ours[place]))
                yield kind, Difference(where, one_by_one[place], again[place])


def _areas(
    before: Annotations, after: Annotations, ours: Integers, theirs: Integers, tolerance: float
) -> tuple[Sequence[float], Sequence[float], Iterable[bool]]:
    """Compare areas; a box that moves by the tolerance may change its own by a strip."""
    one, strip = _area(before, ours)
    two, _ = _area(after, theirs)
    differs = ~np.isclose(one, two, rtol=1e-6, atol=0) & (np.abs(one - two) > strip * tolerance)
    differs &= ~(np.isnan(before.boxes.area[ours]) & np.isnan(after.boxes.area[theirs]))
    return one.tolist(), two.tolist(), differs


def _area(table: Annotations, rows: Integers) -> tuple[Floats, Floats]:
    """Return the areas of objects, and half of the circumference of their boxes, (N,) each."""
    x1, y1, x2, y2 = table.boxes.xyxy[rows].T
    width, height = x2 - x1, y2 - y1
    area = table.boxes.area[rows]
    return np.where(np.isnan(area), width * height, area), np.abs(width) + np.abs(height)


def _same_outline(one: Outline, two: Outline, tolerance: float) -> bool:
    if one.counts != two.counts or len(one.polygons) != len(two.polygons):
        return False
    pairs = zip(one.polygons, two.polygons, strict=True)
    return all(a.shape == b.shape and np.abs(a - b).max(initial=0) <= tolerance for a, b in pairs)
