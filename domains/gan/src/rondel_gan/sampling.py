"""From noise to pixels: the one way in which evaluation, pictures and bundles draw samples.

Shapes: samples (N, ...): images (N, C, H, W) in [-1, 1] or points (N, 2); pixels (N, H, W, C) of
8 bits.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from rondel_gan.models.generator import Generator

CHUNK = 1024
"""Samples that are made at once."""
TRANSLATED = 64
"""Images that are translated at once."""
Noise = Callable[[int, torch.Generator], Tensor]


@torch.no_grad()
def sample(
    generator: Generator,
    count: int,
    *,
    seed: int,
    truncation: float = 1.0,
    noise: Noise | None = None,
) -> Tensor:
    """Return ``count`` samples; the n-th has the same noise in every draw of a seed.

    A generator with classes makes them in turn.

    Args:
        generator: With the weights to use.
        count: Number of samples.
        seed: Of the noise.
        truncation: Factor on the noise; below 1 samples are more typical and less varied.
        noise: Draws noise, (N, Z); Gaussian by default.
    """
    drawn = truncation * noise_of(generator, count, seed=seed, noise=noise)
    return made_of(generator, drawn, labels_of(generator, count))


def noise_of(generator: Generator, count: int, *, seed: int, noise: Noise | None = None) -> Tensor:
    """Return (N, Z) noise; a longer draw begins with the shorter one of the same seed."""
    draw = torch.Generator().manual_seed(seed)
    if noise is None:
        return torch.cat([gaussian(1, generator.latent, draw) for _ in range(count)])
    return torch.cat([noise(1, draw) for _ in range(count)])


def labels_of(generator: Generator, count: int) -> Tensor | None:
    """Return the classes of so many samples, one after the other; None if there are none."""
    return torch.arange(count) % generator.classes if generator.classes else None


@torch.no_grad()
def made_of(generator: Generator, noise: Tensor, labels: Tensor | None = None) -> Tensor:
    """Return what the generator makes of (N, Z) noise and (N,) classes, in pieces."""
    device = next(generator.parameters()).device
    pieces = []
    for start in range(0, len(noise), CHUNK):
        rows = slice(start, start + CHUNK)
        classes = None if labels is None else labels[rows].to(device)
        weights = next(generator.parameters())
        pieces.append(generator(noise[rows].to(weights), classes).cpu())
    return torch.cat(pieces)


@torch.no_grad()
def translated(net: nn.Module, sources: Tensor) -> Tensor:
    """Return what a net makes of images, in pieces, on the device that they are on."""
    weights = next(net.parameters())
    pieces = torch.split(sources, TRANSLATED)
    return torch.cat([net(piece.to(weights)).to(sources) for piece in pieces])


def gaussian(size: int, latent: int, generator: torch.Generator) -> Tensor:
    """Draw (N, Z) standard normal numbers."""
    return torch.randn((size, latent), generator=generator)


def rendered(samples: Tensor) -> Tensor:
    """Return images as pixels, points as they are."""
    return to_pixels(samples) if samples.ndim == 4 else samples


def to_pixels(images: Tensor) -> Tensor:
    """Turn (N, C, H, W) in [-1, 1] into (N, H, W, C) of 8 bits, the nearest ones."""
    levels = (images.float().clamp(-1, 1) + 1) * 127.5
    return levels.round().to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def to_images(pixels: Tensor) -> Tensor:
    """Turn (N, H, W, C) of 8 bits into (N, C, H, W) in [-1, 1]."""
    return pixels.permute(0, 3, 1, 2).float() / 127.5 - 1
