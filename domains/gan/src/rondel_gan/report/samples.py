"""Sections that show what a generator makes of noise.

Shapes: noise (N, Z), images (N, C, H, W) in [-1, 1], pixels (N, H, W, C) of 8 bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from rondel import Section
from rondel_gan.codes import with_choice
from rondel_gan.interpolation import ways
from rondel_gan.metrics import SampleQuality
from rondel_gan.picture import grid_png, rows_png
from rondel_gan.sampling import made_of, noise_of, to_pixels

if TYPE_CHECKING:
    from rondel_gan.loops.adversarial import Adversarial
    from rondel_gan.loops.info import Info
    from rondel_gan.loops.vae import VaeGan

WAYS, STEPS = 5, 10
SEARCHED, COPIES = 256, 10
"""Samples whose nearest training images are looked for, and how many are shown."""
CODED_ROWS, MOST_CATEGORIES = 6, 16
REBUILT = 10


def interpolation_section(game: Adversarial) -> Section:
    """Show what lies between samples: without jumps, if the generator has learnt a space."""
    generator = game.generator
    seed = game.config.run.seed
    stations = noise_of(generator, WAYS + 1, seed=seed, noise=game.noise)
    images = []
    for row, way in enumerate(ways(stations, STEPS, gaussians=game.config.model.latent)):
        labels = torch.full((STEPS,), row % generator.classes) if generator.classes else None
        images.append(made_of(generator, way, labels))
    text = (
        "Each row leads from one noise to another, along an arc. A generator that learnt the images "
        "changes step by step; one that learnt some of them by heart jumps."
    )
    picture = grid_png(to_pixels(torch.cat(images)), columns=STEPS)
    return Section("Between samples", text=text, picture=picture)


def nearest_section(game: Adversarial) -> Section | None:
    """Show the samples that come nearest to training images, above those images."""
    quality = game.quality
    if not isinstance(quality, SampleQuality):
        return None
    samples = game.samples(SEARCHED, seed=game.config.run.seed + 1)
    found = quality.memorisation(to_pixels(samples))
    if found is None:
        return None
    chosen = found.distances.argsort()[:COPIES]
    images = game.real[found.nearest[chosen].to(game.real.device)].to(samples)
    novelty = (
        "" if found.novelty is None else f" The novelty of all of them is {found.novelty:.2f}."
    )
    text = (
        f"Above: of {SEARCHED} samples those that come nearest to a training image, by the "
        f"features that measure them. Below: these images. Pairs that are the same picture are "
        f"copies.{novelty} About 1 is as new as held-out images, well below 1 is copied, well above "
        "1 is unlike any image."
    )
    return Section(
        "Nearest training images", text=text, picture=rows_png([samples[chosen], images])
    )


def codes_section(game: Info) -> Section:
    """Show what InfoGAN's codes do: a category for each column, then each continuous code."""
    config, rows = game.config, CODED_ROWS
    drawn = noise_of(game.generator, rows, seed=config.run.seed, noise=game.noise)
    columns = min(config.info.categories, MOST_CATEGORIES)
    chosen = [with_choice(config, drawn, category=category) for category in range(columns)]
    along = [
        along_code(game, drawn[:1], place, steps=columns) for place in range(config.info.continuous)
    ]
    noise = torch.cat([torch.stack(chosen, dim=1).flatten(0, 1), *along])
    images = made_of(game.generator, noise, labels_for(game, len(noise)))
    text = (
        f"The first {rows} rows: the same noise with each category in turn. "
        f"Each row below them: one continuous code from -1 to 1, all else kept."
    )
    return Section("Codes", text=text, picture=grid_png(to_pixels(images), columns=columns))


def along_code(game: Info, noise: Tensor, place: int, *, steps: int) -> Tensor:
    """Return a row of noise with one continuous code from -1 to 1, (steps, Z)."""
    rows = noise.repeat(steps, 1)
    rows[:, noise.shape[1] - game.config.info.continuous + place] = torch.linspace(-1, 1, steps)
    return rows


def labels_for(game: Adversarial, count: int) -> Tensor | None:
    """Return the first class for so many samples; None without classes."""
    return torch.zeros(count, dtype=torch.long) if game.generator.classes else None


def rebuilt_section(game: VaeGan) -> Section:
    """Show training images above what a VAE-GAN makes of their codes."""
    rows = {name: values[:REBUILT].cpu() for name, values in game.stream.data.items()}
    weights = next(game.encoder.parameters())
    codes = game.encoder(rows["real"].to(weights))[0].cpu()
    labels = rows.get("labels") if game.generator.classes else None
    images = [rows["real"].float(), made_of(game.generator, codes, labels)]
    text = "Above: training images. Below: what the generator makes of their codes."
    return Section("Rebuilt images", text=text, picture=rows_png(images))


def sample_sections(game: Adversarial) -> Sequence[Section]:
    """Show images of noise; points are shown by their film alone."""
    if game.real.ndim != 4:
        return ()
    found = (interpolation_section(game), nearest_section(game))
    return [section for section in found if section is not None]
