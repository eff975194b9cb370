"""How the weights of the nets start, and how they are bounded or scaled while they learn."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import spectral_norm

SLOPE = 0.2
"""Of the leaky ReLU below zero, as in DCGAN (Radford, Metz and Chintala, 2016)."""
GAIN = math.sqrt(2 / (1 + SLOPE**2))
"""Keeps the size of numbers through a linear layer and a leaky ReLU (He et al., 2015)."""


class Scaled(nn.Module):
    """A weight as what is learnt times a constant."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, weight: Tensor) -> Tensor:
        """Return the weight that the layer computes with."""
        return weight * self.factor


@torch.no_grad()
def start_normal(layer: nn.Linear | nn.Conv2d, gain: float = GAIN) -> None:
    """Draw the weight with deviation gain / sqrt(inputs), and set the bias to 0.

    With the default gain numbers keep their size through the layer and a leaky ReLU after it.
    """
    layer.weight.normal_(0, gain / math.sqrt(layer.weight[0].numel()))
    if layer.bias is not None:
        layer.bias.zero_()


@torch.no_grad()
def equalize(layer: nn.Linear | nn.Conv2d, gain: float = GAIN) -> None:
    """Learn a weight of deviation 1, and scale it when it is used: Adam moves all layers alike.

    The equalized learning rate of Karras et al. (2018), section 4.1.
    """
    factor = gain / math.sqrt(layer.weight[0].numel())
    layer.weight.normal_()
    if layer.bias is not None:
        layer.bias.zero_()
    parametrize.register_parametrization(layer, "weight", Scaled(factor))


def bound(net: nn.Module) -> None:
    """Divide every weight matrix of a net by its largest singular value, found by iteration.

    Spectral normalisation (Miyato et al., 2018); embeddings of classes are bounded too, as in the
    projection discriminator's own code.
    """
    for layer in list(net.modules()):
        if isinstance(layer, nn.Linear | nn.Conv2d | nn.Embedding):
            spectral_norm(layer)
