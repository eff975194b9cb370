"""Bodies of perceptrons, for points and small images."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import nn

from rondel_gan.config import ModelConfig


def generator_body(config: ModelConfig, inputs: int, shape: Sequence[int]) -> nn.Module:
    """Return the net (N, inputs) -> (N, *shape): hidden layers and a linear one."""
    layers = hidden_layers(config, inputs)
    output = nn.Linear(config.width, math.prod(shape))
    return nn.Sequential(*layers, output, nn.Unflatten(1, tuple(shape)))


def critic_body(config: ModelConfig, shape: Sequence[int]) -> tuple[nn.Module, int]:
    """Return the net (N, *shape) -> (N, width) of hidden layers, and its width."""
    layers = hidden_layers(config, math.prod(shape))
    return nn.Sequential(nn.Flatten(), *layers), config.width


def hidden_layers(config: ModelConfig, inputs: int) -> list[nn.Module]:
    """Return ``depth`` linear layers, each with a leaky ReLU."""
    layers: list[nn.Module] = []
    for size in [inputs, *[config.width] * (config.depth - 1)]:
        layers += [nn.Linear(size, config.width), nn.LeakyReLU(config.slope)]
    return layers
