"""The discriminator of image-to-image games: one score per patch, then their mean.

PatchGAN (Isola et al., 2017, section 3.2.2). The mean of the patches' scores is the score of their
mean features, for the last layer is linear and looks at single positions. Nothing is normalised.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from rondel_gan.models.weights import SLOPE, start_normal

FINE = 64
"""Pixels from which patches are 46 pixels wide; in smaller images they are 22."""


class Mean(nn.Module):
    """The mean over all positions: (N, C, H, W) -> (N, C)."""

    def forward(self, maps: Tensor) -> Tensor:
        """Return one number per channel."""
        return maps.mean(dim=(2, 3))


def critic_body(width: int, shape: Sequence[int]) -> tuple[nn.Module, int]:
    """Return the net (N, C, H, W) -> (N, F), the mean features of the patches, and F.

    Args:
        width: Channels of the first layer; they double from layer to layer.
        shape: Of what is judged, (C, H, W); of a pair, with the channels of both.
    """
    strided = 3 if min(shape[1:]) >= FINE else 2
    channels = [shape[0], *(width << step for step in range(strided + 1))]
    layers: list[nn.Module] = []
    for step, (inputs, outputs) in enumerate(pairwise(channels)):
        convolution = nn.Conv2d(inputs, outputs, 4, 2 if step < strided else 1, 1)
        start_normal(convolution)
        layers += [convolution, nn.LeakyReLU(SLOPE)]
    return nn.Sequential(*layers, Mean()), channels[-1]
