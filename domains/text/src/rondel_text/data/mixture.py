"""Several data sets as one, of which every batch holds texts of one alone.

Letters: N texts of all sets, B of a batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor

from rondel.batcher import Batcher, order
from rondel_text.data.text_set import TextSet


@dataclass(frozen=True, eq=False)
class Mixture:
    """Data sets end to end: a data set for `rondel.Stream`, with `MixedBatches`.

    Args:
        sets: The sets by name.
    """

    sets: Mapping[str, TextSet]

    def __len__(self) -> int:
        """Return N."""
        return sum(map(len, self.sets.values()))

    @cached_property
    def starts(self) -> tuple[int, ...]:
        """Where each set starts."""
        return tuple(accumulate(map(len, self.sets.values()), initial=0))[:-1]

    @cached_property
    def lengths(self) -> Tensor:
        """(N,) int64 tokens of each text."""
        return torch.cat([texts.lengths for texts in self.sets.values()])

    def batch_of(self, indices: Tensor) -> tuple[Any, ...]:
        """Return a batch of one set: its name, the texts, each target.

        Args:
            indices: (B,) all of one set. Of none, an empty batch of the first set: a process that
                has no share of a batch computes nothing of it.
        """
        first = int(indices[0]) if len(indices) else 0
        name, start = self._place_of(first)
        return (name, *self.sets[name].batch_of(indices - start))

    def describe(self, index: int) -> str:
        """Say which row of which set a text is."""
        name, start = self._place_of(index)
        return f"{name}, {self.sets[name].describe(index - start)}"

    def _place_of(self, index: int) -> tuple[str, int]:
        """Return the name of the set of a text, and where that set starts."""
        pairs = zip(self.sets, self.starts, strict=True)
        return next((name, start) for name, start in reversed(list(pairs)) if index >= start)


@dataclass(frozen=True)
class Part:
    """What one set gives to a pass.

    Args:
        size: Its texts.
        batcher: Puts them into batches.
        batches: How many of these; more than it has begin again, in another order.
    """

    size: int
    batcher: Batcher
    batches: int

    def plan(self, generator: torch.Generator | None) -> list[Tensor]:
        """Return the batches of a pass."""
        found: list[Tensor] = []
        while len(found) < self.batches:
            found += self.batcher.plan(self.size, generator)
        return found[: self.batches]


@dataclass(frozen=True)
class MixedBatches:
    """Batches of several sets, each of one alone, in random order.

    "Merge all the datasets; shuffle" (Liu et al., 2019: MT-DNN, algorithm 1).

    Args:
        parts: Of each set, in the order in which they stand end to end.
    """

    parts: tuple[Part, ...]

    def plan(self, size: int, generator: torch.Generator | None) -> Sequence[Tensor]:  # noqa: ARG002 - of the parts
        """Shuffle the batches of all sets."""
        batches: list[Tensor] = []
        start = 0
        for part in self.parts:
            batches += [start + indices for indices in part.plan(generator)]
            start += part.size
        return [batches[place] for place in order(len(batches), generator).tolist()]


def apportioned(total: int, shares: Sequence[float], *, temperature: float = 1.0) -> list[int]:
    """Divide a number of batches by shares, each raised to 1 / temperature.

    The temperature is that of Raffel et al. (2020, section 3.5.2). What is left by rounding down
    goes to the largest remainders; each share gets at least one batch.
    """
    rates = [share ** (1 / temperature) for share in shares]
    exact = [total * rate / sum(rates) for rate in rates]
    counts = [int(number) for number in exact]
    by_rest = sorted(range(len(exact)), key=lambda place: counts[place] - exact[place])
    for place in by_rest[: total - sum(counts)]:
        counts[place] += 1
    return [max(1, count) for count in counts]
