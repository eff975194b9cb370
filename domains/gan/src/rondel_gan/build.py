"""Makes data, players, proxy and loop from a config."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from rondel import Baseline, Section, Table
from rondel.errors import ConfigError
from rondel_gan.config import GanConfig
from rondel_gan.data.images import Split, split
from rondel_gan.data.reader import read_images
from rondel_gan.loops.adversarial import Adversarial
from rondel_gan.metrics import SampleQuality
from rondel_gan.models.perceptron import Discriminator, Generator
from rondel_gan.models.proxy import Proxy, make_proxy
from rondel_gan.sampling import sample, to_images, to_pixels

GAUSSIAN_IMAGES = 4096
"""Real images that the Gaussian of pixels is fitted to, at most."""
Values = Mapping[str, float]


def build(config: GanConfig) -> Adversarial:
    """Read the images, hold some out, train the proxy on the others, and make the loop.

    Raises:
        DataError: The images cannot be used.
        ConfigError: A setting does not fit this domain.
    """
    if config.discriminator.compile and config.r1.gamma:
        raise ConfigError(
            "torch.compile cannot differentiate the R1 penalty twice",
            where="discriminator.compile",
            hint="Leave it false, or switch the penalty off by r1.gamma=0.",
        )
    images = read_images(config)
    parts = split(images, config.held_out)
    proxy = make_proxy(
        parts.train, parts.train_labels, images.classes, updates=config.evaluation.proxy_updates
    )
    quality = SampleQuality(proxy, parts.held_out, neighbours=config.evaluation.neighbours)
    shape = parts.train.shape[1:]
    generator = Generator(config.model, shape)
    loop = Adversarial(config, generator, Discriminator(config.model, shape), parts.train, quality)
    loop.data = images.manifest
    references = measure_references(config, parts, generator, quality)
    loop.baseline = Baseline(*min(references.guesses.items(), key=lambda g: g[1]["frechet"]))
    loop.protocol = describe_protocol(config, parts, quality, references)
    return loop


@dataclass(frozen=True)
class References:
    """What numbers are compared with: real images, and guesses that learnt nothing."""

    real: Values
    guesses: Mapping[str, Values]


def measure_references(
    config: GanConfig, parts: Split, generator: Generator, quality: SampleQuality
) -> References:
    """Measure training images (no generator can expect to do better) and two simple guesses."""
    count = config.evaluation.samples
    gaussian = pixel_gaussian(parts.train, count)
    return References(
        real=quality.measure(to_pixels(parts.train[:count])),
        guesses={
            "pixel Gaussian": quality.measure(to_pixels(gaussian)),
            "untrained generator": quality.measure(sample(generator, count, seed=config.run.seed)),
        },
    )


def pixel_gaussian(images: Tensor, count: int, *, seed: int = 0) -> Tensor:
    """Draw images of a Gaussian with the mean and the covariance of real pixels.

    Weighted sums of the centred images have exactly their covariance, which is never formed.
    """
    flat = images[:GAUSSIAN_IMAGES].flatten(1)
    mean = flat.mean(dim=0)
    weights = torch.randn(count, len(flat), generator=torch.Generator().manual_seed(seed))
    drawn: Tensor = mean + weights @ (flat - mean) / (len(flat) - 1) ** 0.5
    return drawn.clamp(-1, 1).reshape(count, *images.shape[1:])


def describe_protocol(
    config: GanConfig, parts: Split, quality: SampleQuality, references: References
) -> Section:
    """Say in the report what the numbers mean, and what stands beside them."""
    count = config.evaluation.samples
    text = (
        f"Protocol: {quality.protocol(count)}. {describe_proxy(quality.proxy, parts)} "
        "'frechet' is the Frechet distance of these features, not Inception-FID: compare it only "
        "with numbers of the same protocol and data. Precision and recall are by "
        f"{config.evaluation.neighbours} nearest neighbours; a class is covered by a tenth of an "
        "equal share.\n\nThe best state is chosen by the same held-out images, with the same "
        "noise; 'rondel gan evaluate' draws fresh noise."
    )
    names = list(references.real)
    rows = {f"training images (floor, n={min(count, len(parts.train))})": references.real}
    rows |= references.guesses
    table = Table(
        columns=["", *names],
        rows=[[title, *(values[name] for name in names)] for title, values in rows.items()],
    )
    return Section("How samples are measured", text=text, table=table)


def describe_proxy(proxy: Proxy, parts: Split) -> str:
    """Say what the features are, and how good the classifier behind them."""
    if parts.held_out_labels is None:
        return "Without labels the features are those of a network of fixed random weights."
    features = proxy.features(to_images(to_pixels(parts.held_out)))
    hits = (proxy.predict(features) == parts.held_out_labels).double().mean().item()
    return f"The proxy classifies {100 * hits:.1f} % of the held-out images correctly."
