"""Encoded texts with what is to be learnt of them, in memory: whole batches are cut from it."""

from __future__ import annotations

from collections.abc import Sequence
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
        targets: For each text a number or a row of numbers (N, ...), or one for each token; or a
            text, or anything else that travels as a list.
        notes: What of the rows is not in it, a sentence each, for the user to see.
    """

    encoded: Encoded
    rows: Rows
    targets: tuple[Tensor | Ragged | Sequence[Any], ...] = ()
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        """Return the number of texts."""
        return len(self.encoded)

    @property
    def size(self) -> str:
        """Say how many texts there are; of windows of contexts, how many questions as well."""
        sources = self.encoded.sources
        if sources is None:
            return f"{len(self):,} texts"
        return f"{len(set(sources.tolist())):,} questions in {len(self):,} windows"

    @property
    def lengths(self) -> Tensor:
        """(N,) int64 tokens of each text."""
        return self.encoded.ids.lengths

    def batch_of(self, indices: Tensor) -> tuple[Any, ...]:
        """Return a batch: the texts, then each target."""
        targets = (rows_of(target, indices) for target in self.targets)
        return (self.encoded.texts(indices), *targets)

    def describe(self, index: int) -> str:
        """Say which row a text is."""
        return self.rows.where(index)


def rows_of(target: Tensor | Ragged | Sequence[Any], indices: Tensor) -> Tensor | list[Any]:
    """Return the targets of some texts, those of tokens padded."""
    if isinstance(target, Ragged):
        return target.padded(indices, IGNORED)[0]
    if isinstance(target, Tensor):
        return target[indices]
    return [target[index] for index in indices.tolist()]
