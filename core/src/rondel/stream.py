"""Batches of data in an order that is a pure function of (seed, name, pass, position).

A stream has no state. A run asks it for the batches of a pass from a position on, and gets the
same ones whatever the number of workers, of processes, or of interruptions before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor
from torch.utils.data import DataLoader, default_collate

from rondel import keyed
from rondel.batch import balanced, leaves, size_of, sliced, to_device
from rondel.batcher import Batcher, FixedSize
from rondel.errors import DataError, UsageError
from rondel.processes import Processes
from rondel.sample import (
    Batched,
    Collate,
    KeyedSamples,
    PlanSampler,
    Rows,
    Unreadable,
    has_names,
    is_tensors,
    misfitting,
    named,
    outlive_signal,
    taken,
    unreadable_sample,
    worker_failed,
)
from rondel.schedule import Length

Noise = Callable[[int, torch.Generator], Any]
PERMUTE_BYTES = 1 << 28
"""Tensors up to this size are permuted once per pass, so that batches are plain slices."""


@dataclass(frozen=True)
class Feed:
    """What a run tells a stream: randomness, processes, workers, what to do with bad samples."""

    seed: int
    processes: Processes
    workers: int = 0
    skip: Callable[[list[Unreadable]], None] | None = None


class Stream:
    """Batches of a data set, in a keyed order.

    Args:
        data: Tensors with one row per sample (one, or a tuple or dict of them), which are sliced
            without a loader; a data set in memory with ``batch_of(indices)``, which needs none
            either; or a map-style data set, which is loaded by worker processes.
        batch_size: Samples per batch over all processes; or give a ``batcher``.
        name: In logs, counters and keys; two streams of a run need two names.
        shuffle: Draw a new order for every pass.
        drop_last: Leave a shorter last batch out.
        batcher: Puts samples into batches; see `rondel.batcher`.
        collate: Makes a batch of a list of samples; torch's ``default_collate`` by default.
        augment: Changes one sample. Python's, NumPy's and torch's generators are seeded by
            (seed, name, pass, index) before each call, so any library's transforms are keyed.
        noise: ``noise(size, generator)``: random numbers of a whole batch, keyed by its position;
            each batch becomes ``(*batch, noise)``. Processes get their rows of the same draw.

    Raises:
        UsageError: No data, neither a batch size nor a batcher, or nothing to augment.
    """

    def __init__(
        self,
        data: Any,
        *,
        batch_size: int | None = None,
        name: str = "train",
        shuffle: bool = True,
        drop_last: bool = False,
        batcher: Batcher | None = None,
        collate: Callable[[list[Any]], Any] = default_collate,
        augment: Callable[[Any], Any] | None = None,
        noise: Noise | None = None,
    ) -> None:
        if batcher is None and (batch_size is None or batch_size < 1):
            raise UsageError(
                f"a batch size of {batch_size!r}",
                where=f"stream '{name}'",
                hint="Give batch_size=... (at least 1) or a batcher.",
            )
        self.name = name
        self.data = data
        self.shuffle = shuffle
        self.noise = noise
        self._batcher = batcher or FixedSize(batch_size or 1, drop_last)
        tensors = is_tensors(data)
        self._batches_itself = isinstance(data, Batched)
        if self._batches_itself and augment is not None:
            raise UsageError(
                "a data set that makes its own batches has no single samples to vary",
                where=f"stream '{name}'",
                hint="Vary the whole batch in batch_of or in the loss, or leave augment out.",
            )
        self._lengths = getattr(data, "lengths", None) if self._batches_itself else None
        self._sliced = self._batches_itself or (tensors and augment is None)
        rows = Rows(data) if tensors else data
        self._keyed = KeyedSamples(rows, augment, name, Collate(collate))
        self._placed: Any = None
        self._loader: tuple[PlanSampler, DataLoader[Any]] | None = None
        if len(rows) == 0:
            raise DataError(
                "the data set is empty", where=f"stream '{name}'", hint="Look at the source."
            )
        if batcher is None and drop_last and len(rows) < (batch_size or 1):
            raise UsageError(
                f"{len(rows)} samples do not fill one batch of {batch_size}",
                where=f"stream '{name}'",
                hint="Lower batch_size, or leave drop_last out.",
            )

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self._keyed.samples)

    def describe(self, index: int) -> str:
        """Name a sample, for an error: its index, and what the data set says of it."""
        return f"{index} ({named(self.data, index)})" if has_names(self.data) else str(index)

    def planned(self, passes: int, *, every: int = 1) -> Length:
        """Return how long a run over the data is, for ``run.update(total=...)``.

        Args:
            passes: Passes over the data.
            every: Batches per update.
        """
        batches = self.plan(0, 0)
        samples = sum(map(len, batches))
        return Length(passes * len(batches) // every, passes * samples // every)

    def plan(self, seed: int, number: int) -> Sequence[Tensor]:
        """Return the batches of pass ``number`` as tensors of indices."""
        draw = keyed.generator(seed, self.name, "order", number) if self.shuffle else None
        return self._batcher.plan(len(self), draw)

    def batches(
        self, feed: Feed, plan: Sequence[Tensor], number: int, start: int = 0
    ) -> Iterator[tuple[Any, Tensor]]:
        """Yield this process' share of each batch of a pass, with the indices of the whole batch.

        Args:
            feed: Seed, processes, workers.
            plan: What `plan` returned for this pass.
            number: Which pass over the data.
            start: Position of the first batch.
        """
        if not self._sliced:
            yield from self._loaded(plan, feed, number, start)
        elif self.noise is None:
            yield from self._slices(plan, feed.processes, start)
        else:
            made = self._slices(plan, feed.processes, start)
            for position, (batch, indices) in enumerate(made, start):
                yield self._with_noise(batch, indices, feed, (number, position)), indices

    def _with_noise(
        self,
        batch: Any,
        indices: Tensor,
        feed: Feed,
        place: tuple[int, int],
        kept: list[int] | None = None,
    ) -> Any:
        """Append this process' rows of the noise of a batch, without those of dropped samples."""
        if self.noise is None:
            return batch
        draw = keyed.generator(feed.seed, self.name, "noise", *place)
        noise = self._share(self.noise(len(indices), draw), indices, feed.processes)
        noise = to_device(noise if kept is None else taken(noise, kept), feed.processes.device)
        return (*batch, noise) if isinstance(batch, tuple) else (batch, noise)

    def _share(self, rows: Any, indices: Tensor, processes: Processes) -> Any:
        """Return what this process computes of the rows of a batch: as many, or as many tokens."""
        if processes.size > 1 and self._lengths is not None:
            return taken(rows, balanced(self._lengths[indices], processes.size)[processes.rank])
        return sliced(rows, *processes.share(len(indices)))

    def close(self) -> None:
        """End the worker processes; the next pass starts new ones."""
        if self._loader is not None and self._loader[1]._iterator is not None:
            # persistent workers would wait for the garbage collector, and a run for them
            self._loader[1]._iterator._shutdown_workers()  # type: ignore[attr-defined]
        self._loader = None

    def samples_before(self, plan: Sequence[Tensor], position: int) -> int:
        """Return how many samples the first ``position`` batches of a plan hold."""
        return sum(len(indices) for indices in plan[:position])

    # -- in memory -----------------------------------------------------------------------------

    def _slices(
        self, plan: Sequence[Tensor], processes: Processes, start: int
    ) -> Iterator[tuple[Any, Tensor]]:
        """Slice tensors: no loader, no copy per batch where one permutation serves a pass."""
        if self._batches_itself:
            yield from self._gathered(plan[start:], processes)
            return
        if self._placed is None:
            self._placed = to_device(self.data, processes.device)
        data = self._placed
        if not self.shuffle and isinstance(self._batcher, FixedSize):
            pieces = data
        elif self._permuted_bytes(data, plan) > PERMUTE_BYTES:
            yield from self._gathered(plan[start:], processes)
            return
        else:
            pieces = taken(data, torch.cat(list(plan)).to(processes.device))
        offset = self.samples_before(plan, start)
        for indices in plan[start:]:
            first, last = (
                (0, len(indices)) if processes.size == 1 else processes.share(len(indices))
            )
            yield sliced(pieces, offset + first, offset + last), indices
            offset += len(indices)

    def _permuted_bytes(self, data: Any, plan: Sequence[Tensor]) -> int:
        """Return how much a copy of the data in the order of a plan takes."""
        size = sum(t.nbytes for t in leaves(data) if isinstance(t, Tensor))
        return size * sum(indices.numel() for indices in plan) // len(self)

    def _gathered(
        self, plan: Sequence[Tensor], processes: Processes
    ) -> Iterator[tuple[Any, Tensor]]:
        for indices in plan:
            mine = self._share(indices, indices, processes)
            if self._batches_itself:
                yield to_device(self.data.batch_of(mine), processes.device), indices
            else:
                yield taken(self._placed, mine.to(processes.device)), indices

    # -- by workers ----------------------------------------------------------------------------

    def _loaded(
        self, plan: Sequence[Tensor], feed: Feed, number: int, start: int
    ) -> Iterator[tuple[Any, Tensor]]:
        """Load samples, in worker processes if there are any; drop unreadable ones by policy."""
        loader = self._make_loader(feed)
        assert self._loader is not None
        shares = [indices[slice(*feed.processes.share(len(indices)))] for indices in plan[start:]]
        # a process without a share loads one sample all the same, for the shape of its empty batch
        self._loader[0].batches = [
            [(feed.seed, number, i) for i in (mine if len(mine) else whole[:1]).tolist()]
            for mine, whole in zip(shares, plan[start:], strict=True)
        ]
        loaded = iter(loader)
        for position, (mine, indices) in enumerate(zip(shares, plan[start:], strict=True), start):
            try:
                batch, kept, unreadable, misfit = next(loaded)
            except (RuntimeError, ConnectionError, EOFError) as error:
                raise worker_failed(error, self.name, indices) from error
            if misfit:
                raise misfitting(misfit, self.name, mine)
            if unreadable and len(mine):  # what was loaded for its shape, its owner reports
                if feed.skip is None:
                    raise unreadable_sample(unreadable[0], self.name)
                feed.skip(unreadable)
            if not kept:
                batch = self._shape_of(indices, feed.seed, number)
            batch = to_device(batch if len(mine) else sliced(batch, 0, 0), feed.processes.device)
            place = (number, position)
            yield (
                self._with_noise(batch, indices, feed, place, kept if unreadable else None),
                indices,
            )

    def _shape_of(self, indices: Tensor, seed: int, number: int) -> Any:
        """Return an empty batch, shaped like the first sample of a batch that can be read.

        A process whose share was lost, or that has none, takes part with it in what all do.
        """
        found: list[Unreadable] = []
        for index in indices.tolist():
            batch, kept, unreadable, _ = self._keyed.collate(
                self._keyed.__getitems__([(seed, number, index)])
            )
            if kept:
                return sliced(batch, 0, 0)
            found += unreadable
        raise unreadable_sample(found[0], self.name, skips=True)

    def _make_loader(self, feed: Feed) -> DataLoader[Any]:
        if self._loader is None or self._loader[1].num_workers != feed.workers:
            sampler = PlanSampler()
            loader: DataLoader[Any] = DataLoader(
                cast(Any, self._keyed),
                batch_sampler=sampler,
                collate_fn=self._keyed.collate,
                num_workers=feed.workers,
                persistent_workers=feed.workers > 0,
                worker_init_fn=outlive_signal,
                pin_memory=feed.processes.device.type == "cuda",
                # without one of its own the loader would draw from the generator of the loop
                generator=keyed.generator(feed.seed, self.name, "loader"),
            )
            self._loader = (sampler, loader)
        return self._loader[1]


