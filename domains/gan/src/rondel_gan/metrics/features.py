"""What every measure asks of the features that it is given. Shapes: features (N, F)."""

from __future__ import annotations

import torch
from torch import Tensor

from rondel.errors import UsageError

FEWEST = 2
"""Rows: below it there is neither a covariance nor a distance within a set."""


def comparable(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Return two sets of features in float64.

    Raises:
        UsageError: They are of different widths, too few, or not finite.
    """
    first, second = checked(first), checked(second)
    if first.shape[1] != second.shape[1]:
        raise UsageError(
            f"sets of {first.shape[1]} and of {second.shape[1]} features cannot be compared",
            hint="Take both from the same extractor.",
        )
    return first, second


def checked(features: Tensor) -> Tensor:
    """Return features in float64.

    Raises:
        UsageError: They are no rows, too few, or not finite.
    """
    if features.ndim != 2:
        raise UsageError(
            f"features of shape {tuple(features.shape)} are no rows", hint="Give (N, F)."
        )
    if len(features) < FEWEST:
        raise UsageError(
            f"{len(features)} rows of features are too few", hint=f"Give at least {FEWEST}."
        )
    bad = ~torch.isfinite(features).all(dim=1)
    if bad.any():
        raise UsageError(
            f"{int(bad.sum())} rows of features are not finite, the first is row "
            f"{int(bad.nonzero()[0])}",
            hint="Look at the samples: the generator or the extractor has diverged.",
        )
    return features.double()


def evenly(rows: Tensor, size: int) -> Tensor:
    """Return ``size`` rows from all over the set, which may be sorted by class."""
    return rows[torch.arange(size) * len(rows) // size]
