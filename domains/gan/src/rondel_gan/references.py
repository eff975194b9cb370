"""What numbers are compared with, and what they mean: the words and tables beside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from rondel import Section, Table
from rondel_gan.config import GanConfig
from rondel_gan.data.images import Split
from rondel_gan.metrics import ModeQuality, Quality, SampleQuality
from rondel_gan.metrics.extractor import Extractor
from rondel_gan.sampling import rendered, to_images, to_pixels

GAUSSIAN_IMAGES = 4096
"""Real images that the Gaussian of pixels is fitted to, at most."""
Values = Mapping[str, float]


@dataclass(frozen=True)
class References:
    """What numbers are compared with: real images, and guesses that learnt nothing."""

    real: Values
    guesses: Mapping[str, Values]


def measure_references(real: Tensor, untrained: Tensor, quality: Quality) -> References:
    """Measure training samples (no generator can expect to do better) and two simple guesses.

    Args:
        real: (N, ...) training samples.
        untrained: (M, ...) samples of the generator before its training.
        quality: Measures them.
    """
    count = len(untrained)
    return References(
        real=quality.measure(rendered(real[:count])),
        guesses={
            "Gaussian of pixels" if real.ndim == 4 else "one Gaussian": quality.measure(
                rendered(gaussian_of(real, count))
            ),
            "untrained generator": quality.measure(rendered(untrained)),
        },
    )


def gaussian_of(samples: Tensor, count: int, *, seed: int = 0) -> Tensor:
    """Draw from a Gaussian with the mean and the covariance of real samples.

    Weighted sums of the centred images have exactly their covariance, which is never formed.
    """
    flat = samples[:GAUSSIAN_IMAGES].flatten(1)
    mean = flat.mean(dim=0)
    weights = torch.randn(count, len(flat), generator=torch.Generator().manual_seed(seed))
    drawn: Tensor = mean + weights @ (flat - mean) / (len(flat) - 1) ** 0.5
    shaped = drawn.reshape(count, *samples.shape[1:])
    return shaped.clamp(-1, 1) if samples.ndim == 4 else shaped


def describe_images(
    config: GanConfig, parts: Split, quality: SampleQuality, references: References
) -> Section:
    """Say in the report what the numbers of images mean, and what stands beside them."""
    count = config.evaluation.samples
    own = "" if quality.proxy.distance == "fid" else ", not Inception-FID"
    text = (
        f"Protocol: {quality.protocol(count)}. {describe_proxy(quality.proxy, parts)} "
        f"'frechet' is the Frechet distance of these features{own}: compare it only "
        "with numbers of the same protocol and data. A class is covered by a tenth of an "
        "equal share.\n\nThe best state is chosen by the same held-out images, with the same "
        "noise; 'rondel gan evaluate' draws fresh noise."
    )
    return described(text, references, floor=min(count, len(parts.train)))


def describe_points(config: GanConfig, quality: ModeQuality, references: References) -> Section:
    """Say in the report what the numbers of points mean, and what stands beside them."""
    count = config.evaluation.samples
    text = (
        f"Protocol: {quality.protocol(count)}. 'divergence' is that of the modes from equal shares."
    )
    return described(text, references, floor=count)


def described(text: str, references: References, *, floor: int) -> Section:
    """Return the section with a table of the references below a text."""
    names = list(references.real)
    rows = {f"training samples (floor, n={floor})": references.real} | dict(references.guesses)
    table = Table(
        columns=["", *names],
        rows=[[title, *(values[name] for name in names)] for title, values in rows.items()],
    )
    return Section("How samples are measured", text=text, table=table)


def describe_proxy(proxy: Extractor, parts: Split) -> str:
    """Say what the features are, and how good the classifier behind them."""
    if proxy.distance == "fid":
        return "The features are those of Inception, from a file of published weights."
    if parts.held_out_labels is None:
        return "Without labels the features are those of a network of fixed random weights."
    features = proxy.features(to_images(to_pixels(parts.held_out)))
    hits = (proxy.predict(features) == parts.held_out_labels).double().mean().item()
    return f"The proxy classifies {100 * hits:.1f} % of the held-out images correctly."
