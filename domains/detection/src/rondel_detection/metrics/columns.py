"""The input of an evaluation as columns: what is there (G rows), and what was detected (D rows).

Images are rows 0..I-1, classes are indices 0..K-1. Boxes are x, y, width, height in the pixels that
areas are meant in: those of the original picture, not of a canvas it was scaled to.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self, TypeVar

import numpy as np
import numpy.typing as npt

from rondel.errors import DataError, UsageError
from rondel_detection.data.table import Flags, Floats, Integers


@dataclass(frozen=True, eq=False)
class GroundTruth:
    """The columns of the objects that are there; `of` fills in what is left out."""

    image: Integers  # (G,) row of the image
    xywh: Floats  # (G, 4)
    label: Integers  # (G,)
    crowd: Flags  # (G,) neither to be found nor a mistake to be found, any number of times
    area: Floats  # (G,) what decides whether an object is small or large

    @classmethod
    def of(
        cls,
        image: npt.ArrayLike,
        xywh: npt.ArrayLike,
        label: npt.ArrayLike,
        *,
        crowd: npt.ArrayLike | None = None,
        area: npt.ArrayLike | None = None,
    ) -> Self:
        """Make the columns; without ``crowd`` there is none, an ``area`` of NaN is the box's."""
        rows, boxes, labels = whole(image), corners(xywh), whole(label)
        of_box = boxes[:, 2] * boxes[:, 3]
        areas = of_box if area is None else np.asarray(area, dtype=np.float64)
        crowds = np.zeros(len(rows), bool) if crowd is None else np.asarray(crowd, dtype=bool)
        made = cls(rows, boxes, labels, crowds, np.where(np.isnan(areas), of_box, areas))
        check_lengths("ground truth", vars(made))
        return made

    def __len__(self) -> int:
        """Return the number of objects."""
        return len(self.image)

    def take(self, rows: Integers | Flags) -> GroundTruth:
        """Return the rows of all columns."""
        return GroundTruth(*(column[rows] for column in vars(self).values()))


@dataclass(frozen=True, eq=False)
class Detections:
    """The columns of what a detector found; within an image, earlier rows win ties of the score."""

    image: Integers  # (D,) row of the image
    xywh: Floats  # (D, 4)
    label: Integers  # (D,)
    score: Floats  # (D,)

    @classmethod
    def of(
        cls,
        image: npt.ArrayLike,
        xywh: npt.ArrayLike,
        label: npt.ArrayLike,
        score: npt.ArrayLike,
    ) -> Self:
        """Make the columns."""
        scores = np.asarray(score, dtype=np.float64)
        made = cls(whole(image), corners(xywh), whole(label), scores)
        check_lengths("detections", vars(made))
        return made

    def __len__(self) -> int:
        """Return the number of detections."""
        return len(self.image)

    def take(self, rows: Integers | Flags) -> Detections:
        """Return the rows of all columns."""
        return Detections(*(column[rows] for column in vars(self).values()))


Columns = TypeVar("Columns", GroundTruth, Detections)


def of_images(columns: Columns, chosen: Integers, *, images: int) -> Columns:
    """Return the rows of chosen images, which become the images 0, 1, 2 ... in that order.

    Args:
        columns: Objects or detections.
        chosen: (N,) rows of images, each once.
        images: Number of images so far.
    """
    kept, image = rows_of_images(columns.image, chosen, images=images)
    return replace(columns.take(kept), image=image)


def rows_of_images(image: Integers, chosen: Integers, *, images: int) -> tuple[Integers, Integers]:
    """Return the rows that belong to chosen images, and the new rows of their images."""
    place = np.full(images, -1)
    place[chosen] = np.arange(len(chosen))
    kept = np.flatnonzero(place[image] >= 0)
    return kept, place[image[kept]]


def scaled(columns: Columns, factor: npt.ArrayLike) -> Columns:
    """Return columns in other pixels: lengths times the factor (I,) of each image, or of all."""
    factors = np.asarray(factor, dtype=np.float64)
    times = factors[columns.image] if factors.ndim else np.full(len(columns), factors)
    moved = replace(columns, xywh=columns.xywh * times[:, None])
    if isinstance(moved, GroundTruth):
        return replace(moved, area=moved.area * times**2)
    return moved


def whole(values: npt.ArrayLike) -> Integers:
    """Return a column of whole numbers."""
    return np.asarray(values, dtype=np.int64).reshape(-1)


def corners(values: npt.ArrayLike) -> Floats:
    """Return a column of boxes, (N, 4) even if it is empty."""
    return np.ascontiguousarray(np.asarray(values, dtype=np.float64).reshape(-1, 4))


def xywh_of(xyxy: npt.ArrayLike) -> Floats:
    """Turn boxes from corners into corner and size; a float32 loses nothing by it."""
    boxes = corners(xyxy).copy()
    boxes[:, 2:] -= boxes[:, :2]
    return boxes


def check_lengths(what: str, columns: dict[str, Any]) -> None:
    """Raise unless all columns are of one length.

    Raises:
        UsageError: They are not.
    """
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        said = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise UsageError(f"the columns of the {what} differ in length: {said}")


def check_columns(truth: GroundTruth, found: Detections, *, images: int, classes: int) -> None:
    """Raise at the first row that cannot be evaluated.

    Raises:
        DataError: An image or class is out of range, or a number is not finite.
    """
    for what, columns in (("object", truth), ("detection", found)):
        for name, values, bound in (
            ("image", columns.image, images),
            ("class", columns.label, classes),
        ):
            wrong = (values < 0) | (values >= bound)
            if wrong.any():
                row = int(wrong.argmax())
                raise DataError(
                    f"{what} {row} is of {name} {values[row]}, but there are {bound}",
                    hint=f"Number them from 0 to {bound - 1}.",
                )
        check_finite(what, "box", columns.image, columns.xywh)
    check_finite("detection", "score", found.image, found.score)


def check_finite(what: str, kind: str, image: Integers, numbers: Floats) -> None:
    """Raise where a number is not finite, showing the first such row.

    Raises:
        DataError: A box or score is not finite.
    """
    if np.isfinite(numbers).all():
        return
    row = int(np.flatnonzero(~np.isfinite(numbers.reshape(len(image), -1)).all(axis=1))[0])
    raise DataError(
        f"{what} {row} (image {image[row]}) has the {kind} {numbers[row].tolist()!r}",
        hint="A detector that has diverged says such things.",
    )
