"""Batches in which every member of an ensemble has rows of its own, and passes as long as needed.

Shapes: N rows, k members, B rows of a batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from rondel.batcher import Batcher, cut, order


@dataclass(frozen=True)
class OwnRows:
    """Batches of B rows for each of k members, each in an order of its own.

    Args:
        members: k.
        batch_size: B.
        rows: Which rows each member learns from, for members that do not learn from all; the
            members of one entry are neighbours. Shorter ones begin again, so that all end together.
    """

    members: int
    batch_size: int
    rows: Sequence[Tensor] = ()

    def plan(self, size: int, generator: torch.Generator | None) -> Sequence[Tensor]:
        """Return the batches of a pass as row indices (B, k)."""
        if not self.rows:
            found = torch.empty(size, self.members, dtype=torch.int64)
            for member in found.T:
                member[:] = order(size, generator)
            return cut(found, self.batch_size)
        longest = max(map(len, self.rows))
        orders = []
        for rows in self.rows:
            for _ in range(self.members // len(self.rows)):
                mine = rows[order(len(rows), generator)]
                orders.append(torch.cat([mine, mine[: longest - len(mine)]]))
        return cut(torch.stack(orders, dim=1), self.batch_size)


@dataclass(frozen=True)
class Repeated:
    """The batches of several passes, as one.

    Args:
        batcher: Makes the batches of one.
        times: How many.
    """

    batcher: Batcher
    times: int

    def plan(self, size: int, generator: torch.Generator | None) -> Sequence[Tensor]:
        """Return the batches of all passes, each in an order of its own."""
        passes = (self.batcher.plan(size, generator) for _ in range(self.times))
        return [batch for batches in passes for batch in batches]
