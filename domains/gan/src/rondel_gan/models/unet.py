"""The generator of image-to-image games: a U-Net (Isola et al., 2017, section 3.2.1).

Convolutions of 4 x 4 halve the image down to an odd size, others double it again, and every size on
the way up sees the map of the same size on the way down. Maps are normalised one by one, so no
image depends on the rest of its batch; there is no dropout, one image has one translation.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from rondel.errors import ConfigError
from rondel_gan.models.weights import SLOPE, start_normal

FEWEST_HALVINGS = 3
SIZES = (32, 256)
MOST_DOUBLINGS = 3
FEWEST_POSITIONS = 16
"""Of a map that is normalised; of fewer, nothing of their mean would be left to say."""


class UNet(nn.Module):
    """Turns images into others of the same size: (N, C, H, W) -> (N, D, H, W) in [-1, 1].

    Args:
        source: Shape of what it is given, (C, H, W).
        target: Shape of what it makes, (D, H, W).
        width: Channels of the first map; they double up to 8 times as many.

    Raises:
        ConfigError: The sizes differ, or cannot be halved often enough.
    """

    latent = 0
    classes = 0

    def __init__(self, source: Sequence[int], target: Sequence[int], width: int) -> None:
        super().__init__()
        self.shape = tuple(target)
        depth = halvings(source, target)
        channels = [source[0], *(width << min(MOST_DOUBLINGS, step) for step in range(depth))]
        areas = [math.prod(source[1:]) >> (2 * step) for step in range(depth + 1)]
        self.downs = nn.ModuleList(
            down(inputs, outputs, normalized=step > 0 and areas[step + 1] >= FEWEST_POSITIONS)
            for step, (inputs, outputs) in enumerate(pairwise(channels))
        )
        self.ups = nn.ModuleList(
            up(channels[step + 1] * (1 if step == depth - 1 else 2), channels[step], areas[step])
            for step in reversed(range(1, depth))
        )
        self.last = nn.ConvTranspose2d(channels[1] * 2, target[0], 4, 2, 1)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:  # noqa: ARG002
        """Translate each image."""
        maps = [images]
        for layer in self.downs:
            maps.append(layer(maps[-1]))
        hidden = maps.pop()
        for layer in self.ups:
            hidden = torch.cat([layer(hidden), maps.pop()], dim=1)
        return torch.tanh(self.last(hidden))


def halvings(source: Sequence[int], target: Sequence[int]) -> int:
    """Return how often the images can be halved.

    Raises:
        ConfigError: The sizes differ, or cannot be halved often enough.
    """
    height, width = source[1:]
    if (height, width) != tuple(target[1:]):
        raise ConfigError(
            f"a U-Net makes no images of {target[1]} x {target[2]} of those of {height} x {width}",
            where="loop",
            hint="Scale or crop both sides to one size.",
        )
    depth = (math.gcd(height, width) & -math.gcd(height, width)).bit_length() - 1
    fits = SIZES[0] <= min(height, width) and max(height, width) <= SIZES[1]
    if not fits or depth < FEWEST_HALVINGS:
        raise ConfigError(
            f"a U-Net translates no images of {height} x {width} pixels",
            where="loop",
            hint=f"Scale or crop them to multiples of 8, from {SIZES[0]} to {SIZES[1]} pixels.",
        )
    return depth


def down(inputs: int, outputs: int, *, normalized: bool) -> nn.Sequential:
    """Return a layer that halves the size."""
    convolution = nn.Conv2d(inputs, outputs, 4, 2, 1)
    start_normal(convolution)
    return nn.Sequential(convolution, normalization(outputs, normalized), nn.LeakyReLU(SLOPE))


def up(inputs: int, outputs: int, area: int) -> nn.Sequential:
    """Return a layer that doubles the size, to maps of an area."""
    convolution = nn.ConvTranspose2d(inputs, outputs, 4, 2, 1)
    # an output position sees 2 x 2 of the 4 x 4 weights
    nn.init.normal_(convolution.weight, 0, math.sqrt(2 / (4 * inputs)))
    normalized = area >= FEWEST_POSITIONS
    return nn.Sequential(convolution, normalization(outputs, normalized), nn.ReLU())


def normalization(channels: int, on: bool) -> nn.Module:
    """Return the normalisation of each map by its own mean and deviation, or nothing."""
    return nn.InstanceNorm2d(channels) if on else nn.Identity()
