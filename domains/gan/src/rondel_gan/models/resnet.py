"""Bodies of residual blocks as in SNGAN (Miyato et al., 2018, appendix B.4).

``depth`` is the number of blocks per size; the first of them changes the size.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rondel_gan.config import ModelConfig
from rondel_gan.models.resolutions import resolutions_of


class UpBlock(nn.Module):
    """Two normalised convolutions beside a shortcut; `factor` times as fine."""

    def __init__(self, inputs: int, outputs: int, factor: int) -> None:
        super().__init__()
        self.factor = factor
        self.normalize1 = nn.BatchNorm2d(inputs)
        self.normalize2 = nn.BatchNorm2d(outputs)
        self.convolution1 = convolution(inputs, outputs)
        self.convolution2 = convolution(outputs, outputs)
        self.shortcut = shortcut(inputs, outputs)

    def forward(self, maps: Tensor) -> Tensor:
        """Return finer maps, (N, inputs, H, W) -> (N, outputs, factor H, factor W)."""
        hidden = self.convolution1(finer(F.relu(self.normalize1(maps)), self.factor))
        change: Tensor = self.convolution2(F.relu(self.normalize2(hidden)))
        passed: Tensor = self.shortcut(finer(maps, self.factor))
        return passed + change


class DownBlock(nn.Module):
    """Two convolutions beside a shortcut; `factor` times as coarse, without normalisation.

    Args:
        inputs: Channels.
        outputs: Channels.
        factor: Of the size.
        first: It reads the image, which no ReLU may cut.
    """

    def __init__(self, inputs: int, outputs: int, factor: int, *, first: bool = False) -> None:
        super().__init__()
        self.factor = factor
        self.before = nn.Identity() if first else nn.ReLU()
        self.convolution1 = convolution(inputs, outputs)
        self.convolution2 = convolution(outputs, outputs)
        self.shortcut = shortcut(inputs, outputs)

    def forward(self, maps: Tensor) -> Tensor:
        """Return coarser maps, (N, inputs, H, W) -> (N, outputs, H / factor, W / factor)."""
        hidden: Tensor = self.convolution2(F.relu(self.convolution1(self.before(maps))))
        passed: Tensor = self.shortcut(coarser(maps, self.factor))
        return passed + coarser(hidden, self.factor)


class Sum(nn.Module):
    """The sum over all positions, after a ReLU: (N, C, H, W) -> (N, C)."""

    def forward(self, maps: Tensor) -> Tensor:
        """Return one number per channel."""
        return F.relu(maps).sum(dim=(2, 3))


def generator_body(config: ModelConfig, inputs: int, shape: Sequence[int]) -> nn.Module:
    """Return the net (N, inputs) -> (N, C, H, W).

    Raises:
        ConfigError: Images of this size cannot be halved down to 4 to 7 pixels.
    """
    resolutions = resolutions_of("resnet", shape, config.width)
    channels = resolutions.channels(resolutions.doublings + 1)
    first = (channels[0], *resolutions.coarsest)
    layers: list[nn.Module] = [nn.Linear(inputs, math.prod(first)), nn.Unflatten(1, first)]
    for coarse, fine in pairwise(channels):
        layers.append(UpBlock(coarse, fine, 2))
        layers += [UpBlock(fine, fine, 1) for _ in range(config.depth - 1)]
    last = convolution(channels[-1], shape[0], gain=1)
    return nn.Sequential(*layers, nn.BatchNorm2d(channels[-1]), nn.ReLU(), last)


def critic_body(config: ModelConfig, shape: Sequence[int]) -> tuple[nn.Module, int]:
    """Return the net (N, C, H, W) -> (N, F), the sum over its coarsest map, and F.

    Raises:
        ConfigError: Images of this size cannot be halved down to 4 to 7 pixels.
    """
    resolutions = resolutions_of("resnet", shape, config.width)
    channels = [*reversed(resolutions.channels(resolutions.doublings + 1))]
    layers: list[nn.Module] = [DownBlock(shape[0], channels[1], 2, first=True)]
    layers += [DownBlock(channels[1], channels[1], 1) for _ in range(config.depth - 1)]
    for fine, coarse in pairwise(channels[1:]):
        layers.append(DownBlock(fine, coarse, 2))
        layers += [DownBlock(coarse, coarse, 1) for _ in range(config.depth - 1)]
    return nn.Sequential(*layers, Sum()), channels[-1]


def convolution(inputs: int, outputs: int, *, gain: float = math.sqrt(2)) -> nn.Conv2d:
    """Return a convolution of 3 x 3, its weights drawn as in the paper's code."""
    return started(nn.Conv2d(inputs, outputs, 3, padding=1), gain)


def shortcut(inputs: int, outputs: int) -> nn.Module:
    """Return what passes a block by: a convolution of 1 x 1 where channels change."""
    return nn.Identity() if inputs == outputs else started(nn.Conv2d(inputs, outputs, 1), 1)


@torch.no_grad()
def started(layer: nn.Conv2d, gain: float) -> nn.Conv2d:
    """Draw weights as Glorot and Bengio (2010), times a gain; the bias is 0."""
    nn.init.xavier_uniform_(layer.weight, gain)
    if layer.bias is not None:
        layer.bias.zero_()
    return layer


def finer(maps: Tensor, factor: int) -> Tensor:
    """Repeat every position."""
    return maps if factor == 1 else F.interpolate(maps, scale_factor=factor, mode="nearest")


def coarser(maps: Tensor, factor: int) -> Tensor:
    """Average over squares of positions."""
    return maps if factor == 1 else F.avg_pool2d(maps, factor)
