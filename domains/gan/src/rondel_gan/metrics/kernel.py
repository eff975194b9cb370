"""The kernel distance of two sets of features (KID; Binkowski et al., 2018).

The squared maximum mean discrepancy under the kernel ``(x . y / F + 1)^3`` (section 4 there), by
its unbiased estimate: it has no bias in the number of samples, and may fall below zero where both
sets are alike. Shapes: features (N, F).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from rondel import keyed
from rondel.errors import UsageError
from rondel_gan.metrics.features import comparable

SUBSETS = 100
SIZE = 1000


@dataclass(frozen=True)
class KernelDistance:
    """Mean and deviation over the subsets; subsets overlap, so it is no standard error."""

    mean: float
    deviation: float


def kernel_distance(
    real: Tensor, fake: Tensor, *, subsets: int = SUBSETS, size: int = SIZE, seed: int = 0
) -> KernelDistance:
    """Return the kernel distance over random subsets of both sets.

    Args:
        real: (N, F) features of real images.
        fake: (M, F) features of samples.
        subsets: How many are drawn.
        size: Rows of a subset, drawn without replacement.
        seed: Of the draws.

    Raises:
        UsageError: A set is smaller than a subset, or the features cannot be compared.
    """
    real, fake = comparable(real, fake)
    smaller = min(len(real), len(fake))
    if not 2 <= size <= smaller:
        raise UsageError(
            f"subsets of {size} rows cannot be drawn from sets of {len(real)} and {len(fake)}",
            hint=f"Take a size from 2 to {smaller}.",
        )
    found = []
    for number in range(subsets):
        draw = keyed.generator("kernel distance", seed, number)
        rows = (torch.randperm(len(set_), generator=draw)[:size] for set_ in (real, fake))
        found.append(unbiased_discrepancy(real[next(rows)], fake[next(rows)]))
    values = torch.tensor(found, dtype=torch.float64)
    return KernelDistance(float(values.mean()), float(values.std(correction=0)))


def unbiased_discrepancy(first: Tensor, second: Tensor) -> float:
    """Return the unbiased estimate of the squared discrepancy (Gretton et al., 2012, lemma 6)."""
    within = mean_between_rows(first) + mean_between_rows(second)
    return within - 2 * float(kernel(first, second).mean())


def mean_between_rows(features: Tensor) -> float:
    """Return the mean of the kernel over two different rows."""
    values = kernel(features, features)
    count = len(features)
    return float((values.sum() - values.trace()) / (count * (count - 1)))


def kernel(first: Tensor, second: Tensor) -> Tensor:
    """Return the kernel of all rows with all rows, (N, M)."""
    base = torch.addmm(first.new_ones(()), first, second.T, alpha=1 / first.shape[1])
    return base * base * base
