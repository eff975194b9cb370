"""Cells replaced by those of other rows, and what tells them from the original.

Shapes: N rows of the pool, B rows of a batch, F columns, P numbers, K categories, W hidden features.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rondel_tabular.data.schema import Schema


class Swap:
    """Replaces whole cells of a table: all features of a column come from the same other row.

    Args:
        schema: Tells which features belong to a column.
        numbers: (N, P) of the pool that cells are taken from.
        levels: (N, K) of it.
        share: Of the cells that are replaced.
    """

    def __init__(self, schema: Schema, numbers: Tensor, levels: Tensor, share: float) -> None:
        self.share, self.rows = share, len(numbers)
        self.numbers, self.levels = numbers, levels
        widths = [
            0 if column.kind == "category" else len(column.parts) + column.optional
            for column in schema.columns
        ]
        categories = [place for place, c in enumerate(schema.columns) if c.kind == "category"]
        self.columns = len(schema.columns)
        self.column_of_number = torch.arange(self.columns).repeat_interleave(torch.tensor(widths))
        self.column_of_level = torch.tensor(categories, dtype=torch.int64)

    def draw(self, size: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw which cells of a batch are replaced (size, F), and the rows they come from."""
        shape = (size, self.columns)
        replaced = torch.rand(shape, generator=generator) < self.share
        return replaced, torch.randint(self.rows, shape, generator=generator)

    def __call__(
        self,
        numbers: Tensor,  # (B, P)
        levels: Tensor,  # (B, K)
        replaced: Tensor,  # (B, F)
        donors: Tensor,  # (B, F)
    ) -> tuple[Tensor, Tensor]:
        """Return the rows with some of their cells replaced."""
        self._place(numbers.device)
        mine, others = self.column_of_number, self.column_of_level
        given = self.numbers[donors[:, mine], torch.arange(len(mine), device=numbers.device)]
        more = self.levels[donors[:, others], torch.arange(len(others), device=numbers.device)]
        return (
            torch.where(replaced[:, mine], given, numbers),
            torch.where(replaced[:, others], more, levels),
        )

    def _place(self, device: torch.device) -> None:
        """Move the pool to a device, once."""
        if self.numbers.device != device:
            self.numbers, self.levels = self.numbers.to(device), self.levels.to(device)
            self.column_of_number = self.column_of_number.to(device)
            self.column_of_level = self.column_of_level.to(device)


class Restorer(nn.Module):
    """Says what the cells of a row were: numbers as they are scaled, categories by logits.

    Args:
        schema: What is to be restored.
        width: W.
    """

    missing: Tensor  # (P,) for each number the place of its indicator, -1 if it has none

    def __init__(self, schema: Schema, width: int) -> None:
        super().__init__()
        self.numbers, self.sizes = schema.numbers, list(schema.levels)
        self.read = nn.Linear(width, self.numbers + sum(self.sizes))
        self.register_buffer("missing", indicators(schema), persistent=False)

    def forward(
        self,
        hidden: Tensor,  # (B, W)
        numbers: Tensor,  # (B, P) as they were
        levels: Tensor,  # (B, K) as they were
    ) -> Tensor:  # (B,)
        """Return how far each row is from being restored, as a mean over its features.

        Of a number the squared error, where there was one; of a category the cross-entropy over
        that of a guess, log(levels).
        """
        said, *logits = torch.split(self.read(hidden), [self.numbers, *self.sizes], dim=1)
        known = torch.where(self.missing >= 0, 1 - numbers[:, self.missing], 1.0)
        total = ((said - numbers).square() * known).sum(1)
        for place, (mine, size) in enumerate(zip(logits, self.sizes, strict=True)):
            entropy = F.cross_entropy(mine, levels[:, place].long(), reduction="none")
            total = total + entropy / math.log(size)
        return total / (self.numbers + len(self.sizes))


def indicators(schema: Schema) -> Tensor:
    """Return for each number the place of the feature that says it is missing, or -1."""
    places: list[int] = []
    for column in schema.columns:
        if column.kind == "category":
            continue
        after = len(places) + len(column.parts)
        places += [after if column.optional else -1] * len(column.parts)
        places += [-1] if column.optional else []
    return torch.tensor(places, dtype=torch.int64)


class Projector(nn.Module):
    """Two layers above the hidden features, whose outputs are compared (Bahri et al., 2022)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width))

    def forward(self, hidden: Tensor) -> Tensor:  # (B, W) -> (B, W)
        """Return features of length 1."""
        return F.normalize(self.layers(hidden), dim=1)


def contrast(one: Tensor, other: Tensor, temperature: float) -> Tensor:  # (B, W) twice -> (B,)
    """Return how badly each row finds its own other view among those of the batch (InfoNCE)."""
    cosines = one @ other.T / temperature
    own = torch.arange(len(one), device=one.device)
    return F.cross_entropy(cosines, own, reduction="none")
