"""Encoded rows on the disk, as a data set for a stream; and the order that suits them.

Shapes: N rows, B rows of a batch, k members.
"""

from __future__ import annotations

import mmap
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rondel.array_cache import Array
from rondel.batcher import Batcher, cut, order
from rondel_tabular.data.part import Part

KEPT_BYTES = 1 << 25
"""What is read of the maps before their pages are given back to the system."""
SHARD_ROWS = 4096
WINDOW_BYTES = 1 << 25
"""Rows that are shuffled with one another have about this size."""


class StoredRows:
    """Rows of memory maps, of which a stream takes whole batches.

    Pages that were read belong to the system's cache, but count as this process' memory as long as
    they are mapped: they are given back every now and then.

    Args:
        arrays: numbers, levels, values and weights, mapped.
    """

    def __init__(self, *arrays: Array) -> None:
        self.part = Part(*map(tensor_of, arrays))
        bases: list[Any] = [array.base for array in arrays]
        self._maps = [base for base in bases if isinstance(base, mmap.mmap)]
        self._read_bytes = 0

    def __len__(self) -> int:
        """Return N."""
        return self.part.rows

    @property
    def row_bytes(self) -> int:
        """The size of a row."""
        return sum(tensor.nbytes for tensor in self.part) // max(1, len(self))

    def batch_of(self, indices: Tensor) -> Part:
        """Return the rows of a batch, for indices (B,) or (B, k)."""
        batch = Part(*(tensor[indices] for tensor in self.part))
        self._read_bytes += indices.numel() * self.row_bytes
        if self._read_bytes > KEPT_BYTES:
            self.forget()
        return batch

    def forget(self) -> None:
        """Give back what was read; it is there again when it is asked for."""
        for found in self._maps:
            found.madvise(mmap.MADV_DONTNEED)
        self._read_bytes = 0


@dataclass(frozen=True)
class InWindows:
    """Batches of rows that lie near one another on the disk, in an order of the seed and the pass.

    The rows are cut into shards. These come in random order, some of them at a time, and the rows of
    these are shuffled with one another.

    Args:
        within: Puts the rows of a window into batches.
        shard_rows: Rows of a shard; a multiple of the batch size lets all batches but one be whole.
        shards: Of a window.
    """

    within: Batcher
    shard_rows: int
    shards: int

    @classmethod
    def of(cls, within: Batcher, rows: StoredRows, batch_size: int) -> InWindows:
        """Choose shards and windows for rows of a size."""
        shard_rows = max(1, SHARD_ROWS // batch_size) * batch_size
        shards = max(4, WINDOW_BYTES // (rows.row_bytes * shard_rows))
        return cls(within, shard_rows, shards)

    def plan(self, size: int, generator: torch.Generator | None) -> Sequence[Tensor]:
        """Return the batches of a pass as row indices (B,) or (B, k)."""
        starts = torch.arange(0, size, self.shard_rows)
        starts = starts[order(len(starts), generator)]
        batches: list[Tensor] = []
        for window in cut(starts, self.shards):
            rows = (window[:, None] + torch.arange(self.shard_rows)).flatten()
            rows = rows[rows < size]
            batches += [rows[some] for some in self.within.plan(len(rows), generator)]
        return batches


def tensor_of(array: Array) -> Tensor:
    """Return a tensor over the memory of an array that nobody writes to."""
    with warnings.catch_warnings():
        # a private map could be written to, but systems refuse one that is larger than the memory
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(np.asarray(array))
