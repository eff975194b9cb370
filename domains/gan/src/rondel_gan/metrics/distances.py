"""Euclidean distances between rows of features, block by block.

All 10,000 x 10,000 of them at once are 800 MB, and often twice that; a block is at most 32 MB.
Shapes: first (N, F), second (M, F), in float64.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

ENTRIES = 1 << 22
"""Distances in a block."""


def distance_blocks(first: Tensor, second: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Yield rows of ``first`` with their distances to all of ``second``, (rows, M)."""
    rows = max(1, ENTRIES // len(second))
    for start in range(0, len(first), rows):
        piece = slice(start, start + rows)
        yield piece, torch.cdist(first[piece], second)


def nearest(queries: Tensor, references: Tensor) -> tuple[Tensor, Tensor]:
    """Return the distance of each query to its nearest reference, and the index of that one.

    Args:
        queries: (N, F).
        references: (M, F).

    Returns:
        (N,) distances and (N,) indices.
    """
    found = [block.min(dim=1) for _, block in distance_blocks(queries, references)]
    return torch.cat([one.values for one in found]), torch.cat([one.indices for one in found])


def mean_distance(features: Tensor) -> float:
    """Return the mean distance of two different rows."""
    total = sum(float(block.sum()) for _, block in distance_blocks(features, features))
    return total / (len(features) * (len(features) - 1))
