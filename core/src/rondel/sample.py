"""Samples: how one is read with keyed randomness, how several become a batch, what goes wrong."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.utils.data import Sampler

from rondel import keyed
from rondel.batch import leaves
from rondel.errors import DataError, RondelError
from rondel.signals import SignalFlag

READING = (
    *(RondelError, OSError, EOFError, ValueError, KeyError, IndexError, RuntimeError),
    *(SyntaxError, struct.error, zlib.error),  # what decoders of damaged pictures raise
)
"""What makes a sample unreadable; anything else is a mistake in the program."""


@runtime_checkable
class Samples(Protocol):
    """A map-style data set: torch's ``Dataset``, a list, anything with a length and an index."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Any: ...


@runtime_checkable
class Batched(Protocol):
    """A data set in memory that makes a whole batch at once, so that it needs no loader.

    If it has ``lengths`` (N,), several processes share a batch by them and not by its samples.
    """

    def __len__(self) -> int: ...

    def batch_of(self, indices: Tensor) -> Any:
        """Return the samples of a batch, in this order; of none, an empty batch."""


@dataclass(frozen=True)
class Unreadable:
    """A sample that could not be read, and why; takes the sample's place until it is dropped."""

    index: int
    name: str
    cause: str


class Rows:
    """Tensors seen as a map-style data set of rows."""

    def __init__(self, tensors: Any) -> None:
        self._tensors = tensors
        lengths = {len(leaf) for leaf in leaves(tensors)}
        if len(lengths) > 1:
            raise DataError(
                f"the tensors have {sorted(lengths)} rows",
                hint="Give tensors with one row per sample.",
            )
        self._size = lengths.pop() if lengths else 0

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, index: int) -> Any:
        return taken(self._tensors, index)


class PlanSampler(Sampler[list[tuple[int, int, int]]]):
    """Hands out planned batches; the pass travels inside the index, so workers need no message."""

    def __init__(self) -> None:
        self.batches: list[list[tuple[int, int, int]]] = []

    def __iter__(self) -> Iterator[list[tuple[int, int, int]]]:
        return iter(self.batches)

    def __len__(self) -> int:
        return len(self.batches)


@dataclass(frozen=True)
class KeyedSamples:
    """A data set whose samples are loaded and changed with randomness keyed by their index."""

    samples: Samples
    augment: Callable[[Any], Any] | None
    name: str
    collate: Collate

    def __len__(self) -> int:
        return len(self.samples)

    def __getitems__(self, batch: list[tuple[int, int, int]]) -> list[Any]:
        """Load the samples of a batch; in the main process its generators are left untouched."""
        if torch.utils.data.get_worker_info() is not None:
            return [self._load(*place) for place in batch]
        with keyed.apart(torch.device("cpu")):
            return [self._load(*place) for place in batch]

    def _load(self, seed: int, number: int, index: int) -> Any:
        keyed.reseed(keyed.key(seed, self.name, "sample", number, index))
        try:
            sample = self.samples[index]
            return sample if self.augment is None else self.augment(sample)
        except READING as error:
            return Unreadable(index, self._name_of(index), f"{type(error).__name__}: {error}")

    def _name_of(self, index: int) -> str:
        return named(self.samples, index)


def named(samples: Any, index: int) -> str:
    """Name a sample: by what its data set says of it, or by its index."""
    return str(samples.describe(index)) if has_names(samples) else f"sample {index}"


def has_names(samples: Any) -> bool:
    """Tell whether a data set says of each sample where it came from."""
    return callable(getattr(samples, "describe", None))


@dataclass(frozen=True)
class Collate:
    """Makes a batch of the samples that could be read, and lists the others."""

    make: Callable[[list[Any]], Any]

    def __call__(self, samples: list[Any]) -> tuple[Any, list[int], list[Unreadable], str]:
        """Return the batch, the places of its samples, those left out, and why it failed."""
        bad = [sample for sample in samples if isinstance(sample, Unreadable)]
        kept = [i for i, sample in enumerate(samples) if not isinstance(sample, Unreadable)]
        try:
            return (self.make([samples[i] for i in kept]) if kept else ()), kept, bad, ""
        except (TypeError, ValueError, RuntimeError) as error:
            return (), kept, bad, f"{type(error).__name__}: {error}"


def is_tensors(data: Any) -> bool:
    """Tell whether data is a tensor, or a tuple or dict of tensors."""
    if isinstance(data, Tensor):
        return True
    items = data.values() if isinstance(data, dict) else data if isinstance(data, tuple) else ()
    return bool(items) and all(isinstance(item, Tensor) for item in items)


def taken(tensors: Any, indices: Any) -> Any:
    """Return the rows ``indices`` of a tensor, or of a tuple or dict of tensors.

    What runs along no samples (a number that a whole batch shares) is returned as it is.
    """
    if isinstance(tensors, Tensor):
        return tensors[indices] if tensors.ndim else tensors
    if isinstance(tensors, dict):
        return {key: taken(tensor, indices) for key, tensor in tensors.items()}
    if not isinstance(tensors, tuple):
        return tensors
    rows = [taken(tensor, indices) for tensor in tensors]
    return type(tensors)(*rows) if hasattr(tensors, "_fields") else tuple(rows)


def outlive_signal(worker: int) -> None:  # noqa: ARG001 - what a loader calls it with
    """Let a worker live on when its whole process group is asked to end; the second signal ends it.

    The loop needs its batches up to the next safe point, and ends its workers itself.
    """
    SignalFlag().__enter__()


def unreadable_sample(sample: Unreadable, stream: str, *, skips: bool = False) -> DataError:
    """Describe a sample that could not be read; one that is skipped must leave others behind."""
    return DataError(
        f"{sample.name} cannot be read: {sample.cause}",
        where=f"stream '{stream}', index {sample.index}",
        hint="Repair or remove it: no sample of its batch is left."
        if skips
        else "Repair or remove it, or run with run.bad_samples=skip.",
    )


def misfitting(cause: str, stream: str, indices: Tensor) -> DataError:
    """Describe samples that make no batch."""
    return DataError(
        f"the samples {listed(indices)} do not fit into one batch: {cause}",
        where=f"stream '{stream}'",
        hint="Give them one shape, or Stream(collate=...) a function that pads them.",
    )


def listed(indices: Tensor) -> str:
    """Return the first indices as text."""
    more = ", ..." if len(indices) > 8 else ""
    return f"{json.dumps(indices[:8].tolist())[1:-1]}{more}"


def worker_failed(error: Exception, stream: str, indices: Tensor) -> RondelError:
    """Describe a loader worker that died, with the samples that were in flight."""
    return DataError(
        f"a loader worker failed: {error}",
        where=f"stream '{stream}', samples {listed(indices)}",
        hint="Try run.workers=0 to see the cause; a killed worker often means too little memory.",
    )
