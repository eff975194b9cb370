"""What a format cannot hold of a table: found by its writer, listed column by column.

Letters: I images, N boxes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping

import numpy as np

from rondel.errors import DataError
from rondel_detection.data.formats.drawn import Drawn, joined, polygon
from rondel_detection.data.geometry import Box, enclosing, mask_bounds
from rondel_detection.data.loss_report import LossReport
from rondel_detection.data.table import Annotations, Outline, Status

CLOSE = 1e-3
"""Pixels by which a box may differ from the bounds of its outline without a word."""
NEAR = 0.5
"""Pixels by which it may differ and still be taken for the box of that outline."""

Rows = Callable[[Annotations], Iterable[int]]

_IMAGE_COLUMNS: dict[str, tuple[str, Rows]] = {
    "id": ("image id was not kept", lambda a: _numbered_otherwise(a.images.id)),
    "split": ("split of an image was not kept", lambda a: _filled(a.images.split)),
    "attributes": ("attributes of an image were not kept", lambda a: sorted(a.images.attributes)),
    "ignored": (
        "ignored image was not kept as such",
        lambda a: np.flatnonzero(a.images.status == Status.IGNORED).tolist(),
    ),
}
_BOX_COLUMNS: dict[str, tuple[str, Rows]] = {
    "id": ("annotation id was not kept", lambda a: _numbered_otherwise(a.boxes.id)),
    "crowd": ("flag 'crowd' was not kept", lambda a: np.flatnonzero(a.boxes.crowd).tolist()),
    "difficult": (
        "flag 'difficult' was not kept",
        lambda a: np.flatnonzero(a.boxes.difficult).tolist(),
    ),
    "truncated": (
        "flag 'truncated' was not kept",
        lambda a: np.flatnonzero(a.boxes.truncated).tolist(),
    ),
    "occluded": (
        "flag 'occluded' was not kept",
        lambda a: np.flatnonzero(a.boxes.occluded).tolist(),
    ),
    "score": (
        "score of an annotation was not kept",
        lambda a: np.flatnonzero(~np.isnan(a.boxes.score)).tolist(),
    ),
    "attributes": (
        "attributes of an annotation were not kept",
        lambda a: sorted(a.boxes.attributes),
    ),
    "outline": ("outline of an object was not kept", lambda a: sorted(a.boxes.outline)),
}


def list_columns(
    table: Annotations,
    report: LossReport,
    *,
    images: Collection[str] = (),
    boxes: Collection[str] = (),
) -> None:
    """List what stands in columns that a format does not hold.

    Args:
        table: What is written.
        report: Where it is listed.
        images: Columns of images that are not held: id, split, attributes, ignored.
        boxes: Columns of boxes that are not held: id, crowd, difficult, truncated, occluded, score,
            attributes, outline.
    """
    for column in images:
        kind, rows = _IMAGE_COLUMNS[column]
        for row in rows(table):
            report.add(kind, table.image_place(row))
    for column in boxes:
        kind, rows = _BOX_COLUMNS[column]
        for row in rows(table):
            report.add(kind, table.box_place(row))


def list_classes(table: Annotations, report: LossReport, *, groups: bool = True) -> None:
    """List ids of classes other than 1, 2, 3 ... and, unless kept, their supercategories."""
    for index, name in enumerate(table.labels.names):
        if table.labels.ids[index] != index + 1:
            report.add("id of a class was not kept", f"class {name!r}")
        if groups and index in table.labels.groups:
            report.add("supercategory of a class was not kept", f"class {name!r}")


def writable_rows(
    table: Annotations, report: LossReport, *, reserved: Collection[str] = ("",)
) -> list[list[int]]:
    """Return the rows of boxes that can be written, of each image.

    Boxes that are no numbers, and boxes of classes whose name means something else in the format,
    are listed and left out.
    """
    finite = np.isfinite(table.boxes.xyxy).all(axis=-1).reshape(-1)
    barred = {index for index, name in enumerate(table.labels.names) if name in reserved}
    rows = [found.tolist() for found in table.boxes_of()]
    for found in rows:
        for row in list(found):
            if not finite[row]:
                found.remove(row)
                report.add("box that is not finite was not written", table.box_place(row))
            elif int(table.boxes.label[row]) in barred:
                found.remove(row)
                name = table.labels.names[int(table.boxes.label[row])]
                report.add(
                    f"box of the class {name!r}, which means something else, was not written",
                    table.box_place(row),
                )
    return rows


def fitting_outline(table: Annotations, row: int, report: LossReport) -> Outline | None:
    """Return the outline of a box for formats that work the box out from it.

    An outline whose bounds are not the box is listed and left out: the box counts.
    """
    outline, bounds = sound_outline(table, row, report)
    if outline is None:
        return None
    off = float(np.abs(table.boxes.xyxy[row] - np.array(bounds)).max())
    if off > NEAR:
        report.add("outline that does not fit its box was left out", table.box_place(row))
        return None
    if off > CLOSE:
        report.add(
            "box moved to the bounds of its outline, by less than a pixel", table.box_place(row)
        )
    return outline


def sound_outline(
    table: Annotations, row: int, report: LossReport
) -> tuple[Outline | None, Box | None]:
    """Return the outline of a box with its bounds; one that is empty or damaged is listed."""
    outline = table.boxes.outline.get(row)
    if outline is None:
        return None, None
    image = int(table.boxes.image[row])
    bounds = _bounds(outline, (int(table.images.height[image]), int(table.images.width[image])))
    if bounds is None or not all(map(math.isfinite, bounds)):
        report.add("outline that cannot be written was left out", table.box_place(row))
        return None, None
    return outline, bounds


def outline_area(outline: Outline | None) -> float:
    """Return the area that a reader works out from a written outline; NaN without one."""
    if outline is None:
        return math.nan
    if outline.counts:
        return float(sum(outline.counts[1::2]))
    parts: list[Drawn] = [polygon(points) for points in outline.polygons]
    return joined(parts).area


def list_areas(table: Annotations, report: LossReport, written: Mapping[int, float]) -> None:
    """List areas that are not what a reader works out; ``written`` says what that is, by row."""
    for row, area in enumerate(table.boxes.area.tolist()):
        again = written.get(row, math.nan)
        x1, y1, x2, y2 = table.boxes.xyxy[row].tolist()
        of_box = (x2 - x1) * (y2 - y1)
        if math.isnan(area) and not math.isnan(again):
            report.add("area of an object was worked out from its outline", table.box_place(row))
        elif not math.isnan(area) and not math.isclose(
            area, of_box if math.isnan(again) else again, rel_tol=1e-6, abs_tol=1e-6
        ):
            report.add("area of an object was not kept", table.box_place(row))


def _bounds(outline: Outline, size: tuple[int, int]) -> Box | None:
    try:
        if outline.counts:
            return mask_bounds(outline.counts, *size)
        sound = all(len(points) > 2 for points in outline.polygons)
        return enclosing(np.concatenate(outline.polygons)) if sound and outline.polygons else None
    except DataError:
        return None


def _filled(column: Iterable[object]) -> list[int]:
    return [row for row, value in enumerate(column) if value != ""]


def _numbered_otherwise(ids: Iterable[object]) -> list[int]:
    """Return the rows whose id is more than their own number."""
    return [row for row, value in enumerate(ids) if value != row]
