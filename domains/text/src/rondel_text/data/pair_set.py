"""Encoded pairs of texts, each of them a text of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from rondel_text.data.text_set import TextSet


@dataclass(frozen=True, eq=False)
class PairSet(TextSet):
    """Pairs for `rondel.Stream`: ``encoded`` holds N first texts, then their N partners."""

    def __len__(self) -> int:
        """Return N."""
        return len(self.encoded) // 2

    @property
    def lengths(self) -> Tensor:
        """(N,) int64 tokens of the longer text of each pair."""
        return self.encoded.ids.lengths.view(2, -1).amax(0)

    def batch_of(self, indices: Tensor) -> tuple[Any, ...]:
        """Return a batch: the first texts, their partners, then each target."""
        texts = [self.encoded.texts(indices + start) for start in (0, len(self))]
        targets = [target[indices] for target in self.targets if isinstance(target, Tensor)]
        return (*texts, *targets)


def keys_of(texts: list[str]) -> Tensor:
    """Return (N,) int64 numbers, equal for texts that differ in blanks or capitals alone."""
    seen: dict[str, int] = {}
    return torch.tensor(
        [seen.setdefault(" ".join(text.lower().split()), len(seen)) for text in texts]
    )
