"""How many modes of the data the samples have: classes, or Gaussians of a 2-D mixture.

Shapes: points (N, 2), centres (K, 2).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from rondel_gan.metrics.features import comparable

FAIR_SHARE = 0.1
"""A mode counts as covered if it has this part of an equal share of the samples."""
DEVIATIONS = 3.0
"""A point this near to a centre is of high quality, and belongs to that mode."""


@dataclass(frozen=True, kw_only=True)
class Modes:
    """What points have of the modes of a mixture.

    Args:
        covered: Modes with at least a tenth of their fair share N / K of the points within
            3 deviations.
        high_quality: Share of the points that lie within 3 deviations of some centre.
        divergence: Kullback-Leibler divergence, in nats, of the histogram of those points over
            the modes from the uniform one. 0 is an even spread, log K a single mode; log K as
            well if no point is near any mode.
    """

    covered: int
    high_quality: float
    divergence: float


def modes_of(points: Tensor, centres: Tensor, deviation: float) -> Modes:
    """Count the modes of a mixture of equal, round Gaussians that points have.

    A point within reach of several centres belongs to the nearest.

    Args:
        points: (N, 2) samples.
        centres: (K, 2) of the Gaussians.
        deviation: The one of each coordinate.

    Raises:
        UsageError: The points are not finite, too few, or of another dimension.
    """
    points, centres = comparable(points, centres)
    # exact, as at a distance of 0 the quicker formula is not
    distances = torch.cdist(points, centres, compute_mode="donot_use_mm_for_euclid_dist")
    distance, mode = distances.min(dim=1)
    near = distance <= DEVIATIONS * deviation
    counts = torch.bincount(mode[near], minlength=len(centres))
    return Modes(
        covered=int((counts >= FAIR_SHARE * len(points) / len(centres)).sum()),
        high_quality=float(near.double().mean()),
        divergence=divergence_from_uniform(counts),
    )


def divergence_from_uniform(counts: Tensor) -> float:
    """Return the divergence of a histogram, (K,), from the uniform one, in nats."""
    highest = math.log(len(counts))
    if not counts.any():
        return highest
    shares = counts.double() / counts.sum()
    return highest + float(torch.xlogy(shares, shares).sum())


def covered(predicted: Tensor, classes: int) -> int:
    """Return how many classes have at least a tenth of an equal share of the samples.

    Args:
        predicted: (N,) the class of each sample.
        classes: How many there are.
    """
    counts = torch.bincount(predicted, minlength=classes)
    return int((counts >= FAIR_SHARE * len(predicted) / classes).sum())
