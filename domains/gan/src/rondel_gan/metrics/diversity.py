"""Whether samples differ from one another as much as real images do. Shapes: features (N, F)."""

from __future__ import annotations

from torch import Tensor

from rondel.errors import DataError
from rondel_gan.metrics.distances import mean_distance
from rondel_gan.metrics.features import comparable


def diversity(real: Tensor, fake: Tensor) -> float:
    """Return the mean distance of two samples over that of two real images.

    1 is as varied as real images, 0 is one and the same sample. Flattened pixels will do as
    features. It sees collapse at once, and bad samples not at all.

    Args:
        real: (N, F) features of real images.
        fake: (M, F) features of samples.

    Raises:
        DataError: All real images have the same features.
        UsageError: The features cannot be compared.
    """
    real, fake = comparable(real, fake)
    return mean_distance(fake) / spread(real)


def spread(real: Tensor) -> float:
    """Return the mean distance of two real images by their features, (N, F).

    Raises:
        DataError: All of them have the same features.
    """
    if bool((real == real[0]).all()):
        raise DataError(
            f"all {len(real)} real images have the same features",
            hint="Give images that differ.",
        )
    return mean_distance(real)
