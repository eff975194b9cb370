"""Encoded texts with what is to be learnt of them, in memory: whole batches are cut from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from rondel_text.data.batch import IGNORED
from rondel_text.data.ragged import Ragged
from rondel_text.data.rows import Rows
from rondel_text.tokenizers import Encoded


@dataclass(frozen=True, eq=False)
class TextSet:
    """A data set for `rondel.Stream`, which makes its batches itself.

    Args:
        encoded: The texts.
        rows: Where each of them came from.
        targets: For each text a number or a row of numbers (N, ...), or one for each token.
    """

    encoded: Encoded
    rows: Rows
    targets: tuple[Tensor | Ragged, ...] = ()

    def __len__(self) -> int:
        """Return the number of texts."""
        return len(self.encoded)

    @property
    def lengths(self) -> Tensor:
        """(N,) int64 tokens of each text."""
        return self.encoded.ids.lengths

    def batch_of(self, indices: Tensor) -> tuple[Any, ...]:
        """Return a batch: the texts, then each target."""
        targets = [
            target.padded(indices, IGNORED)[0] if isinstance(target, Ragged) else target[indices]
            for target in self.targets
        ]
        return (self.encoded.texts(indices), *targets)

    def describe(self, index: int) -> str:
        """Say which row a text is."""
        return self.rows.where(index)
