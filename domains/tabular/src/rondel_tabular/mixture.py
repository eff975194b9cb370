"""Several models that speak together: weights by hill climbing, and what they say with them.

Shapes: N rows, O outputs: log-probabilities of C classes, or one standardised number.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from rondel_tabular.data.target import Target
from rondel_tabular.losses import ROW_LOSSES

NETWORKS = "networks"
"""The name of the networks among models."""


def climb(
    target: Target,
    said: Mapping[str, Tensor],  # (N, O) of each model
    values: Tensor,  # (N,)
    weights: Tensor,  # (N,)
    *,
    steps: int,
) -> dict[str, float]:
    """Return the weights of models that say rows best together, which sum to 1.

    Ensemble selection with replacement (Caruana et al., 2004): begin with the best model, then add
    whichever makes the mean better most, as long as one does, at most ``steps`` in all. The rows
    must be such that no model has seen its own.
    """
    names = list(said)
    shares = torch.stack([shares_of(target, said[name].double()) for name in names])  # (J, N, O)

    expanded = values.double().expand(len(names), -1)

    def losses(sums: Tensor, count: int) -> Tensor:  # (J, N, O) -> (J,)
        each = ROW_LOSSES[target.head](target, outputs_of(target, sums / count), expanded)
        return (each * weights.double()).sum(1)

    chosen: list[int] = []
    total, best = torch.zeros_like(shares[0]), float("inf")
    for _ in range(steps):
        found = losses(total + shares, len(chosen) + 1)
        place = int(found.argmin())
        if not float(found[place]) < best:
            break
        best = float(found[place])
        chosen.append(place)
        total = total + shares[place]
    return {name: chosen.count(place) / len(chosen) for place, name in enumerate(names)}


def mixed(target: Target, said: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor:
    """Return what models say together: the weighted mean of probabilities, or of numbers."""
    parts = [shares_of(target, said[name].double()) * weight for name, weight in weights.items()]
    return outputs_of(target, torch.stack(parts).sum(0))


def shares_of(target: Target, outputs: Tensor) -> Tensor:
    """Return what can be averaged: probabilities, or numbers as they are."""
    return outputs.softmax(-1) if target.labels else outputs


def outputs_of(target: Target, shares: Tensor) -> Tensor:
    """Return averages as the outputs of a model: log-probabilities, or numbers as they are."""
    return shares.clamp(min=1e-15).log() if target.labels else shares
