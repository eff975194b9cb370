"""How samples are put into batches: pure functions of an order and of lengths or labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from rondel.errors import UsageError


class Batcher(Protocol):
    """Divides samples into batches."""

    def plan(self, size: int, generator: torch.Generator | None) -> Sequence[Tensor]:
        """Return the batches of one pass as index tensors: (B,), or (B, k) for k samples in a row.

        Args:
            size: Number of samples.
            generator: Source of the order; None keeps the order of the data.
        """


def check_length(values: Tensor, size: int, what: str) -> None:
    """Raise if a batcher was made for other data.

    Raises:
        UsageError: There is not one value per sample.
    """
    if len(values) != size:
        raise UsageError(
            f"the batcher has {len(values)} {what} for {size} samples",
            hint="Give one per sample, in the order of the data.",
        )


def order(size: int, generator: torch.Generator | None) -> Tensor:
    """Return a permutation of ``size`` indices, or the indices as they are."""
    return torch.arange(size) if generator is None else torch.randperm(size, generator=generator)


def cut(indices: Tensor, size: int) -> list[Tensor]:
    """Cut indices into pieces of one size; the last may be shorter."""
    return [indices[start : start + size] for start in range(0, len(indices), size)]


@dataclass(frozen=True)
class FixedSize:
    """Batches of one size.

    Args:
        batch_size: Samples per batch, over all processes.
        drop_last: Leave a shorter last batch out.
    """

    batch_size: int
    drop_last: bool = False

    def plan(self, size: int, generator: torch.Generator | None) -> Sequence[Tensor]:
        """Cut the order into equal pieces."""
        batches = cut(order(size, generator), self.batch_size)
        if self.drop_last and batches and len(batches[-1]) < self.batch_size:
            batches = batches[:-1]
        return batches


@dataclass(frozen=True)
class LengthBuckets:
    """Batches of samples of similar length, in random order; padding stays small.

    Args:
        lengths: (N,) length of each sample.
        batch_size: Samples per batch.
        bucket: Batches that are sorted together; larger is tighter and less random.
    """

    lengths: Tensor
    batch_size: int
    bucket: int = 100

    def plan(self, size: int, generator: torch.Generator | None) -> Sequence[Tensor]:
        """Sort within random buckets, cut, and shuffle the batches."""
        check_length(self.lengths, size, "lengths")
        batches: list[Tensor] = []
        for part in cut(order(size, generator), self.batch_size * self.bucket):
            by_length = part[torch.argsort(self.lengths[part], descending=True, stable=True)]
            batches.extend(cut(by_length, self.batch_size))
        return [batches[i] for i in order(len(batches), generator).tolist()]


@dataclass(frozen=True)
class TokenBudget:
    """Batches that hold at most ``budget`` tokens with padding: size times longest.

    Args:
        lengths: (N,) length of each sample.
        budget: Tokens per batch.
        bucket: Samples that are sorted together.
    """

    lengths: Tensor
    budget: int
    bucket: int = 2000

    def plan(self, size: int, generator: torch.Generator | None) -> Sequence[Tensor]:
        """Fill batches longest first within random buckets, and shuffle them.

        Raises:
            UsageError: A sample is longer than the budget.
        """
        check_length(self.lengths, size, "lengths")
        longest = int(self.lengths.max()) if size else 0
        if longest > self.budget:
            raise UsageError(
                f"sample {int(self.lengths.argmax())} has {longest} tokens, the budget is "
                f"{self.budget}",
                hint="Raise the budget or truncate the samples.",
            )
        batches: list[Tensor] = []
        for part in cut(order(size, generator), self.bucket):
            by_length = part[torch.argsort(self.lengths[part], descending=True, stable=True)]
            start = 0
            while start < len(by_length):
                count = max(1, self.budget // max(1, int(self.lengths[by_length[start]])))
                batches.append(by_length[start : start + count])
                start += count
        return [batches[i] for i in order(len(batches), generator).tolist()]


@dataclass(frozen=True)
class Packed:
    """Batches whose samples fit end to end into one row of ``capacity`` (best fit decreasing).

    Args:
        lengths: (N,) length of each sample.
        capacity: Length of a row; longer samples get a row of their own.
        bucket: Samples that are packed together.
    """

    lengths: Tensor
    capacity: int
    bucket: int = 1000

    def plan(self, size: int, generator: torch.Generator | None) -> Sequence[Tensor]:
        """Put each sample, longest first, into the row it fills best; shuffle the rows."""
        check_length(self.lengths, size, "lengths")
        rows: list[list[int]] = []
        for part in cut(order(size, generator), self.bucket):
            rows.extend(self._rows(part))
        return [torch.tensor(rows[i]) for i in order(len(rows), generator).tolist()]

    def _rows(self, part: Tensor) -> list[list[int]]:
        by_length = part[torch.argsort(self.lengths[part], descending=True, stable=True)].tolist()
        rows: list[list[int]] = []
        room: list[int] = []
        for index in by_length:
            length = int(self.lengths[index])
            fits = [(free, row) for row, free in enumerate(room) if free >= length]
            if fits:
                _, row = min(fits)
                rows[row].append(index)
                room[row] -= length
            else:
                rows.append([index])
                room.append(self.capacity - length)
        return rows


@dataclass(frozen=True)
class ClassBalanced:
    """Batches in which every class is drawn equally often, with replacement.

    Args:
        labels: (N,) class of each sample, integers.
        batch_size: Samples per batch.
    """

    labels: Tensor
    batch_size: int

    def plan(self, size: int, generator: torch.Generator | None) -> Sequence[Tensor]:
        """Draw as many samples as the data has, each class with the same chance."""
        check_length(self.labels, size, "labels")
        # without an order to follow: the same draw in every pass, and not from the loop's generator
        generator = generator or torch.Generator().manual_seed(0)
        counts = torch.bincount(self.labels)
        weights = 1.0 / counts[self.labels].double()
        drawn = torch.multinomial(weights, size, replacement=True, generator=generator)
        return cut(drawn, self.batch_size)
