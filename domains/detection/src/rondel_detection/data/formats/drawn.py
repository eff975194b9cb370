"""What a person drew in a labelling tool: its enclosing box, its exact outline, its area.

Letters: P points, (H, W) the image, (h, w) a window of it. A shape that cannot become a box raises
DataError; its text is the loss to list.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rondel.errors import DataError
from rondel_detection.data.geometry import (
    Bitmap,
    Box,
    Floats,
    bitmap_bounds,
    ellipse_bounds,
    enclosing,
    polygon_area,
    window_counts,
)
from rondel_detection.data.images import MAX_PIXELS
from rondel_detection.data.table import Outline

FARTHEST = 1e15
"""Coordinates beyond are no pixels, and would not stay finite in a product."""


@dataclass(frozen=True)
class Drawn:
    """A shape.

    Args:
        box: The enclosing box.
        outline: The exact shape, where the table can hold it and it is no upright rectangle.
        area: Of the shape in pixels; NaN is that of the box.
        loss: What became of the shape, if it is no longer what was drawn.
    """

    box: Box
    outline: Outline | None = None
    area: float = math.nan
    loss: str = ""


def numbers(values: Sequence[Any], what: str = "shape") -> list[float]:
    """Return finite numbers; text that spells one counts.

    Raises:
        DataError: One of them is no finite number, or beyond `FARTHEST`.
    """
    try:
        found = [math.nan if isinstance(value, bool) else float(value) for value in values]
    except (TypeError, ValueError, OverflowError):
        found = [math.nan]
    if not all(abs(number) <= FARTHEST for number in found):  # NaN as well
        raise DataError(f"{what} without finite coordinates was dropped")
    return found


def points_of(values: Any, what: str = "shape", *, least: int = 1) -> Floats:
    """Return points, (P, 2), from a list of pairs.

    Raises:
        DataError: They are no pairs of finite numbers, or fewer than ``least``.
    """
    if not isinstance(values, list | tuple) or len(values) < least:
        raise DataError(f"{what} of fewer than {least} points was dropped")
    pairs = [numbers(pair if isinstance(pair, list | tuple) else (), what) for pair in values]
    if any(len(pair) != 2 for pair in pairs):
        raise DataError(f"{what} without finite coordinates was dropped")
    return np.array(pairs)


def rectangle(x1: float, y1: float, x2: float, y2: float) -> Drawn:
    """Return an upright rectangle, its corners in the order in which they were given."""
    return Drawn((x1, y1, x2, y2))


def turned_rectangle(corners: Floats) -> Drawn:
    """Return a rectangle with rotation by its corners, (4, 2)."""
    return Drawn(
        enclosing(corners),
        Outline((corners,)),
        polygon_area(corners),
        "rotated rectangle became its enclosing box, with its corners as outline",
    )


def polygon(points: Floats) -> Drawn:
    """Return a polygon, (P, 2)."""
    return Drawn(enclosing(points), Outline((points,)), polygon_area(points))


def ellipse(
    centre_x: float,
    centre_y: float,
    radius_x: float,
    radius_y: float,
    degrees: float = 0.0,
    *,
    what: str = "ellipse",
) -> Drawn:
    """Return an ellipse turned about its centre.

    Raises:
        DataError: A radius is below 0.
    """
    if radius_x < 0 or radius_y < 0:
        raise DataError(f"{what} with a negative radius was dropped")
    box = ellipse_bounds(centre_x, centre_y, radius_x, radius_y, degrees)
    area = math.pi * radius_x * radius_y
    return Drawn(box, area=area, loss=f"{what} became its enclosing box")


def mask(window: Bitmap, left: int, top: int, size: tuple[int, int]) -> Drawn:
    """Return a mask, (h, w), that stands at a place in an image of ``size``, width and height.

    An image of unknown size, (0, 0), or of too many pixels gives no outline.

    Raises:
        DataError: The mask has no pixel.
    """
    bounds = bitmap_bounds(window)
    if bounds is None:
        raise DataError("mask without a pixel was dropped")
    x1, y1, x2, y2 = bounds
    box = (x1 + left, y1 + top, x2 + left, y2 + top)
    area = float(window.sum())
    width, height = size
    if not 0 < width * height <= MAX_PIXELS:
        return Drawn(box, area=area, loss="mask in an image of unknown size became its box")
    counts, outside = window_counts(window, left, top, height, width)
    if outside:
        return Drawn(box, area=area, loss="mask that leaves the image became its box")
    return Drawn(box, Outline(counts=counts), area)


def points_only(points: Floats, what: str) -> Drawn:
    """Return the box around what is only points, (P, 2)."""
    return Drawn(enclosing(points), loss=f"{what} became its enclosing box")


def joined(parts: Sequence[Drawn]) -> Drawn:
    """Return one object of several parts; its outline is kept if all parts are polygons.

    Parts that overlap count twice in the area.
    """
    if len(parts) == 1:
        return parts[0]
    corners = [(x, y) for part in parts for x, y in (part.box[:2], part.box[2:])]
    box = enclosing(corners)
    if not all(_polygons_of(part) for part in parts):
        return Drawn(box, loss="object of several parts became one box without an outline")
    polygons = tuple(points for part in parts for points in _polygons_of(part))
    return Drawn(box, Outline(polygons), sum(map(polygon_area, polygons)))


def _polygons_of(part: Drawn) -> tuple[Floats, ...]:
    if part.outline is not None:
        return part.outline.polygons
    if part.loss:
        return ()
    x1, y1, x2, y2 = part.box  # an upright rectangle: nothing was lost of it
    return (np.array([[x1, y1], [x2, y1], [x2, y2], [x1, y2]]),)
