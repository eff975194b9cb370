"""Boxes as differences to anchors (Girshick et al., 2014), as torchvision's ``BoxCoder`` has them.

Here for any leading shape, and without a copy of constants to the device at every call.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

Weights = tuple[float, float, float, float]
LARGEST_LOG = math.log(1000 / 16)
"""Sizes grow by this factor at most, so that the exponential stays finite."""


def encode(boxes: Tensor, anchors: Tensor, weights: Weights = (1, 1, 1, 1)) -> Tensor:
    """Return (..., 4) differences dx dy dw dh that lead from anchors to boxes, both (..., 4)."""
    width, height, x, y = _sizes(anchors)
    own_width, own_height, own_x, own_y = _sizes(boxes)
    parts = (
        (own_x - x) / width,
        (own_y - y) / height,
        (own_width / width).log(),
        (own_height / height).log(),
    )
    scaled = (weight * part for weight, part in zip(weights, parts, strict=True))
    return torch.stack(tuple(scaled), -1)


def decode(deltas: Tensor, anchors: Tensor, weights: Weights = (1, 1, 1, 1)) -> Tensor:
    """Return (..., 4) boxes x1 y1 x2 y2 of differences to anchors, both (..., 4)."""
    width, height, x, y = _sizes(anchors)
    dx, dy, dw, dh = (
        part / weight for part, weight in zip(deltas.unbind(-1), weights, strict=True)
    )
    x, y = dx * width + x, dy * height + y
    half_width = 0.5 * (dw.clamp(max=LARGEST_LOG).exp() * width)
    half_height = 0.5 * (dh.clamp(max=LARGEST_LOG).exp() * height)
    edges = (x - half_width, y - half_height, x + half_width, y + half_height)
    return torch.stack(edges, -1)


def clip(boxes: Tensor, sizes: Tensor) -> Tensor:
    """Return boxes (B, N, 4) inside of pictures of the given heights and widths (B, 2)."""
    edges = sizes.to(boxes.dtype).flip(-1).repeat(1, 2)[:, None]  # (B, 1, 4) w h w h
    return torch.minimum(boxes.clamp(min=0), edges)


def _sizes(boxes: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return widths, heights and centres."""
    x1, y1, x2, y2 = boxes.unbind(-1)
    width, height = x2 - x1, y2 - y1
    return width, height, x1 + 0.5 * width, y1 + 0.5 * height
