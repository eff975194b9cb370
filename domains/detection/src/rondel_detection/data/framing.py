"""Moving, scaling, cutting and placing a sample: what all changes of geometry are made of.

Plain tensor code, because cuts have to know how much of each box they leave, which torchvision's
`tv_tensors` do not tell, and because it is faster: at 128 pixels a flip of picture and boxes takes 27
microseconds, through `torchvision.transforms.v2` 61, of which 4 are the flip itself. Pixels are
scaled by torchvision, which chooses the fastest kernel for 8 bits.
"""

from __future__ import annotations

import random

import torch
from torch import Tensor

from rondel_detection.data.canvas import resize
from rondel_detection.data.sample import Sample, sides, unpadded

TRACE = 0.1
"""Share of a box below which a cut leaves too little to be seen: the box goes."""
THINNEST = 1.0
"""Pixels of a side below which nothing is left of a box that was cut or scaled down."""


def flipped_x(sample: Sample) -> Sample:
    """Return the sample with left and right swapped."""
    width = sample.width

    def places(boxes: Tensor) -> Tensor:
        x1, y1, x2, y2 = boxes.unbind(1)
        return torch.stack([width - x2, y1, width - x1, y2], 1)

    return sample.moved(lambda pixels: pixels.flip(-1), places)


def flipped_y(sample: Sample) -> Sample:
    """Return the sample upside down."""
    height = sample.height

    def places(boxes: Tensor) -> Tensor:
        x1, y1, x2, y2 = boxes.unbind(1)
        return torch.stack([x1, height - y2, x2, height - y1], 1)

    return sample.moved(lambda pixels: pixels.flip(-2), places)


def transposed(sample: Sample) -> Sample:
    """Return the sample with x and y swapped."""

    def places(boxes: Tensor) -> Tensor:
        x1, y1, x2, y2 = boxes.unbind(1)
        return torch.stack([y1, x1, y2, x2], 1)

    return sample.moved(lambda pixels: pixels.transpose(-1, -2), places)


def scaled(sample: Sample, height: int, width: int) -> Sample:
    """Return the sample at another size; boxes that become thinner than a pixel go."""
    if (height, width) == (sample.height, sample.width):
        return sample
    new = torch.tensor([width, height, width, height], dtype=torch.float32)
    old = torch.tensor([sample.width, sample.height] * 2, dtype=torch.float32)
    masks, proposals = sample.masks, sample.proposals
    made = sample._replace(
        picture=resize(sample.picture, (height, width)),
        # in this order an edge of the old picture comes exactly to that of the new one
        boxes=sample.boxes * new / old,
        proposals=None if proposals is None else proposals * new / old,
        masks=None if masks is None else nearest(masks, height, width),
    )
    if height >= sample.height and width >= sample.width:
        return made
    thick = (sides(made.boxes) >= THINNEST).all(1)
    return made if thick.all() else made.take(thick)


def nearest(masks: Tensor, height: int, width: int) -> Tensor:
    """Scale masks, (n, h, w) bool, by taking the pixel that a centre falls into."""
    rows, columns = (
        ((torch.arange(new) + 0.5) * (old / new)).long()
        for new, old in zip((height, width), masks.shape[-2:], strict=True)
    )
    return masks[:, rows[:, None], columns]


def cut(
    sample: Sample, top: int, left: int, height: int, width: int, *, visibility: float
) -> Sample:
    """Return a window of the sample.

    A box of which at least ``visibility`` is left, counted from the labelled box over all cuts,
    stays an object. One of which less is left becomes a crowd: a part of an object is to be seen
    there, so it must not be learnt as background, but too little to be asked for. One of which
    less than a tenth or less than a pixel is left goes. Proposals are clipped only.
    """
    if (top, left, height, width) == (0, 0, sample.height, sample.width):
        return sample
    offset = torch.tensor([left, top, left, top], dtype=torch.float32)
    corner = torch.tensor([width, height, width, height], dtype=torch.float32)
    moved = sample.boxes - offset
    boxes = torch.minimum(moved.clamp(min=0), corner)
    share = sides(boxes).prod(1) / sides(moved).prod(1)
    visible = sample.visible * share
    proposals = sample.proposals
    if proposals is not None:
        clipped = torch.minimum((proposals - offset).clamp(min=0), corner)
        proposals = unpadded(clipped, proposals)
    window = (..., slice(top, top + height), slice(left, left + width))
    made = sample._replace(
        picture=sample.picture[window],
        boxes=boxes,
        crowd=sample.crowd | (visible < visibility),
        visible=visible,
        proposals=proposals,
        masks=None if sample.masks is None else sample.masks[window],
    )
    whole = share == 1.0
    kept = whole | ((visible >= TRACE) & (sides(boxes) >= THINNEST).all(1))
    return made if kept.all() else made.take(kept)


def placed(sample: Sample, top: int, left: int, height: int, width: int) -> Sample:
    """Return the sample on black ground of another size, with its corner at (top, left)."""
    if (top, left, height, width) == (0, 0, sample.height, sample.width):
        return sample
    offset = torch.tensor([left, top, left, top], dtype=torch.float32)

    def pixels(old: Tensor) -> Tensor:
        new = old.new_zeros((*old.shape[:-2], height, width))
        new[..., top : top + old.shape[-2], left : left + old.shape[-1]] = old
        return new

    return sample.moved(pixels, lambda boxes: boxes + offset)


def random_window(sample: Sample, height: int, width: int, *, visibility: float) -> Sample:
    """Return a window of the sample at a random place."""
    top = random.randint(0, sample.height - height)
    left = random.randint(0, sample.width - width)
    return cut(sample, top, left, height, width, visibility=visibility)
