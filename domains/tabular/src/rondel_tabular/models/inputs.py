"""Numbers and categories side by side, as the features that the first layer reads.

Shapes: ``...`` any leading axes, P numbers, K categories, D features.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import torch
from torch import Tensor, nn


class Categories(nn.Module):
    """One-hot features of categories with few levels, embeddings of the others.

    Args:
        levels: How many levels each category has, 'unknown' included; K entries.
        one_hot: Most levels of a one-hot category.
        width: Features of an embedding.
    """

    large: Tensor  # the places of the embedded categories
    first_levels: Tensor  # where each of them begins in the one table

    def __init__(self, levels: Sequence[int], *, one_hot: int, width: int) -> None:
        super().__init__()
        self.small = [(place, size) for place, size in enumerate(levels) if size <= one_hot]
        large = [place for place, size in enumerate(levels) if size > one_hot]
        sizes = [levels[place] for place in large]
        # one table for all columns: one lookup instead of many
        self.embed = nn.Embedding(sum(sizes), width) if sizes else None
        if self.embed is not None:
            nn.init.uniform_(self.embed.weight, -(width**-0.5), width**-0.5)
        starts = torch.tensor([0, *accumulate(sizes)][: len(sizes)], dtype=torch.int64)
        self.register_buffer("first_levels", starts, persistent=False)
        self.register_buffer("large", torch.tensor(large, dtype=torch.int64), persistent=False)
        self.widths = [size for _, size in self.small] + [width] * len(large)

    def forward(self, levels: Tensor) -> list[Tensor]:  # (..., K) -> (..., features) each
        """Return the features of the small ones, each, then those of all others."""
        found = [
            (levels[..., place, None] == torch.arange(size, device=levels.device)).float()
            for place, size in self.small
        ]
        if self.embed is not None:
            embedded = self.embed(levels[..., self.large].long() + self.first_levels)
            found.append(embedded.flatten(-2))
        return found


class Inputs(nn.Module):
    """All features of a row.

    Args:
        numbers: What numbers become; None where there are none.
        categories: What categories become; None where there are none.
    """

    def __init__(self, numbers: nn.Module | None, categories: Categories | None) -> None:
        super().__init__()
        self.numbers, self.categories = numbers, categories
        parts = [part for part in (numbers, categories) if part is not None]
        self.widths: list[int] = [width for part in parts for width in part.widths]  # type: ignore[union-attr]

    @property
    def width(self) -> int:
        """D, the number of features."""
        return sum(self.widths)

    def forward(
        self,
        numbers: Tensor,  # (..., P)
        levels: Tensor,  # (..., K) 0 is 'unknown'
    ) -> Tensor:  # (..., D)
        """Return the features, those of numbers first."""
        parts = [] if self.numbers is None else [self.numbers(numbers)]
        if self.categories is not None:
            parts += self.categories(levels)
        return torch.cat(parts, dim=-1) if len(parts) > 1 else parts[0]
