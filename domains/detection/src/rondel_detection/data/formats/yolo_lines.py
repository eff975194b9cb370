"""Lines of YOLO label files: boxes, polygons, poses, detections, and DOTA's corners.

Letters: P points.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from rondel.errors import DataError
from rondel_detection.data.geometry import Box, enclosing, polygon_area
from rondel_detection.data.table import Floats, Outline

DOTA_HEADERS = ("imagesource:", "gsd:")
DOTA_COLUMNS = (9, 10)


@dataclass(frozen=True)
class Shape:
    """What a line describes.

    Args:
        label: The number of the class, or its name in DOTA's files.
        xyxy: The box.
        points: The corners, (P, 2), of all but plain boxes.
        in_pixels: Whether these are pixels instead of shares of the image.
        score: Of a model's detection; NaN for what a person drew.
        difficult: DOTA's mark.
        loss: What became of the line, if it is more than a box.
    """

    label: int | str
    xyxy: Box
    points: Floats | None = None
    in_pixels: bool = False
    score: float = math.nan
    difficult: bool = False
    loss: str = ""

    def scaled(self, width: int, height: int) -> tuple[Box, Outline | None, float]:
        """Return box, outline and area (NaN: that of the box) in an image of a size, in pixels."""
        scale = np.array([1.0, 1.0] if self.in_pixels else [float(width), float(height)])
        if self.points is None:
            x1, y1, x2, y2 = self.xyxy
            return (x1 * width, y1 * height, x2 * width, y2 * height), None, math.nan
        points = self.points * scale
        return enclosing(points), Outline((points,)), polygon_area(points)


def parse_line(text: str, pose_columns: int = 0) -> Shape | None:
    """Read a line; None if it holds nothing.

    Args:
        text: The line.
        pose_columns: Columns of a line with keypoints; 0 if there are none.

    Raises:
        DataError: It cannot become a box; the text is the loss to list.
    """
    tokens = text.split()
    if not tokens or text.lower().startswith(DOTA_HEADERS):
        return None
    if len(tokens) in DOTA_COLUMNS and not _is_number(tokens[8]):
        return _dota(tokens)
    label, *numbers = _numbers(tokens)
    if label < 0 or not label.is_integer():
        raise DataError("line with a class that is no whole number was dropped")
    if len(tokens) == pose_columns:
        loss = "keypoints of an object are not kept"
        return Shape(int(label), _corners(numbers[:4]), loss=loss)
    if len(tokens) in (5, 6):
        score = numbers[4] if len(tokens) == 6 else math.nan
        return Shape(int(label), _corners(numbers[:4]), score=score)
    if len(tokens) >= 7 and len(tokens) % 2:
        return _polygon(int(label), numbers)
    raise DataError(f"line of {len(tokens)} columns was dropped")


def _numbers(tokens: list[str]) -> list[float]:
    if not all(map(_is_number, tokens)):
        raise DataError("line with something else than numbers was dropped")
    return [float(token) for token in tokens]


def _polygon(label: int, numbers: list[float]) -> Shape:
    points = np.array(numbers).reshape(-1, 2)
    # four points are a polygon or the corners of a rotated box: the box around them is the same
    what = "four corners" if len(points) == 4 else "polygon"
    loss = f"{what} became the enclosing box, with an outline"
    return Shape(label, enclosing(points), points, loss=loss)


def _dota(tokens: list[str]) -> Shape:
    points = np.array(_numbers(tokens[:8])).reshape(4, 2)
    return Shape(
        tokens[8],
        enclosing(points),
        points,
        in_pixels=True,
        difficult=tokens[9:] not in ([], ["0"]),
        loss="four corners became the enclosing box, with an outline",
    )


def _corners(numbers: list[float]) -> Box:
    centre_x, centre_y, width, height = numbers
    return (
        centre_x - width / 2,
        centre_y - height / 2,
        centre_x + width / 2,
        centre_y + height / 2,
    )


def _is_number(token: str) -> bool:
    try:
        return math.isfinite(float(token))
    except ValueError:
        return False
