"""The Frechet distance of two sets of features, each seen as a Gaussian.

``|m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2))`` (Dowson and Landau, 1982; Heusel et al., 2017,
equation 6), in float64, with covariances over n - 1. The trace of the root comes without a root:

- with ``S1 = L L^T`` it is the sum of the roots of the eigenvalues of ``L^T S2 L``, which is
  symmetric;
- with ``S = A^T A``, A the centred rows over sqrt(n - 1), it is the sum of the singular values of
  ``A1 A2^T``. That needs no covariance, and pays where there are fewer rows than features.

Shapes: features (N, F).
"""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor

from rondel_gan.metrics.features import comparable


def frechet_distance(first: Tensor, second: Tensor) -> float:
    """Return the Frechet distance of two sets of features.

    Args:
        first: (N, F) features, at least two rows.
        second: (M, F) features, at least two rows.

    Raises:
        UsageError: The features are of different widths, too few, or not finite.
    """
    return FrechetReference(first).distance(second)


class FrechetReference:
    """Real features that many sets of samples are compared with.

    Args:
        features: (N, F), at least two rows.
    """

    def __init__(self, features: Tensor) -> None:
        self.features = features

    def distance(self, samples: Tensor) -> float:
        """Return the Frechet distance of the samples, (M, F).

        Raises:
            UsageError: The features are of different widths, too few, or not finite.
        """
        real, samples = comparable(self.features, samples)
        if min(len(real), len(samples)) <= real.shape[1]:
            return distance_of_few(real, samples)
        return self._moments.distance(Moments.of(samples))

    @cached_property
    def _moments(self) -> Moments:
        return Moments.of(self.features)


class Moments:
    """Count, mean and scatter of features, piece by piece (Chan et al., 1983).

    Each piece is centred on its own mean, so that nothing is lost when means are large.

    Args:
        width: Number of features.
    """

    mean: Tensor  # (F,)
    scatter: Tensor  # (F, F) sum of the outer products of centred rows

    def __init__(self, width: int) -> None:
        self.count = 0
        self.mean = torch.zeros(width, dtype=torch.float64)
        self.scatter = torch.zeros(width, width, dtype=torch.float64)

    @classmethod
    def of(cls, features: Tensor) -> Moments:
        """Return the moments of one set of features."""
        moments = cls(features.shape[1])
        moments.update(features)
        return moments

    def update(self, features: Tensor) -> None:
        """Take in more rows, (N, F)."""
        if not len(features):
            return
        features = features.double()
        mean = features.mean(dim=0)
        centred = features - mean
        self._add(len(features), mean, centred.T @ centred)

    def merge(self, other: Moments) -> None:
        """Take in what another one has seen."""
        if other.count:
            self._add(other.count, other.mean, other.scatter)

    def _add(self, count: int, mean: Tensor, scatter: Tensor) -> None:
        total = self.count + count
        step = mean - self.mean
        self.scatter = self.scatter + scatter + step.outer(step) * (self.count * count / total)
        self.mean = self.mean + step * (count / total)
        self.count = total

    @property
    def covariance(self) -> Tensor:
        """The covariance over n - 1, (F, F)."""
        return self.scatter / (self.count - 1)

    def distance(self, other: Moments) -> float:
        """Return the Frechet distance to the other one."""
        one, two = self.covariance, other.covariance
        root = square_root(one)
        eigenvalues = torch.linalg.eigvalsh(root.T @ two @ root)
        overlap = eigenvalues.clamp(min=0).sqrt().sum()
        apart = (self.mean - other.mean).square().sum()
        return float(apart + one.trace() + two.trace() - 2 * overlap)


def square_root(covariance: Tensor) -> Tensor:
    """Return L with ``L L^T = covariance``: by Cholesky, or by eigenvectors if it is singular."""
    factor: Tensor
    factor, failed = torch.linalg.cholesky_ex(covariance)
    if failed:
        eigenvalues, vectors = torch.linalg.eigh(covariance)
        factor = vectors * eigenvalues.clamp(min=0).sqrt()
    return factor


def distance_of_few(first: Tensor, second: Tensor) -> float:
    """Return the Frechet distance by singular values, for sets with few rows."""
    apart = (first.mean(dim=0) - second.mean(dim=0)).square().sum()
    one, two = ((f - f.mean(dim=0)) / (len(f) - 1) ** 0.5 for f in (first, second))
    overlap = torch.linalg.svdvals(one @ two.T).sum()
    return float(apart + one.square().sum() + two.square().sum() - 2 * overlap)


def bias_remark(rows: int, width: int) -> str:
    """Return a clause on the distance of so many rows, or nothing if there are enough.

    Args:
        rows: Of the smaller set.
        width: Number of features.
    """
    if rows > width:
        return ""
    return (
        f"the Frechet distance of {rows} rows of {width} features is biased, it comes out too "
        "high: go by kid, which is not"
    )
