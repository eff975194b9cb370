"""What a number becomes before the first layer (Gorishniy et al., 2022).

Shapes: ``...`` any leading axes, P numbers, T bins of the one with the most, E features each.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn


class PlainNumbers(nn.Module):
    """Numbers as they are."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.widths = [1] * count

    def forward(self, numbers: Tensor) -> Tensor:  # (..., P) -> (..., P)
        """Return the numbers."""
        return numbers


class PiecewiseNumbers(nn.Module):
    """A linear function of each number, plus one that bends at the edges of its bins.

    The piecewise-linear encoding of section 3.1 tells how far a number reaches into each bin, 0 to
    1; a linear map of its own for each number follows. That part starts at zero, so that training
    begins with the linear one.

    Args:
        edges: Of each number, in ascending order, at least two.
        width: E.
    """

    lower: Tensor  # (P, T)
    slope: Tensor  # (P, T) one over the width of a bin, 0 where a number has fewer

    def __init__(self, edges: Sequence[Sequence[float]], width: int) -> None:
        super().__init__()
        bins = max(map(len, edges)) - 1
        lower, slope = torch.zeros(2, len(edges), bins)
        for row, values in enumerate(edges):
            ends = torch.tensor(values, dtype=torch.float64)
            lower[row, : len(ends) - 1] = ends[:-1]
            slope[row, : len(ends) - 1] = 1 / ends.diff()
        self.register_buffer("lower", lower, persistent=False)
        self.register_buffer("slope", slope, persistent=False)
        self.widths = [width] * len(edges)
        self.weight = nn.Parameter(torch.empty(len(edges), width))
        self.bias = nn.Parameter(torch.empty(len(edges), width))
        self.bend = nn.Parameter(torch.zeros(len(edges), bins, width))
        for parameter in (self.weight, self.bias):
            nn.init.uniform_(parameter, -(width**-0.5), width**-0.5)

    def forward(self, numbers: Tensor) -> Tensor:  # (..., P) -> (..., P * E)
        """Return the features of each number, side by side."""
        rows = numbers.flatten(0, -2).unsqueeze(-1)  # (R, P, 1)
        reach = ((rows - self.lower) * self.slope).clamp(0, 1)  # (R, P, T)
        bent = torch.bmm(reach.transpose(0, 1), self.bend).transpose(0, 1)  # (R, P, E)
        features = torch.addcmul(self.bias, rows, self.weight) + bent
        return features.reshape(*numbers.shape[:-1], -1)


class PeriodicNumbers(nn.Module):
    """Sines and cosines of each number, a linear map and ReLU (section 3.2: PLR).

    Args:
        count: P.
        width: E.
        frequency: Standard deviation of the frequencies at the start.
        waves: Frequencies of each number.
    """

    def __init__(self, count: int, width: int, *, frequency: float, waves: int = 16) -> None:
        super().__init__()
        self.widths = [width] * count
        self.frequencies = nn.Parameter(frequency * torch.randn(count, waves))
        bound = (2 * waves) ** -0.5
        self.weight = nn.Parameter(torch.empty(count, 2 * waves, width).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(count, width).uniform_(-bound, bound))

    def forward(self, numbers: Tensor) -> Tensor:  # (..., P) -> (..., P * E)
        """Return the features of each number, side by side."""
        rows = numbers.flatten(0, -2).unsqueeze(-1)  # (R, P, 1)
        angles = 2 * math.pi * rows * self.frequencies
        waves = torch.cat([angles.sin(), angles.cos()], dim=-1)  # (R, P, 2 * waves)
        mixed = torch.bmm(waves.transpose(0, 1), self.weight).transpose(0, 1) + self.bias
        return mixed.relu().reshape(*numbers.shape[:-1], -1)
