"""Bodies of DCGAN (Radford, Metz and Chintala, 2016): strided convolutions of 4 x 4, no pooling.

The generator normalises by batch as in the paper. The discriminator does not: its score of an image
would depend on the others, which penalties on gradients and pieces of a batch must rule out.
``depth`` has no meaning here, a size has one layer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from torch import nn

from rondel_gan.config import ModelConfig
from rondel_gan.models.resolutions import resolutions_of
from rondel_gan.models.weights import SLOPE, start_normal

DEVIATION = 0.02
"""Of the generator's first weights (section 4)."""


def generator_body(config: ModelConfig, inputs: int, shape: Sequence[int]) -> nn.Module:
    """Return the net (N, inputs) -> (N, C, H, W).

    Raises:
        ConfigError: Images of this size cannot be halved down to 4 to 7 pixels.
    """
    resolutions = resolutions_of("dcgan", shape, config.width)
    channels = resolutions.channels(resolutions.doublings)
    first = (channels[0], *resolutions.coarsest)
    layers: list[nn.Module] = [
        nn.Linear(inputs, math.prod(first), bias=False),
        nn.Unflatten(1, first),
        *normalized(channels[0]),
    ]
    for coarse, fine in pairwise(channels):
        layers += [nn.ConvTranspose2d(coarse, fine, 4, 2, 1, bias=False), *normalized(fine)]
    layers.append(nn.ConvTranspose2d(channels[-1], shape[0], 4, 2, 1))
    body = nn.Sequential(*layers)
    body.apply(start_small)
    return body


def critic_body(config: ModelConfig, shape: Sequence[int]) -> tuple[nn.Module, int]:
    """Return the net (N, C, H, W) -> (N, F), its coarsest map laid flat, and F.

    Raises:
        ConfigError: Images of this size cannot be halved down to 4 to 7 pixels.
    """
    resolutions = resolutions_of("dcgan", shape, config.width)
    channels = [shape[0], *reversed(resolutions.channels(resolutions.doublings))]
    layers: list[nn.Module] = []
    for fine, coarse in pairwise(channels):
        convolution = nn.Conv2d(fine, coarse, 4, 2, 1)
        start_normal(convolution)
        layers += [convolution, nn.LeakyReLU(SLOPE)]
    return nn.Sequential(*layers, nn.Flatten()), channels[-1] * math.prod(resolutions.coarsest)


def normalized(channels: int) -> list[nn.Module]:
    """Return normalisation by batch and a ReLU."""
    return [nn.BatchNorm2d(channels), nn.ReLU()]


def start_small(layer: nn.Module) -> None:
    """Draw the weights of a layer with deviation 0.02, scales of a normalisation around 1."""
    if isinstance(layer, nn.Linear | nn.ConvTranspose2d):
        nn.init.normal_(layer.weight, 0, DEVIATION)
    elif isinstance(layer, nn.BatchNorm2d):
        nn.init.normal_(layer.weight, 1, DEVIATION)
    if isinstance(layer, nn.ConvTranspose2d) and layer.bias is not None:
        nn.init.zeros_(layer.bias)
