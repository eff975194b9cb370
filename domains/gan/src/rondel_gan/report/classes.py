"""The section about classes: which ones samples belong to, beside real images."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from rondel import Section
from rondel.report.figure import (
    SERIES,
    add_axes,
    dress,
    label_of,
    margin_of,
    new_figure,
    to_png,
)
from rondel_gan.metrics import SampleQuality
from rondel_gan.metrics.features import evenly
from rondel_gan.picture import add_legend_above
from rondel_gan.sampling import to_images, to_pixels

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rondel_gan.loops.adversarial import Adversarial

MOST_IMAGES = 4096
"""Real images that are classified."""
MOST_CLASSES = 40
WIDTH, BAR, HEAD, FOOT, EDGE = 520, 24, 44, 50, 16
"""Pixels of the report's page."""


def classes_section(game: Adversarial) -> Section | None:
    """Compare how often each class is found among samples and among training images."""
    quality = game.quality
    if not isinstance(quality, SampleQuality) or len(quality.proxy.classes) < 2:
        return None
    names = quality.proxy.classes
    samples = game.samples(game.config.evaluation.samples, seed=game.config.run.seed + 1)
    found = classified(quality, samples)
    made = shares(found, len(names))
    known = evenly(game.real, min(len(game.real), MOST_IMAGES))
    real = shares(classified(quality, known), len(names))
    # the classes that are missing or crowded most, if there are too many to show
    shown = (made - real).abs().argsort(descending=True)[:MOST_CLASSES].sort().values
    text = (
        "Which class the classifier that measures samples sees in them, and in training images. "
        f"{verdict(made, real, names)}{obeyed(game, found)}"
    )
    picture = bars_png([names[place] for place in shown.tolist()], made[shown], real[shown])
    return Section("Classes of samples", text=text, picture=picture)


def classified(quality: SampleQuality, images: Tensor) -> Tensor:
    """Return the class of each image, (N,)."""
    pixels = to_images(to_pixels(images.cpu()))
    return quality.proxy.predict(quality.proxy.features(pixels))


def shares(classes: Tensor, count: int) -> Tensor:
    """Return the share of each class, (K,)."""
    return torch.bincount(classes, minlength=count).double() / len(classes)


def verdict(made: Tensor, real: Tensor, names: Sequence[str]) -> str:
    """Name the class that is missed most."""
    ratio = torch.where(real > 0, made / real.clamp(min=1e-12), torch.inf)
    place = int(ratio.argmin())
    if ratio[place] >= 1:
        return ""
    return (
        f"The rarest against its share is '{names[place]}': {100 * made[place]:.1f} % of the "
        f"samples, {100 * real[place]:.1f} % of the images."
    )


def obeyed(game: Adversarial, found: Tensor) -> str:
    """Say how often a generator with classes makes what it was asked for; they take turns."""
    classes = game.generator.classes
    if not classes:
        return ""
    asked = torch.arange(len(found)) % classes
    return f" {100 * (asked == found).double().mean():.0f} % are of the class that was asked for."


def bars_png(names: Sequence[str], made: Tensor, real: Tensor) -> bytes:
    """Draw two bars for each class."""
    shown = [label_of(name) for name in names]
    height, margin = BAR * len(shown), margin_of(shown)
    figure = new_figure(WIDTH, HEAD + height + FOOT)
    axes = add_axes(figure, margin, HEAD, WIDTH - margin - EDGE, height)
    places = np.arange(len(shown))
    for offset, values, label, color in (
        (-0.2, made, "samples", SERIES[0]),
        (0.2, real, "real images", SERIES[1]),
    ):
        axes.barh(places + offset, 100 * values.numpy(), height=0.36, color=color, label=label)
    axes.set_yticks(places, shown)
    axes.set_ylim(len(shown) - 0.4, -0.6)
    dress(axes, "Share of each class", x="%", grid="x")
    add_legend_above(axes)
    return to_png(figure)
