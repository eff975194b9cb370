"""From noise to pixels: the one way in which evaluation, pictures and bundles draw samples.

Shapes: images (N, C, H, W) in [-1, 1], pixels (N, H, W, C) of 8 bits.
"""

from __future__ import annotations

import torch
from torch import Tensor

from rondel_gan.models.perceptron import Generator

CHUNK = 1024
"""Images that are made at once."""


@torch.no_grad()
def sample(generator: Generator, count: int, *, seed: int, truncation: float = 1.0) -> Tensor:
    """Return ``count`` images as pixels; the n-th has the same noise in every draw of a seed.

    Args:
        generator: With the weights to use.
        count: Number of images.
        seed: Of the noise.
        truncation: Factor on the noise; below 1 samples are more typical and less varied.
    """
    device = next(generator.parameters()).device
    draw = torch.Generator().manual_seed(seed)
    # row by row, so that a longer draw begins with the shorter one
    rows = [torch.randn(generator.latent, generator=draw) for _ in range(count)]
    noise = truncation * torch.stack(rows)
    return torch.cat(
        [to_pixels(generator(piece.to(device))).cpu() for piece in torch.split(noise, CHUNK)]
    )


def to_pixels(images: Tensor) -> Tensor:
    """Turn (N, C, H, W) in [-1, 1] into (N, H, W, C) of 8 bits, the nearest ones."""
    levels = (images.float().clamp(-1, 1) + 1) * 127.5
    return levels.round().to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def to_images(pixels: Tensor) -> Tensor:
    """Turn (N, H, W, C) of 8 bits into (N, C, H, W) in [-1, 1]."""
    return pixels.permute(0, 3, 1, 2).float() / 127.5 - 1
