"""Several pictures in one: mosaic and mixup. Partners are drawn from the same data set.

A partner that cannot be read is replaced by the sample itself: its own turn in the pass reports it
by the policy for bad samples, and one bad file does not take good samples with it.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from rondel.sample import READING
from rondel_detection.data.canvas import Canvas
from rondel_detection.data.framing import placed, random_window, scaled
from rondel_detection.data.sample import Sample, sides

CENTRE = (0.3, 0.7)
"""Where on the canvas the four pictures of a mosaic meet, as a share of each side."""
SMALLEST = 0.5
"""Factor on the size of a picture in a mosaic; the largest is 1."""
MIXED = 8.0
"""Both parameters of the beta distribution of the share of a picture in a mixup."""


class Samples(Protocol):
    """A data set of samples, such as `Pictures`."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Sample: ...


@dataclass(frozen=True)
class Mosaic:
    """Four pictures that meet at a random point of the canvas (Bochkovskiy et al., 2020: YOLOv4).

    Each is scaled by a random factor from a half to one, but so that it fills its quarter if it is
    large enough, and shows a random window.

    Args:
        chance: Of a mosaic.
        pictures: Partners.
        canvas: Which the mosaic fills.
        visibility: See `rondel_detection.data.framing.cut`.
    """

    chance: float
    pictures: Samples = field(repr=False)
    canvas: Canvas
    visibility: float

    def __call__(self, sample: Sample) -> Sample:
        """Change a sample."""
        if random.random() >= self.chance:
            return sample
        samples = [sample, *(partner(self.pictures, sample) for _ in range(3))]
        corners = random.sample(range(4), 4)
        height, width = self.canvas.height, self.canvas.width
        y, x = round(height * random.uniform(*CENTRE)), round(width * random.uniform(*CENTRE))
        parts = [self._part(*pair, y, x) for pair in zip(samples, corners, strict=True)]
        picture = parts[0].picture
        for part in parts[1:]:
            picture = picture | part.picture  # no pixel belongs to two of them
        return merged(parts, picture)

    def _part(self, sample: Sample, corner: int, y: int, x: int) -> Sample:
        """Return one picture in its quarter of the canvas; quarters are counted by rows."""
        height, width = self.canvas.height, self.canvas.width
        below, right = divmod(corner, 2)
        tall, wide = (height - y if below else y), (width - x if right else x)
        tile = self._tile(sample, tall, wide)
        top, left = (y if below else y - tile.height), (x if right else x - tile.width)
        return placed(tile, top, left, height, width)

    def _tile(self, sample: Sample, height: int, width: int) -> Sample:
        """Return a window of the sample, scaled, of at most (height, width)."""
        fill = max(height / sample.height, width / sample.width)
        factor = random.uniform(min(1.0, max(SMALLEST, fill)), 1.0)
        tall = min(sample.height, max(1, round(height / factor)))
        wide = min(sample.width, max(1, round(width / factor)))
        window = random_window(sample, tall, wide, visibility=self.visibility)
        size = min(height, max(1, round(tall * factor))), min(width, max(1, round(wide * factor)))
        return scaled(window, *size)


@dataclass(frozen=True)
class Mixup:
    """Two pictures laid over each other, with the boxes of both (Zhang et al., 2018 and 2019).

    Args:
        chance: Of a mixup.
        pictures: Partners.
    """

    chance: float
    pictures: Samples = field(repr=False)

    def __call__(self, sample: Sample) -> Sample:
        """Change a sample."""
        if random.random() >= self.chance:
            return sample
        other = partner(self.pictures, sample)
        share = random.betavariate(MIXED, MIXED)
        height = max(sample.height, other.height)
        width = max(sample.width, other.width)
        parts = [placed(part, 0, 0, height, width) for part in (sample, other)]
        return merged(parts, blended(parts[0].picture, parts[1].picture, share))


def partner(pictures: Samples, sample: Sample) -> Sample:
    """Draw another picture; one that cannot be read is replaced by the sample itself."""
    index = random.randrange(len(pictures))
    try:
        return pictures[index]
    except READING:
        return sample


def blended(first: Tensor, second: Tensor, share: float) -> Tensor:
    """Return two pictures of 8 bits mixed, ``share`` of the first, to the nearest 1/128.

    Whole numbers of 16 bits: fast, and exact on any number of threads.
    """
    weight = round(128 * share)
    mixed = first.to(torch.int16) * weight + second.to(torch.int16) * (128 - weight)
    return (mixed + 64).bitwise_right_shift(7).to(torch.uint8)


def merged(parts: Sequence[Sample], picture: Tensor) -> Sample:
    """Return one sample with the boxes of all parts, which stand in one frame; the first is named.

    Args:
        parts: Samples of one size.
        picture: What is seen of them, (3, h, w).
    """
    masks = [part.masks for part in parts if part.masks is not None]
    proposals = [part.proposals for part in parts if part.proposals is not None]
    return parts[0]._replace(
        picture=picture,
        boxes=torch.cat([part.boxes for part in parts]),
        labels=torch.cat([part.labels for part in parts]),
        crowd=torch.cat([part.crowd for part in parts]),
        visible=torch.cat([part.visible for part in parts]),
        masks=torch.cat(masks) if masks else None,
        proposals=best(proposals) if proposals else None,
    )


def best(proposals: Sequence[Tensor]) -> Tensor:
    """Return as many proposals as one picture has, taken from several in turns, best first.

    Args:
        proposals: Of each picture, (p, 4), best first; rows of zeros are padding.
    """
    turns = torch.stack(list(proposals), 1).reshape(-1, 4)
    padding = ~(sides(turns) > 0).all(1)
    order = torch.sort(padding.to(torch.uint8), stable=True).indices
    return turns[order[: len(proposals[0])]]
