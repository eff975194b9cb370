"""Losses of dense detectors, without a look at a value on the host.

Letters: S any shape, such as images and cells.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

NEAR_MISS = 4
"""Exponent by which cells near a centre count less as background (Law and Deng, 2018)."""


def heat_focal_sum(logits: Tensor, target: Tensor, background: Tensor) -> Tensor:
    """Return the focal loss of a heat map (Zhou et al., 2019, "Objects as Points", eq. 1), summed.

    Args:
        logits: (S,), float32 or finer.
        target: (S,) in 0..1; exactly 1 at the centre of an object.
        background: (S,) weight of a cell where it is no centre; 0 ignores it.
    """
    chance = logits.sigmoid()
    hit = functional.logsigmoid(logits) * (1 - chance).square()
    miss = functional.logsigmoid(-logits) * chance.square() * (1 - target).pow(NEAR_MISS)
    return -torch.where(target == 1, hit, miss * background).sum()


def giou_sum(boxes: Tensor, others: Tensor, weight: Tensor) -> Tensor:
    """Return the loss ``1 - GIoU`` of pairs of boxes, weighted and summed.

    Args:
        boxes: (S, 4) x1 y1 x2 y2.
        others: (S, 4).
        weight: (S,); where it is 0, the boxes may be anything finite.
    """
    return ((1 - giou(boxes, others)) * weight).sum()


def giou(boxes: Tensor, others: Tensor) -> Tensor:
    """Return the generalised overlap of pairs of boxes (Rezatofighi et al., 2019), in -1..1.

    Args:
        boxes: (S, 4) x1 y1 x2 y2 with x1 <= x2 and y1 <= y2.
        others: (S, 4).

    Returns:
        (S,); finite also where both boxes have no area.
    """
    start, end = boxes[..., :2], boxes[..., 2:]
    start_other, end_other = others[..., :2], others[..., 2:]
    inner = _area(torch.maximum(start, start_other), torch.minimum(end, end_other))
    outer = _area(torch.minimum(start, start_other), torch.maximum(end, end_other))
    union = _area(start, end) + _area(start_other, end_other) - inner
    # an area of nothing at all would divide 0 by 0
    tiny = torch.finfo(boxes.dtype).tiny
    return inner / union.clamp(min=tiny) - (outer - union) / outer.clamp(min=tiny)


def _area(start: Tensor, end: Tensor) -> Tensor:
    """Return (S,) areas between corners (S, 2); 0 where the end lies before the start."""
    sides = (end - start).clamp(min=0)
    # not prod(): its backward looks for zeros, and waits for the device
    return sides[..., 0] * sides[..., 1]
