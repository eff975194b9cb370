"""The shapes of CVAT's XML files as boxes and outlines."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from rondel.errors import DataError
from rondel_detection.data.formats import drawn
from rondel_detection.data.formats.drawn import Drawn, numbers, points_of
from rondel_detection.data.formats.xml_file import Element
from rondel_detection.data.geometry import rotated_rectangle
from rondel_detection.data.images import MAX_PIXELS

Size = tuple[int, int]
"""Width and height of an image; 0 is not known."""

_CORNERS = ("tl1", "bl1", "br1", "tr1", "tl2", "bl2", "br2", "tr2")


def drawn_shape(element: Element, size: Size) -> Drawn:
    """Return what was drawn.

    Raises:
        DataError: It has no box; its text is the loss to list.
    """
    make = _KINDS.get(element.tag)
    if make is None:
        raise DataError(f"shape of the unknown kind <{element.tag}> was dropped")
    return make(element, size)


def _values(element: Element, *names: str) -> list[float]:
    return numbers([element.attributes.get(name) for name in names], element.tag)


def _degrees(element: Element) -> float:
    return numbers([element.attributes.get("rotation", "0")], element.tag)[0]


def _points(element: Element, least: int = 1) -> list[list[str]]:
    pairs = [pair for pair in element.attributes.get("points", "").split(";") if pair.strip()]
    if len(pairs) < least:
        raise DataError(f"{element.tag} of fewer than {least} points was dropped")
    return [pair.split(",") for pair in pairs]


def _box(element: Element, size: Size) -> Drawn:  # noqa: ARG001 - as in the table
    x1, y1, x2, y2 = _values(element, "xtl", "ytl", "xbr", "ybr")
    degrees = _degrees(element)
    if degrees % 360 == 0:
        return drawn.rectangle(x1, y1, x2, y2)
    centre = (x1 + x2) / 2, (y1 + y2) / 2
    return drawn.turned_rectangle(rotated_rectangle(*centre, x2 - x1, y2 - y1, degrees))


def _polygon(element: Element, size: Size) -> Drawn:  # noqa: ARG001
    return drawn.polygon(points_of(_points(element, 3), "polygon"))


def _ellipse(element: Element, size: Size) -> Drawn:  # noqa: ARG001
    x, y, radius_x, radius_y = _values(element, "cx", "cy", "rx", "ry")
    return drawn.ellipse(x, y, radius_x, radius_y, _degrees(element))


def _mask(element: Element, size: Size) -> Drawn:
    """Read run lengths along the rows of a window, those of the background first."""
    left, top, width, height = map(int, _values(element, "left", "top", "width", "height"))
    runs = numbers(element.attributes.get("rle", "").split(","), "mask")
    fits = min(width, height, *runs) >= 0 and sum(runs) == width * height <= MAX_PIXELS
    if not fits:
        raise DataError("mask whose run lengths do not fill it was dropped")
    values = np.arange(len(runs)) % 2 == 1
    window = np.repeat(values, np.array(runs, dtype=np.int64)).reshape(height, width)
    return drawn.mask(window, left, top, size)


def _cuboid(element: Element, size: Size) -> Drawn:  # noqa: ARG001
    x = _values(element, *(f"x{corner}" for corner in _CORNERS))
    y = _values(element, *(f"y{corner}" for corner in _CORNERS))
    return drawn.points_only(np.stack([x, y], axis=1), "cuboid")


def _skeleton(element: Element, size: Size) -> Drawn:  # noqa: ARG001
    joints = [
        pair
        for joint in element.children
        if joint.tag != "attribute" and joint.attributes.get("outside") != "1"
        for pair in _points(joint)
    ]
    if not joints:
        raise DataError("skeleton without a visible point was dropped")
    return drawn.points_only(points_of(joints, "skeleton"), "skeleton")


def _nothing(element: Element, size: Size) -> Drawn:  # noqa: ARG001
    raise DataError(f"{element.tag} without an area was dropped")


_KINDS: dict[str, Callable[[Element, Size], Drawn]] = {
    "box": _box,
    "polygon": _polygon,
    "ellipse": _ellipse,
    "mask": _mask,
    "cuboid": _cuboid,
    "skeleton": _skeleton,
    "polyline": _nothing,
    "points": _nothing,
}