class ReadyBatches:
    """A list of ready-made batches, handed out in its order."""

    def __init__(self, batches: Sequence[Any], *, name: str = "train") -> None:
        self.name = name
        self._batches = batches

    def __len__(self) -> int:
        """Return the number of batches."""
        return len(self._batches)

    def plan(self, seed: int, number: int) -> Sequence[Any]:  # noqa: ARG002 - the order is fixed
        """Return one entry per batch."""
        return range(len(self._batches))

    def describe(self, index: int) -> str:
        """Name a sample, for an error."""
        return str(index)

    def close(self) -> None:
        """Do nothing: there are no workers."""

    def samples_before(self, plan: Sequence[Any], position: int) -> int:  # noqa: ARG002
        """Return how many samples the first ``position`` batches hold."""
        return sum(size_of(batch) for batch in self._batches[:position])

    def batches(
        self,
        feed: Feed,
        plan: Sequence[Any],  # noqa: ARG002 - the order is fixed
        number: int,  # noqa: ARG002 - every pass is the same
        start: int = 0,
    ) -> Iterator[tuple[Any, None]]:
        """Yield this process' share of each batch."""
        processes = feed.processes
        plain = processes.size == 1 and processes.device.type == "cpu"
        for batch in self._batches[start:] if start else self._batches:
            if plain:
                yield batch, None
            else:
                piece = sliced(batch, *processes.share(size_of(batch)))
                yield to_device(piece, processes.device), None


AnyStream = Stream | ReadyBatches


def as_stream(source: Any) -> AnyStream:
    """Return the source if it is a stream; a list is taken as ready-made batches.

    Raises:
        UsageError: It is neither.
    """
    if isinstance(source, Stream | ReadyBatches):
        return source
    if isinstance(source, list):
        return ReadyBatches(source)
    raise UsageError(
        f"run.batches got {type(source).__name__}",
        hint="Give a rondel.Stream(data, batch_size=...), or a list of ready-made batches.",
    )
