"""The regions of a Label Studio annotation: shapes, labels and answers that share one id.

Coordinates are percent of the original width and height. A rectangle turns clockwise about its
upper left corner, an ellipse about its centre, and both in pixels: percent of a picture that is no
square would bend them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rondel.errors import DataError
from rondel_detection.data.formats import drawn
from rondel_detection.data.formats.brush import brush_mask
from rondel_detection.data.formats.drawn import Drawn, numbers, points_of
from rondel_detection.data.geometry import rotate_about

Json = Mapping[str, Any]
Size = tuple[int, int]

_ANSWERS = ("choices", "text", "number", "rating", "taxonomy", "datetime")
"""Keys under which a value holds the answer to a question."""


@dataclass
class Region:
    """Results of one id.

    Args:
        id: Of the region; ``""`` if it has none.
        number: 1-based place of its first result.
        results: In their order.
        answers: Answers to questions about it, by the name of the question.
        labels: Its labels, in their order.
    """

    id: str
    number: int
    results: list[Json] = field(default_factory=list)
    answers: dict[str, Any] = field(default_factory=dict)
    labels: list[Any] = field(default_factory=list)

    @property
    def shape(self) -> Json | None:
        """The result that holds the shape, if any."""
        return next((result for result in self.results if _has_shape(value_of(result))), None)


def regions_of(results: Sequence[object]) -> Iterable[Region]:
    """Join results of one id; results without an id stand alone."""
    found: dict[object, Region] = {}
    for number, result in enumerate(results, 1):
        if not isinstance(result, dict):
            found[number] = Region("", number)  # has neither shape nor answer
            continue
        name = result.get("id")
        key = number if name in (None, "") else str(name)
        region = found.setdefault(key, Region("" if key == number else str(name), number))
        region.results.append(result)
        value = value_of(result)
        for key_of_value, part in value.items():
            if key_of_value.endswith("labels") and isinstance(part, list):
                region.labels += [label for label in part if label not in region.labels]
        answer = next((key for key in _ANSWERS if key in value), None)
        if answer is not None:
            region.answers[str(result.get("from_name", answer))] = _answer(value[answer])
    return found.values()


def value_of(result: Json) -> Json:
    """Return the value of a result, empty if there is none."""
    value = result.get("value")
    return value if isinstance(value, dict) else {}


def size_of(result: Json) -> Size:
    """Return the original width and height; 0 is not known."""
    width, height = result.get("original_width"), result.get("original_height")
    return _pixels(width), _pixels(height)


def drawn_region(result: Json, size: Size) -> Drawn:
    """Return what was drawn.

    Raises:
        DataError: It has no box; its text is the loss to list.
    """
    if not all(size):
        raise DataError("region in an image of unknown size was dropped")
    value = value_of(result)
    if "rle" in value:
        return drawn.mask(brush_mask(value["rle"], *size), 0, 0, size)
    if "radiusX" in value:
        return _ellipse(value, size)
    if "points" in value or "vertices" in value:
        return _polygon(value, size)
    if "height" in value:
        return _rectangle(value, size)
    if "x" in value:
        raise DataError("keypoint has no area and was dropped")
    raise DataError("region of an unknown kind was dropped")


def _rectangle(value: Json, size: Size) -> Drawn:
    percent = numbers([value.get(key) for key in ("x", "y", "width", "height")], "rectangle")
    x, y, width, height = (part / 100 * size[axis % 2] for axis, part in enumerate(percent))
    degrees = numbers([value.get("rotation") or 0], "rectangle")[0]
    if degrees % 360 == 0:
        return drawn.rectangle(x, y, x + width, y + height)
    corners = [[x, y], [x + width, y], [x + width, y + height], [x, y + height]]
    return drawn.turned_rectangle(rotate_about(corners, (x, y), degrees))


def _ellipse(value: Json, size: Size) -> Drawn:
    percent = numbers([value.get(key) for key in ("x", "y", "radiusX", "radiusY")], "ellipse")
    x, y, radius_x, radius_y = (part / 100 * size[axis % 2] for axis, part in enumerate(percent))
    degrees = numbers([value.get("rotation") or 0], "ellipse")[0]
    return drawn.ellipse(x, y, radius_x, radius_y, degrees)


def _polygon(value: Json, size: Size) -> Drawn:
    if value.get("closed") is False:
        raise DataError("open path without an area was dropped")
    if "points" not in value:
        raise DataError("path with curves was dropped")
    points = points_of(value["points"], "polygon", least=3)
    return drawn.polygon(points / 100 * np.array(size))


def _has_shape(value: Json) -> bool:
    return bool(value.keys() & {"x", "points", "vertices", "rle", "radiusX", "imageDataURL"})


def _answer(answer: Any) -> Any:
    """Return an answer: one of several possible as itself, yes and no as such."""
    if isinstance(answer, list) and len(answer) == 1:
        answer = answer[0]
    return answer == "true" if answer in ("true", "false") else answer


def _pixels(value: object) -> int:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return int(value) if number and 0 < value < 1 << 31 else 0  # type: ignore[operator, call-overload]
