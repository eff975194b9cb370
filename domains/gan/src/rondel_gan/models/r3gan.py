"""Bodies of R3GAN (Huang et al., 2024): residual blocks of grouped convolutions, no normalisation.

A block widens, convolves in groups and narrows (1 x 1, 3 x 3, 1 x 1). Its last layer starts at zero
and the others start small, by fix-up (Zhang, Dauphin and Ma, 2019), so that a net of any depth is
stable from the first step. ``depth`` is the number of blocks per size.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rondel_gan.config import ModelConfig
from rondel_gan.models.resolutions import Resolutions, resolutions_of
from rondel_gan.models.weights import GAIN, SLOPE, start_normal

EXPANSION = 2
GROUP = 16
"""Channels of a group, or the largest divisor of both."""


class Block(nn.Module):
    """Adds to maps what a bottleneck turned inside out makes of them.

    Args:
        channels: Of the maps.
        blocks: Of the whole net; the more, the smaller the first weights.
    """

    def __init__(self, channels: int, blocks: int) -> None:
        super().__init__()
        inner = channels * EXPANSION
        self.widen = nn.Conv2d(channels, inner, 1)
        self.convolve = nn.Conv2d(
            inner, inner, 3, padding=1, groups=inner // math.gcd(inner, GROUP)
        )
        self.narrow = nn.Conv2d(inner, channels, 1, bias=False)
        # blocks ** (-1 / (2 m - 2)) for m = 3 layers in a block
        start_normal(self.widen, GAIN * blocks**-0.25)
        start_normal(self.convolve, GAIN * blocks**-0.25)
        nn.init.zeros_(self.narrow.weight)

    def forward(self, maps: Tensor) -> Tensor:
        """Return maps of the same shape."""
        hidden = F.leaky_relu(self.widen(maps), SLOPE)
        hidden = F.leaky_relu(self.convolve(hidden), SLOPE)
        change: Tensor = self.narrow(hidden)
        return maps + change


class Start(nn.Module):
    """The coarsest map: learnt patterns, each as strong as the noise says."""

    def __init__(self, inputs: int, channels: int, size: tuple[int, int]) -> None:
        super().__init__()
        self.patterns = nn.Parameter(torch.randn(channels, *size))
        self.strengths = nn.Linear(inputs, channels, bias=False)
        start_normal(self.strengths, 1)

    def forward(self, noise: Tensor) -> Tensor:
        """Return (N, inputs) -> (N, channels, H, W)."""
        strengths: Tensor = self.strengths(noise)
        return self.patterns * strengths[:, :, None, None]


class Resize(nn.Module):
    """Twice or half the size, and another number of channels.

    Args:
        inputs: Channels.
        outputs: Channels.
        scale: 2 for finer maps, between positions linearly; 0.5 for coarser ones, by averages.
    """

    def __init__(self, inputs: int, outputs: int, scale: float) -> None:
        super().__init__()
        self.scale = scale
        self.mix = pointwise(inputs, outputs) if inputs != outputs else nn.Identity()

    def forward(self, maps: Tensor) -> Tensor:
        """Return maps of the other size."""
        if self.scale < 1:  # fewer positions first, then the convolution
            mixed: Tensor = self.mix(F.avg_pool2d(maps, 2))
            return mixed
        return F.interpolate(self.mix(maps), scale_factor=self.scale, mode="bilinear")


def generator_body(config: ModelConfig, inputs: int, shape: Sequence[int]) -> nn.Module:
    """Return the net (N, inputs) -> (N, C, H, W).

    Raises:
        ConfigError: Images of this size cannot be halved down to 4 to 7 pixels.
    """
    resolutions = resolutions_of("r3gan", shape, config.width)
    channels = resolutions.channels(resolutions.doublings + 1)
    layers: list[nn.Module] = [Start(inputs, channels[0], resolutions.coarsest)]
    layers += blocks(channels[0], config.depth, resolutions)
    for coarse, fine in pairwise(channels):
        layers += [Resize(coarse, fine, 2), *blocks(fine, config.depth, resolutions)]
    return nn.Sequential(*layers, pointwise(channels[-1], shape[0]))


def critic_body(config: ModelConfig, shape: Sequence[int]) -> tuple[nn.Module, int]:
    """Return the net (N, C, H, W) -> (N, F), one weighted sum per coarsest map, and F.

    Raises:
        ConfigError: Images of this size cannot be halved down to 4 to 7 pixels.
    """
    resolutions = resolutions_of("r3gan", shape, config.width)
    channels = [*reversed(resolutions.channels(resolutions.doublings + 1))]
    layers: list[nn.Module] = [pointwise(shape[0], channels[0])]
    layers += blocks(channels[0], config.depth, resolutions)
    for fine, coarse in pairwise(channels):
        layers += [Resize(fine, coarse, 0.5), *blocks(coarse, config.depth, resolutions)]
    last = channels[-1]
    weigh = nn.Conv2d(last, last, resolutions.coarsest, groups=last, bias=False)
    start_normal(weigh, 1)
    return nn.Sequential(*layers, weigh, nn.Flatten()), last


def blocks(channels: int, depth: int, resolutions: Resolutions) -> list[Block]:
    """Return the blocks of one size."""
    count = depth * (resolutions.doublings + 1)
    return [Block(channels, count) for _ in range(depth)]


def pointwise(inputs: int, outputs: int) -> nn.Conv2d:
    """Return a linear map of the channels of each position."""
    layer = nn.Conv2d(inputs, outputs, 1, bias=False)
    start_normal(layer, 1)
    return layer
