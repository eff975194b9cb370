"""Are samples copies of training images? Distances to the nearest one tell.

Shapes: features (N, F) in float64.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from rondel_gan.metrics.distances import nearest
from rondel_gan.metrics.features import comparable


@dataclass(frozen=True, kw_only=True)
class Memorisation:
    """How near samples come to training images.

    Args:
        novelty: The median distance of a sample to its nearest training image, over that of a
            held-out image. About 1: samples are as new as real images never seen. Well below 1:
            many are copies. Well above 1: they lie far from all real images, which says that
            they are bad and nothing about copies. None if more than half of the held-out images
            are themselves in the training set, and there is nothing to compare with.
        nearest: (N,) index of the nearest training image of each sample.
        distances: (N,) how far it is.
    """

    novelty: float | None
    nearest: Tensor
    distances: Tensor


class TrainingSet:
    """Features of the training images, with what distance to them is usual.

    Args:
        features: (N, F) of all training images.
        held_out: (M, F) of real images of the same kind that nothing was trained on.

    Raises:
        UsageError: The features cannot be compared.
    """

    def __init__(self, features: Tensor, held_out: Tensor) -> None:
        self.features, held_out = comparable(features, held_out)
        self.usual_distance = float(nearest(held_out, self.features)[0].median())
        # of equal rows rounding leaves a distance of 1e-8 of their length
        self._smallest = 1e-6 * float(self.features.norm(dim=1).mean())

    def memorisation(self, samples: Tensor) -> Memorisation:
        """Compare samples, (N, F), with the training images.

        Raises:
            UsageError: The features cannot be compared.
        """
        _, samples = comparable(self.features[:2], samples)
        distances, indices = nearest(samples, self.features)
        novelty = None
        if self.usual_distance > self._smallest:
            novelty = float(distances.median()) / self.usual_distance
        return Memorisation(novelty=novelty, nearest=indices, distances=distances)
