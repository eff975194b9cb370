"""Generator and discriminator as perceptrons, for small images.

Shapes: N samples, Z latent numbers, images (N, C, H, W).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor, nn

from rondel_gan.config import ModelConfig

SLOPE = 0.2
"""Of the leaky ReLU below zero, as in DCGAN (Radford, Metz and Chintala, 2016)."""


class Generator(nn.Module):
    """Makes images of noise: (N, Z) -> (N, C, H, W), in [-1, 1] if it ends in tanh."""

    def __init__(self, config: ModelConfig, shape: Sequence[int]) -> None:
        super().__init__()
        self.latent = config.latent
        self.shape = tuple(shape)
        self.layers = perceptron(config, config.latent, math.prod(shape))
        self.squash = nn.Tanh() if config.output == "tanh" else nn.Identity()

    def forward(self, noise: Tensor) -> Tensor:
        """Make one image of each row of noise."""
        images: Tensor = self.squash(self.layers(noise))
        return images.reshape(-1, *self.shape)


class Discriminator(nn.Module):
    """Scores images, higher for real: (N, C, H, W) -> (N,) logits."""

    def __init__(self, config: ModelConfig, shape: Sequence[int]) -> None:
        super().__init__()
        self.layers = perceptron(config, math.prod(shape), 1)

    def forward(self, images: Tensor) -> Tensor:
        """Score each image."""
        scores: Tensor = self.layers(images.flatten(1))
        return scores.squeeze(1)


def perceptron(config: ModelConfig, inputs: int, outputs: int) -> nn.Sequential:
    """Return ``depth`` hidden layers with leaky ReLU, and a linear one."""
    layers: list[nn.Module] = []
    for size in [inputs, *[config.width] * (config.depth - 1)]:
        layers += [nn.Linear(size, config.width), nn.LeakyReLU(SLOPE)]
    return nn.Sequential(*layers, nn.Linear(config.width, outputs))
