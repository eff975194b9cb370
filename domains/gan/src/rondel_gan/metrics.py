"""How good samples are: distance to real images, precision with recall, classes covered.

No number here means anything without its protocol: the features, and how many images of each kind.
Shapes: features (N, F) in float64, pixels (N, H, W, C) of 8 bits.
"""

from __future__ import annotations

import torch
from torch import Tensor

from rondel_gan.models.proxy import Proxy, single_threaded
from rondel_gan.sampling import to_images, to_pixels

FAIR_SHARE = 0.1
"""A class counts as covered if it has this part of an equal share of the samples."""


class SampleQuality:
    """Measures samples against the same real images, always by the same protocol.

    Args:
        proxy: The frozen features.
        real: (N, C, H, W) real images that neither player nor proxy was trained on.
        neighbours: Of precision and recall.
    """

    def __init__(self, proxy: Proxy, real: Tensor, *, neighbours: int) -> None:
        self.proxy = proxy
        self.neighbours = neighbours
        # through 8 bits like the samples, so that rounding is no difference between them
        self._real = proxy.features(to_images(to_pixels(real)))

    def measure(self, pixels: Tensor) -> dict[str, float]:
        """Return frechet, precision and recall, and the number of classes if there are labels."""
        fake = self.proxy.features(to_images(pixels))
        with single_threaded():
            precision, recall = precision_recall(self._real, fake, neighbours=self.neighbours)
            values = {
                "frechet": frechet_distance(self._real, fake),
                "precision": precision,
                "recall": recall,
            }
        if self.proxy.classes:
            predicted = self.proxy.predict(fake)
            values["classes"] = float(covered(predicted, len(self.proxy.classes)))
        return values

    def protocol(self, samples: int) -> str:
        """Name the protocol of a measurement of so many samples."""
        return f"{self.proxy.protocol}, n={samples} samples, {len(self._real)} held-out images"


def frechet_distance(first: Tensor, second: Tensor) -> float:
    """Return the Frechet distance of two sets of features, each seen as a Gaussian.

    ``|m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2))`` (Dowson and Landau, 1982; Heusel et al., 2017).
    With ``S1 = L L^T`` the root's trace is the sum of the roots of the eigenvalues of
    ``L^T S2 L``, which is symmetric: no matrix root, nothing complex, exact to rounding.

    Args:
        first: (N, F) features, at least two rows.
        second: (M, F) features, at least two rows.
    """
    first, second = first.double(), second.double()
    difference = first.mean(dim=0) - second.mean(dim=0)
    # reshaped, because the covariance of a single feature comes as a scalar
    one, two = (torch.cov(rows.T).reshape(2 * rows.shape[1:]) for rows in (first, second))
    root = square_root(one)
    eigenvalues = torch.linalg.eigvalsh(root.T @ two @ root)
    overlap = eigenvalues.clamp(min=0).sqrt().sum()
    distance = difference.square().sum() + one.trace() + two.trace() - 2 * overlap
    return float(distance)


def square_root(covariance: Tensor) -> Tensor:
    """Return L with ``L L^T = covariance``: by Cholesky, or by eigenvectors if it is singular."""
    factor: Tensor
    factor, failed = torch.linalg.cholesky_ex(covariance)
    if failed:
        eigenvalues, vectors = torch.linalg.eigh(covariance)
        factor = vectors * eigenvalues.clamp(min=0).sqrt()
    return factor


def precision_recall(real: Tensor, fake: Tensor, *, neighbours: int) -> tuple[float, float]:
    """Return precision and recall by nearest neighbours (Kynkaanniemi et al., 2019).

    Precision is the share of samples that lie in the manifold of real images, recall the share of
    real images in that of the samples; a manifold is the union of balls around its members that
    reach to their ``neighbours``-th neighbour. Both sets are cut to the size of the smaller one.

    Args:
        real: (N, F) features of real images.
        fake: (M, F) features of samples.
        neighbours: How far the balls reach.
    """
    size = min(len(real), len(fake))
    real, fake = real[:size], fake[:size]
    between = torch.cdist(real, fake)  # (real, fake)
    inside_real = between <= radii(real, neighbours)[:, None]
    inside_fake = between <= radii(fake, neighbours)[None, :]
    precision = inside_real.any(dim=0).double().mean().item()
    recall = inside_fake.any(dim=1).double().mean().item()
    return precision, recall


def radii(features: Tensor, neighbours: int) -> Tensor:
    """Return the distance of each row to its ``neighbours``-th nearest other row, (N,)."""
    nearest = min(neighbours, len(features) - 1)
    # the nearest of all is the row itself, at distance 0
    distances: Tensor = torch.cdist(features, features).kthvalue(nearest + 1, dim=1).values
    return distances


def covered(predicted: Tensor, classes: int) -> int:
    """Return how many classes have at least a tenth of an equal share of the samples."""
    counts = torch.bincount(predicted, minlength=classes)
    return int((counts >= FAIR_SHARE * len(predicted) / classes).sum())
