"""Generator and discriminator that grow (Karras et al., 2018): from a few pixels to the whole size.

Stage 0 makes images of the first size, every further stage doubles it. A new block fades in:
``alpha`` is its share, 1 - alpha that of the stage before. Learning rates are equalized and the
generator normalises pixels (sections 4.1 and 4.2); the deviation over a batch (section 3) is left
out, because a score would depend on the other images. Shapes: h = H / 2^(stages - 1 - stage).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rondel.errors import ConfigError
from rondel_gan.config import Condition, ModelConfig
from rondel_gan.models.critic import Critic
from rondel_gan.models.generator import Generator, inputs_of
from rondel_gan.models.resolutions import Resolutions
from rondel_gan.models.weights import SLOPE, equalize


class PixelNorm(nn.Module):
    """Scales the channels of each position to a mean square of 1."""

    def forward(self, maps: Tensor) -> Tensor:
        """Return (N, C, ...) of the same shape."""
        return maps * torch.rsqrt(maps.square().mean(dim=1, keepdim=True) + 1e-8)


class GrowingGeneratorBody(nn.Module):
    """Makes images of the present stage: (N, inputs) -> (N, C, h, w)."""

    def __init__(self, inputs: int, shape: Sequence[int], resolutions: Resolutions) -> None:
        super().__init__()
        self.stage = resolutions.doublings
        self.alpha = 1.0
        channels = resolutions.channels(self.stage + 1)
        first = (channels[0], *resolutions.coarsest)
        dense = nn.Linear(inputs, math.prod(first))
        equalize(dense)
        self.start = nn.Sequential(
            PixelNorm(),
            dense,
            nn.Unflatten(1, first),
            nn.LeakyReLU(SLOPE),
            PixelNorm(),
            *convolved(channels[0], channels[0], PixelNorm()),
        )
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.Upsample(scale_factor=2),
                *convolved(coarse, fine, PixelNorm()),
                *convolved(fine, fine, PixelNorm()),
            )
            for coarse, fine in pairwise(channels)
        )
        self.images = nn.ModuleList(pointwise(count, shape[0]) for count in channels)

    def forward(self, noise: Tensor) -> Tensor:
        """Make one image of each row, still to be squashed."""
        maps = before = self.start(noise)
        for block in self.blocks[: self.stage]:
            before, maps = maps, block(maps)
        images: Tensor = self.images[self.stage](maps)
        if self.stage == 0 or self.alpha >= 1:
            return images
        small = self.images[self.stage - 1](before)
        return torch.lerp(F.interpolate(small, scale_factor=2), images, self.alpha)


class GrowingCriticBody(nn.Module):
    """Finds features in images of the present stage: (N, C, h, w) -> (N, F)."""

    def __init__(self, shape: Sequence[int], resolutions: Resolutions) -> None:
        super().__init__()
        self.stage = resolutions.doublings
        self.alpha = 1.0
        channels = resolutions.channels(self.stage + 1)
        self.images = nn.ModuleList(
            nn.Sequential(pointwise(shape[0], count), nn.LeakyReLU(SLOPE)) for count in channels
        )
        self.blocks = nn.ModuleList(
            nn.Sequential(*convolved(fine, fine), *convolved(fine, coarse), nn.AvgPool2d(2))
            for coarse, fine in pairwise(channels)
        )
        dense = nn.Linear(channels[0] * math.prod(resolutions.coarsest), channels[0])
        equalize(dense)
        self.end = nn.Sequential(
            *convolved(channels[0], channels[0]), nn.Flatten(), dense, nn.LeakyReLU(SLOPE)
        )

    def forward(self, images: Tensor) -> Tensor:
        """Return the features of each image."""
        maps = self.images[self.stage](images)
        if self.stage:
            maps = self.blocks[self.stage - 1](maps)
            if self.alpha < 1:
                small = self.images[self.stage - 1](F.avg_pool2d(images, 2))
                maps = torch.lerp(small, maps, self.alpha)
            for block in reversed(self.blocks[: self.stage - 1]):
                maps = block(maps)
        features: Tensor = self.end(maps)
        return features


class Staged(nn.Module):
    """A net whose body has stages and fades in the last one."""

    body: GrowingGeneratorBody | GrowingCriticBody

    @property
    def stage(self) -> int:
        """The block of the largest size that is in use, 0 to stages - 1."""
        return self.body.stage

    @stage.setter
    def stage(self, stage: int) -> None:
        self.body.stage = stage

    @property
    def alpha(self) -> float:
        """The share of that block, 0 to 1."""
        return self.body.alpha

    @alpha.setter
    def alpha(self, alpha: float) -> None:
        self.body.alpha = alpha


class GrowingGenerator(Staged, Generator):
    """A generator with stages; it starts at the last one.

    Args:
        config: Latent numbers, width at the finest size, output.
        shape: Of an image of the last stage, (C, H, W).
        first: Pixels of the first stage's shorter side.
        classes: How many there are; 0 for a generator without labels.

    Raises:
        ConfigError: Doubling the first size does not lead to the last one.
    """

    body: GrowingGeneratorBody

    def __init__(
        self, config: ModelConfig, shape: Sequence[int], *, first: int, classes: int = 0
    ) -> None:
        resolutions = growth(shape, first, config.width)
        body = GrowingGeneratorBody(inputs_of(config, classes), shape, resolutions)
        super().__init__(body, config, shape, classes)
        self.stages = resolutions.doublings + 1
        self.full_shape = tuple(shape)

    @property
    def stage(self) -> int:
        """Which block is the last, 0 to stages - 1; `shape` follows it."""
        return self.body.stage

    @stage.setter
    def stage(self, stage: int) -> None:
        self.body.stage = stage
        halvings = self.stages - 1 - stage
        channels, height, width = self.full_shape
        self.shape = (channels, height >> halvings, width >> halvings)


class GrowingCritic(Staged, Critic):
    """A discriminator with stages; it starts at the last one.

    Args:
        config: Width at the finest size, spectral norm.
        shape: Of an image of the last stage, (C, H, W).
        first: Pixels of the first stage's shorter side.
        classes: How many there are.
        condition: What is done with them, as in `Critic`.

    Raises:
        ConfigError: Doubling the first size does not lead to the last one.
    """

    body: GrowingCriticBody

    def __init__(
        self,
        config: ModelConfig,
        shape: Sequence[int],
        *,
        first: int,
        classes: int = 0,
        condition: Condition = "none",
    ) -> None:
        resolutions = growth(shape, first, config.width)
        body = GrowingCriticBody(shape, resolutions)
        width = resolutions.channels(resolutions.doublings + 1)[0]
        super().__init__(
            body, width, classes=classes, condition=condition, spectral=config.spectral
        )
        self.stages = resolutions.doublings + 1


def growth(shape: Sequence[int], first: int, width: int) -> Resolutions:
    """Return the maps from the first size to the last.

    Raises:
        ConfigError: Doubling the first size does not lead to the last one.
    """
    if len(shape) != 3:
        raise ConfigError(
            f"points of {shape[0]} numbers cannot grow", where="loop", hint="Set loop=adversarial."
        )
    side = min(shape[1:])
    doublings = max(0, (side // first).bit_length() - 1)
    if side != first << doublings or max(shape[1:]) % (1 << doublings):
        odd = side & -side
        fitting = [side // power for power in (1 << n for n in range(odd.bit_length()))]
        sizes = ", ".join(str(size) for size in fitting if size >= 4)
        raise ConfigError(
            f"{first} pixels do not double to {shape[1]} x {shape[2]}",
            where="growing.first",
            hint=f"Set it to one of {sizes}." if sizes else "Scale the images up first.",
        )
    coarsest = (shape[1] >> doublings, shape[2] >> doublings)
    return Resolutions(coarsest=coarsest, doublings=doublings, width=width)


def convolved(inputs: int, outputs: int, *after: nn.Module) -> list[nn.Module]:
    """Return a convolution of 3 x 3, a leaky ReLU, and what comes after."""
    layer = nn.Conv2d(inputs, outputs, 3, padding=1)
    equalize(layer)
    return [layer, nn.LeakyReLU(SLOPE), *after]


def pointwise(inputs: int, outputs: int) -> nn.Conv2d:
    """Return the linear step between channels and colours."""
    layer = nn.Conv2d(inputs, outputs, 1)
    equalize(layer, 1)
    return layer
