"""All measures of samples together, always by the same protocol."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Protocol

from torch import Tensor

from rondel_gan.metrics.distances import mean_distance
from rondel_gan.metrics.diversity import spread
from rondel_gan.metrics.extractor import Extractor
from rondel_gan.metrics.features import evenly
from rondel_gan.metrics.frechet import FrechetReference, bias_remark
from rondel_gan.metrics.inception_score import SPLITS, inception_score
from rondel_gan.metrics.kernel import SIZE, kernel_distance
from rondel_gan.metrics.memorisation import Memorisation, TrainingSet
from rondel_gan.metrics.modes import DEVIATIONS, covered, modes_of
from rondel_gan.metrics.neighbours import Manifold, neighbourhood
from rondel_gan.models.proxy import single_threaded
from rondel_gan.sampling import to_images, to_pixels

SUBSETS = 10
"""Of the kernel distance; a tenth of what is usual, as samples are measured every epoch."""

if TYPE_CHECKING:
    from rondel_gan.config import GanConfig

SEARCHED = 10_000
"""Training images among which copies are looked for."""


class Quality(Protocol):
    """Says how good samples are."""

    def measure(self, samples: Tensor) -> dict[str, float]:
        """Return numbers by name."""

    def protocol(self, samples: int) -> str:
        """Name the protocol of a measurement of so many samples."""


class SampleQuality:
    """Measures images against the same real ones.

    Args:
        proxy: The frozen features.
        real: (N, C, H, W) real images in [-1, 1] that neither player nor proxy was trained on.
        neighbours: Of precision, recall, density and coverage; fewer if there are not so many.
        train: (M, C, H, W) the training images, if samples shall be searched for copies.

    Raises:
        DataError: All real images have the same features.
        UsageError: There is only one, or features are not finite.
    """

    def __init__(
        self, proxy: Extractor, real: Tensor, *, neighbours: int, train: Tensor | None = None
    ) -> None:
        self.proxy = proxy
        self._neighbours = neighbours
        # through 8 bits like the samples, so that rounding is no difference between them
        self._real = proxy.features(to_images(to_pixels(real)))
        self._reference = FrechetReference(self._real)
        self._manifolds: dict[int, Manifold] = {}
        self._training: TrainingSet | None = None
        with single_threaded():
            self._spread = spread(self._real)
            if train is not None:
                features = proxy.features(to_images(to_pixels(train)))
                self._training = TrainingSet(features, self._real)

    def measure(self, samples: Tensor) -> dict[str, float]:
        """Return all numbers about pixels, (N, H, W, C) of 8 bits.

        frechet, kid, precision, recall, density, coverage and diversity; classes, if the labels
        are known; inception_score, if the extractor is a classifier; novelty, if there are
        training images (`memorisation.Memorisation` says how to read it).

        Raises:
            UsageError: There is only one, or features are not finite.
        """
        fake = self.proxy.features(to_images(samples))
        with single_threaded():
            return self._compared(fake) | self._classified(fake) | self._searched(fake)

    def memorisation(self, samples: Tensor) -> Memorisation | None:
        """Return the nearest training image of each sample; None if they were not given.

        Args:
            samples: (N, H, W, C) pixels of 8 bits.
        """
        if self._training is None:
            return None
        features = self.proxy.features(to_images(samples))
        with single_threaded():
            return self._training.memorisation(features)

    def protocol(self, samples: int) -> str:
        """Name the protocol of a measurement of so many samples."""
        proxy, real = self.proxy, len(self._real)
        size = min(samples, real)
        name = f"{proxy.distance}[{proxy.protocol},n={samples}]"
        parts = [
            f"{name}: n={samples} samples, {real} held-out images, {proxy.resize}",
            f"kid over {SUBSETS} subsets of {subset_size(size)}",
            f"precision, recall, density, coverage by k={self._reach(size)} among {size} of each",
        ]
        if proxy.probabilities(self._real[:1]) is not None:
            parts.append(f"inception_score over {split_count(samples)} splits")
        if self._training is not None:
            parts.append(f"novelty against {len(self._training.features)} training images")
        remark = bias_remark(size, self._real.shape[1])
        return "; ".join([*parts, remark] if remark else parts)

    def _compared(self, fake: Tensor) -> dict[str, float]:
        size = min(len(self._real), len(fake))
        kid = kernel_distance(self._real, fake, subsets=SUBSETS, size=subset_size(size))
        manifold = Manifold.of(evenly(fake, size), self._reach(size))
        return {
            "frechet": self._reference.distance(fake),
            "kid": kid.mean,
            **asdict(neighbourhood(self._manifold(size), manifold)),
            "diversity": mean_distance(manifold.features) / self._spread,
        }

    def _classified(self, fake: Tensor) -> dict[str, float]:
        values = {}
        if self.proxy.classes:
            predicted = self.proxy.predict(fake)
            values["classes"] = float(covered(predicted, len(self.proxy.classes)))
        probabilities = self.proxy.probabilities(fake)
        if probabilities is not None:
            values["inception_score"] = inception_score(
                probabilities, splits=split_count(len(fake))
            ).mean
        return values

    def _searched(self, fake: Tensor) -> dict[str, float]:
        if self._training is None:
            return {}
        novelty = self._training.memorisation(fake).novelty
        return {} if novelty is None else {"novelty": novelty}

    def _manifold(self, size: int) -> Manifold:
        """Return the manifold of so many real images; a run asks for the same one every time."""
        if size not in self._manifolds:
            self._manifolds[size] = Manifold.of(evenly(self._real, size), self._reach(size))
        return self._manifolds[size]

    def _reach(self, size: int) -> int:
        return min(self._neighbours, size - 1)


class ModeQuality:
    """Measures points against the mixture that the data was drawn from.

    Args:
        centres: (K, 2) of the Gaussians.
        deviation: The one of each coordinate.
    """

    def __init__(self, centres: Tensor, deviation: float) -> None:
        self.centres = centres
        self.deviation = deviation

    def measure(self, samples: Tensor) -> dict[str, float]:
        """Return modes, high_quality and divergence of points, (N, 2), as `modes.Modes` has them.

        Raises:
            UsageError: The points are not finite, too few, or of another dimension.
        """
        found = modes_of(samples, self.centres, self.deviation)
        return {
            "modes": float(found.covered),
            "high_quality": found.high_quality,
            "divergence": found.divergence,
        }

    def protocol(self, samples: int) -> str:
        """Name the protocol of a measurement of so many points."""
        return (
            f"modes[{len(self.centres)} Gaussians,{DEVIATIONS:g} deviations,n={samples}]: a mode "
            "counts with a tenth of its fair share of the points within "
            f"{DEVIATIONS:g} x {self.deviation:g}"
        )


def quality_of(
    config: GanConfig, extractor: Extractor, real: Tensor, *, train: Tensor | None = None
) -> SampleQuality:
    """Return the quality by which a config measures, in training and whenever later.

    Args:
        config: How samples are measured.
        extractor: The frozen features.
        real: (N, C, H, W) held-out images.
        train: (M, C, H, W) the training images; of many, some from all over the set are searched
            for copies.
    """
    if train is not None:
        train = evenly(train, min(len(train), SEARCHED))
    return SampleQuality(extractor, real, neighbours=config.evaluation.neighbours, train=train)


def subset_size(rows: int) -> int:
    """Return how large a subset is for the kernel distance: half the rows, to a limit."""
    return min(SIZE, max(rows // 2, 2))


def split_count(samples: int) -> int:
    """Return in how many splits so many samples are scored."""
    return min(SPLITS, samples)
