"""The canvas: the one size into which all pictures of a set are scaled.

Sizes are always (height, width), in pixels.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional

from rondel.errors import DataError

Integers = npt.NDArray[np.int64]

LARGEST = 640
"""Longest side that is chosen without being asked for."""
TYPICAL = 90
"""Percentile of the longest sides that stands for the set: a few huge pictures do not count."""
FITTING = 95
"""Percentile of the scaled sides that the canvas holds: a few odd shapes are scaled down to it."""
ENLARGED = 2.0
"""How much more than a typical picture the smallest ones may be enlarged."""


@dataclass(frozen=True)
class Canvas:
    """How large a picture becomes, and on what it stands (in the upper left corner).

    Args:
        height: A multiple of the stride.
        width: Likewise.
        longest: Longest side of a scaled picture.
        enlarge: Largest factor by which a picture is scaled, so that icons among photos do not
            become photos.
        stride: Sides of the canvas are multiples of it.
    """

    height: int
    width: int
    longest: int
    enlarge: float
    stride: int

    @classmethod
    def fit(cls, sizes: Integers, *, stride: int, image_size: int | None = None) -> Canvas:
        """Choose the canvas of a set.

        The longest side is ``image_size``, or else that of a typical picture (the 90th percentile,
        to the nearest multiple of the stride, at most 640). Shape follows the data: photos of 4:3
        get a canvas of 4:3, a set of mixed orientation a square. One picture in twenty may be of
        another shape: it is scaled down until it fits, rather than enlarging all canvases.
        A picture is not enlarged more than twice, or twice as much as a typical one if that has to
        be enlarged to reach ``image_size``.

        Args:
            sizes: (I, 2) height and width; zeros are not known.
            stride: Of the detector.
            image_size: Longest side of a scaled picture.

        Raises:
            DataError: Not a single size is known.
        """
        known = sizes[(sizes > 0).all(1)]
        if not len(known):
            raise DataError(
                "the size of no image is known",
                hint="Look at the images: their headers cannot be read.",
            )
        longest = known.max(1)
        typical = float(np.percentile(longest, TYPICAL))
        target = image_size or min(LARGEST, max(stride, round(typical / stride) * stride))
        enlarge = ENLARGED * max(1.0, target / typical)
        scaled = known * np.minimum(target / longest, enlarge)[:, None]
        needed = np.percentile(np.round(scaled), FITTING, axis=0, method="higher")
        height, width = (max(1, math.ceil(side / stride)) * stride for side in needed.tolist())
        return cls(height, width, target, enlarge, stride)

    def scaled(self, height: int, width: int) -> tuple[int, int]:
        """Return height and width that a picture gets on the canvas."""
        made = self.scaled_sizes(np.array([[height, width]], dtype=np.int64))[0]
        return int(made[0]), int(made[1])

    def scaled_sizes(self, sizes: Integers) -> Integers:
        """Return the sizes that pictures get on the canvas, (I, 2); what is not known stays 0."""
        known = np.maximum(sizes, 1)
        room = np.array([self.height, self.width])
        factor = np.minimum((room / known).min(1), self.longest / known.max(1))
        factor = np.minimum(factor, self.enlarge)
        made = np.clip(np.round(known * factor[:, None]), 1, room).astype(np.int64)
        return np.where((sizes > 0).all(1, keepdims=True), made, 0)

    def scale(self, picture: Tensor, full: tuple[int, int] | None = None) -> Tensor:
        """Scale a picture to the size it gets on the canvas, antialiased.

        Args:
            picture: (3, H, W) uint8.
            full: Its size, if the decoder has reduced it.

        Returns:
            (3, h, w) uint8; the picture itself if it has that size already.
        """
        size = self.scaled(*(full or (picture.shape[-2], picture.shape[-1])))
        return resize(picture, size)

    def stack(self, pictures: Sequence[Tensor]) -> Tensor:
        """Put scaled pictures, each (3, h, w) uint8, on canvases, (B, 3, H, W) with zeros around.

        Raises:
            ValueError: A picture is larger than the canvas.
        """
        batch = torch.zeros(len(pictures), 3, self.height, self.width, dtype=torch.uint8)
        for place, picture in zip(batch, pictures, strict=True):
            height, width = picture.shape[-2:]
            if height > self.height or width > self.width:
                raise ValueError(
                    f"a picture of {width} x {height} pixels is larger than the canvas of "
                    f"{self.width} x {self.height}"
                )
            place[:, :height, :width] = picture
        return batch

    def to_json(self) -> dict[str, Any]:
        """Describe the canvas as plain values; `from_json` reads it."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Canvas:
        """Read what `to_json` wrote."""
        return cls(**{field.name: content[field.name] for field in dataclasses.fields(cls)})


def resize(picture: Tensor, size: tuple[int, int]) -> Tensor:
    """Scale a picture, (3, H, W) uint8, by bilinear interpolation with antialiasing."""
    if tuple(picture.shape[-2:]) == size:
        return picture
    made: Tensor = functional.resize(picture, list(size), antialias=True)
    return made


def restore(boxes: Tensor, scaled: Tensor, full: Tensor) -> Tensor:
    """Bring boxes on the canvas back to pixels of the pictures as they were, and clip them.

    Args:
        boxes: (N, 4) pixels of the canvas.
        scaled: (N, 2) or (2,) height and width of the pictures on the canvas.
        full: The same of the pictures as they were.

    Returns:
        (N, 4) float64.
    """
    full = full.to(torch.float64)
    factor = (full / scaled.to(torch.float64)).flip(-1)  # x before y, as in boxes
    made = boxes.to(torch.float64) * torch.cat([factor, factor], -1)
    return torch.minimum(made.clamp(min=0), torch.cat([full.flip(-1)] * 2, -1))
