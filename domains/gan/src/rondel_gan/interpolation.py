"""Ways from noise to noise. Shapes: noise (N, Z), of whose Z numbers the first G are Gaussian."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor

PARALLEL = 1e-3
"""Sine of an angle below which two rows point the same way."""


def ways(stations: Tensor, steps: int, *, gaussians: int) -> list[Tensor]:
    """Return the way from every row of noise to the next, (steps, Z) each, both ends included.

    Gaussian numbers go along an arc, codes beside them straight.

    Args:
        stations: (N, Z).
        steps: Rows of a way, at least 2.
        gaussians: G.
    """
    shares = torch.linspace(0, 1, steps).tolist()
    return [
        torch.stack([between(first, second, share, gaussians=gaussians) for share in shares])
        for first, second in pairwise(stations)
    ]


def between(first: Tensor, second: Tensor, share: float, *, gaussians: int) -> Tensor:
    """Return the row of noise that lies between two, (Z,)."""
    arc = slerp(first[:gaussians], second[:gaussians], share)
    return torch.cat([arc, torch.lerp(first[gaussians:], second[gaussians:], share)])


def slerp(first: Tensor, second: Tensor, share: float) -> Tensor:
    """Return the point on the arc between two rows of Gaussian numbers, (G,) (White, 2016).

    The straight way leads through lengths that such rows hardly ever have. It is taken only
    between parallel rows, where there is no arc.

    Args:
        first: Where share 0 is.
        second: Where share 1 is.
        share: From 0 to 1.
    """
    lengths = (first.norm() * second.norm()).clamp(min=torch.finfo(first.dtype).tiny)
    angle = torch.arccos((torch.dot(first, second) / lengths).clamp(-1, 1))
    if angle.sin() < PARALLEL:
        return torch.lerp(first, second, share)
    mixed: Tensor = torch.sin((1 - share) * angle) * first + torch.sin(share * angle) * second
    return mixed / angle.sin()
