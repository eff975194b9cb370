"""Whether predicted similarities order or scale as the true ones: Spearman and Pearson.

Shapes: N samples.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Self

import torch
from torch import Tensor

from rondel.metric import SumMetric, check_shapes, zero


class Pearson(SumMetric):
    """Pearson's correlation (1895), from sums.

    Spreads are kept around the means and joined batch by batch (Chan, Golub & LeVeque, 1983).
    """

    def __init__(self) -> None:
        super().__init__(count=zero(), mean=zero(2), comoment=zero(2, 2))

    def update(self, predictions: Tensor, targets: Tensor) -> Self:
        """Add a batch: both (N,), any units."""
        pairs = _paired(predictions, targets)
        if pairs.shape[1]:
            mean = pairs.mean(1)
            deviations = pairs - mean[:, None]
            count = torch.full_like(mean[0], pairs.shape[1])
            self._join(count, mean, deviations @ deviations.T)
        return self

    def merge(self, state: Mapping[str, Any]) -> None:
        """Add the sums of another process."""
        self._join(state["count"], state["mean"], state["comoment"])

    def _join(self, count: Tensor, mean: Tensor, comoment: Tensor) -> None:
        ours = {name: tensor.to(mean.device) for name, tensor in self._sums.items()}
        weight = count / (ours["count"] + count).clamp(min=1)
        between = mean - ours["mean"]
        shift = torch.outer(between, between) * ours["count"] * weight
        self.add(count=count, mean=between * weight, comoment=comoment + shift)

    def compute(self) -> float:
        """Return the correlation; NaN if nothing was added, a side is constant or a value NaN."""
        comoment, spreads = self["comoment"], self["comoment"].diagonal()
        # a spread of nothing but rounding is that of a constant
        if (spreads <= self["count"] * (1e-14 * self["mean"]).square()).any():
            return math.nan
        return (comoment[0, 1] / spreads.sqrt().prod()).clamp(-1.0, 1.0).item()


class Spearman:
    """Spearman's correlation (1904): Pearson's of the ranks; ties share the mean of their ranks.

    Ranks need all values: keeps two floats per sample.
    """

    def __init__(self) -> None:
        self._pairs: list[Tensor] = []

    def update(self, predictions: Tensor, targets: Tensor) -> Self:
        """Add a batch: both (N,), any units."""
        self._pairs.append(_paired(predictions, targets))
        return self

    def merge(self, state: Mapping[str, Any]) -> None:
        """Add the values of another process."""
        self._pairs.append(state["pairs"])

    def state_dict(self) -> dict[str, Any]:
        """Return all pairs so far, (2, N), on the CPU."""
        return {"pairs": torch.cat([zero(2, 0), *(pairs.cpu() for pairs in self._pairs)], dim=1)}

    def compute(self) -> float:
        """Return the correlation; NaN if nothing was added, a side is constant or a value NaN."""
        pairs = self.state_dict()["pairs"]
        if pairs.isnan().any():
            return math.nan  # a NaN has no rank
        return Pearson().update(mean_ranks(pairs[0]), mean_ranks(pairs[1])).compute()


def mean_ranks(values: Tensor) -> Tensor:
    """Return the rank of each value from 1, (N,); equal values share the mean of their ranks."""
    _, group, sizes = torch.unique(values, return_inverse=True, return_counts=True)
    ranks: Tensor = sizes.cumsum(0).double() - (sizes - 1) / 2
    return ranks[group]


def _paired(predictions: Tensor, targets: Tensor) -> Tensor:
    check_shapes(predictions, targets)
    pairs = torch.stack([predictions.detach().double(), targets.detach().double()])
    return pairs.reshape(2, predictions.numel())
