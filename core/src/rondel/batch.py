"""The shape of a batch: its size, its pieces, its device.

A batch is any nesting of tuples and dicts. Its leaves run along the samples: tensors by their
first dimension, lists by their items. Everything else (numbers, strings, scalars) is shared by
all samples and travels along whole.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from rondel.errors import LossError


def leaves(batch: Any) -> Iterator[Tensor | list[Any]]:
    """Yield the leaves that run along the samples."""
    if isinstance(batch, Tensor):
        if batch.ndim > 0:
            yield batch
    elif isinstance(batch, list):
        yield batch
    elif isinstance(batch, tuple):
        for item in batch:
            yield from leaves(item)
    elif isinstance(batch, dict):
        for item in batch.values():
            yield from leaves(item)


def size_of(batch: Any) -> int:
    """Return the number of samples, the length of the first leaf; 0 if there is none."""
    first = next(leaves(batch), None)
    return 0 if first is None else len(first)


def sliced(batch: Any, start: int, stop: int) -> Any:
    """Return the samples from ``start`` to ``stop`` as a batch of the same structure."""
    if isinstance(batch, Tensor):
        return batch[start:stop] if batch.ndim > 0 else batch
    if isinstance(batch, list):
        return batch[start:stop]
    if isinstance(batch, tuple):
        items = [sliced(item, start, stop) for item in batch]
        return type(batch)(*items) if hasattr(batch, "_fields") else tuple(items)
    if isinstance(batch, dict):
        return {key: sliced(item, start, stop) for key, item in batch.items()}
    return batch


def split(inputs: tuple[Any, ...], pieces: int) -> list[tuple[Any, ...]]:
    """Split inputs into at most ``pieces`` parts whose sizes differ by one at most.

    Raises:
        LossError: The leaves have different lengths, so that no split keeps samples together.
    """
    lengths = {len(leaf) for leaf in leaves(inputs)}
    if len(lengths) > 1:
        raise LossError(
            f"the inputs of the loss function have {sorted(lengths)} samples",
            hint="Tensors and lists that are split must have one entry per sample; "
            "bind everything else to the function with functools.partial.",
        )
    size = lengths.pop() if lengths else 0
    pieces = max(1, min(pieces, size))
    bounds = [share(size, part, pieces) for part in range(pieces)]
    return [sliced(inputs, start, stop) for start, stop in bounds]


def share(size: int, part: int, parts: int) -> tuple[int, int]:
    """Return where the ``part``-th of ``parts`` nearly equal shares starts and stops."""
    return size * part // parts, size * (part + 1) // parts


def balanced(weights: Tensor, parts: int) -> list[Tensor]:
    """Return which rows each part takes, so that all have nearly the same weight.

    Heaviest first, each to the part that has least so far (Graham, 1969: a part then has at most
    4/3 of the best that is possible).

    Args:
        weights: (N,) of the rows: the tokens of texts, say.
        parts: How many.

    Returns:
        For each part its rows in ascending order; of few rows, some parts get none.
    """
    loads = [(0, part) for part in range(parts)]
    rows: list[list[int]] = [[] for _ in range(parts)]
    listed = weights.tolist()
    for row in sorted(range(len(listed)), key=lambda row: (-listed[row], row)):
        load, part = heapq.heappop(loads)
        rows[part].append(row)
        heapq.heappush(loads, (load + listed[row], part))
    return [torch.tensor(sorted(own), dtype=torch.int64) for own in rows]


def to_device(batch: Any, device: torch.device) -> Any:
    """Move every tensor of a batch; copies from pinned memory do not block."""
    if isinstance(batch, Tensor):
        return batch.to(device, non_blocking=True)
    if isinstance(batch, list):
        return [to_device(item, device) for item in batch]
    if isinstance(batch, tuple):
        items = [to_device(item, device) for item in batch]
        return type(batch)(*items) if hasattr(batch, "_fields") else tuple(items)
    if isinstance(batch, dict):
        return {key: to_device(item, device) for key, item in batch.items()}
    return batch
