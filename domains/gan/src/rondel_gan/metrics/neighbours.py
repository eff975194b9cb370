"""Fidelity and variety by nearest neighbours: precision, recall, density, coverage.

A set of features stands for a manifold: the union of balls around its rows that reach to the k-th
neighbour within the set. Precision or density alone call a generator of one perfect image perfect,
so they never come without recall and coverage. Shapes: features (N, F).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from rondel.errors import UsageError
from rondel_gan.metrics.distances import distance_blocks
from rondel_gan.metrics.features import comparable, evenly


@dataclass(frozen=True, kw_only=True)
class Neighbourhood:
    """How two sets lie to each other.

    Args:
        precision: Share of samples in the manifold of real images (Kynkaanniemi et al., 2019).
        recall: Share of real images in the manifold of the samples (the same).
        density: Balls of real images around a sample, over k; may pass 1 (Naeem et al., 2020).
        coverage: Share of real images with a sample in their ball (the same).
    """

    precision: float
    recall: float
    density: float
    coverage: float


@dataclass(frozen=True)
class Manifold:
    """Rows of features, and how far the ball around each reaches.

    Args:
        features: (N, F).
        radii: (N,).
        neighbours: Which neighbour the balls reach to.
    """

    features: Tensor
    radii: Tensor
    neighbours: int

    @classmethod
    def of(cls, features: Tensor, neighbours: int) -> Manifold:
        """Return the manifold of features, (N, F).

        Raises:
            UsageError: There are not more rows than neighbours.
        """
        return cls(features, radii(features, neighbours), neighbours)


def precision_recall(real: Tensor, fake: Tensor, *, neighbours: int) -> tuple[float, float]:
    """Return precision and recall; both sets are cut to the size of the smaller one.

    Args:
        real: (N, F) features of real images.
        fake: (M, F) features of samples.
        neighbours: Which neighbour the balls reach to.

    Raises:
        UsageError: There are not more rows than neighbours, or the features cannot be compared.
    """
    size = min(len(real), len(fake))
    both = comparable(evenly(real, size), evenly(fake, size))
    found = neighbourhood(*(Manifold.of(features, neighbours) for features in both))
    return found.precision, found.recall


def neighbourhood(real: Manifold, fake: Manifold) -> Neighbourhood:
    """Compare two manifolds; for numbers that mean anything let them be of the same size."""
    inside = torch.zeros(len(fake.features), dtype=torch.int64)  # balls around each sample
    recalled = covered = 0
    for rows, block in distance_blocks(real.features, fake.features):
        around = block <= real.radii[rows, None]
        inside += around.sum(dim=0)
        covered += int(around.any(dim=1).sum())
        recalled += int((block <= fake.radii).any(dim=1).sum())
    count = len(real.features)
    return Neighbourhood(
        precision=float((inside > 0).double().mean()),
        recall=recalled / count,
        density=float(inside.double().mean()) / real.neighbours,
        coverage=covered / count,
    )


def radii(features: Tensor, neighbours: int) -> Tensor:
    """Return the distance of each row to its ``neighbours``-th nearest other row, (N,).

    Raises:
        UsageError: There are not more rows than neighbours.
    """
    if not 1 <= neighbours < len(features):
        raise UsageError(
            f"{len(features)} rows have no neighbour number {neighbours}",
            hint="Give more images, or take fewer neighbours.",
        )
    # the nearest of all is the row itself, at distance 0
    blocks = distance_blocks(features, features)
    return torch.cat([block.kthvalue(neighbours + 1, dim=1).values for _, block in blocks])
