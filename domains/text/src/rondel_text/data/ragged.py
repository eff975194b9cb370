"""Sequences of different lengths, end to end in one tensor.

Letters: N sequences, T items of all of them, B chosen ones, L items of the longest chosen one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Self

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Ragged:
    """Sequences of different lengths.

    Args:
        flat: (T, ...) the items, sequence after sequence.
        ends: (N,) int64, where each sequence ends.
    """

    flat: Tensor
    ends: Tensor

    @classmethod
    def of(cls, sequences: Sequence[Sequence[int]]) -> Self:
        """Put lists of numbers end to end."""
        lengths = torch.tensor([len(sequence) for sequence in sequences], dtype=torch.int64)
        flat = torch.tensor(list(chain.from_iterable(sequences)), dtype=torch.int64)
        return cls(flat, lengths.cumsum(0))

    @classmethod
    def join(cls, pieces: Iterable[Tensor]) -> Self:
        """Put tensors end to end."""
        kept = list(pieces)
        lengths = torch.tensor([len(piece) for piece in kept], dtype=torch.int64)
        flat = torch.cat(kept) if kept else torch.zeros(0, dtype=torch.int64)
        return cls(flat, lengths.cumsum(0))

    def __len__(self) -> int:
        """Return N."""
        return len(self.ends)

    def __getitem__(self, index: int) -> Tensor:
        """Return one sequence."""
        return self.flat[int(self.starts[index]) : int(self.ends[index])]

    @cached_property
    def lengths(self) -> Tensor:
        """(N,) int64."""
        return self.ends.diff(prepend=self.ends.new_zeros(1))

    @cached_property
    def starts(self) -> Tensor:
        """(N,) int64, where each sequence starts."""
        return self.ends - self.lengths

    def padded(self, indices: Tensor, fill: int = 0) -> tuple[Tensor, Tensor]:
        """Return some sequences, one below the other.

        Args:
            indices: (B,) which.
            fill: Stands behind the end of a sequence.

        Returns:
            (B, L, ...) items and (B,) int64 lengths. L is at least 1.
        """
        lengths = self.lengths[indices]
        longest = max(1, int(lengths.max())) if len(lengths) else 1
        place = torch.arange(longest)
        taken = (self.starts[indices][:, None] + place).clamp(max=max(0, len(self.flat) - 1))
        beyond = place >= lengths[:, None]
        if not len(self.flat):
            shape = (len(indices), longest, *self.flat.shape[1:])
            return self.flat.new_full(shape, fill), lengths
        rows = self.flat[taken]
        beyond = beyond.reshape(*beyond.shape, *[1] * (rows.ndim - 2))
        return rows.masked_fill(beyond, fill), lengths
