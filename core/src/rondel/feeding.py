"""Hand out the batches of streams in a run: passes, positions and counters."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from torch import Tensor

from rondel.counter import Counter, Counters
from rondel.cursor import Course
from rondel.errors import DataError, UsageError
from rondel.processes import Processes
from rondel.sample import Unreadable, unreadable_sample
from rondel.settings import RunConfig
from rondel.stream import AnyStream, Feed, as_stream


class Feeder:
    """Opens streams at the place where the cursors stand, and counts what it hands out.

    Args:
        course: The cursors of the run.
        settings: Seed, workers, what to do with bad samples.
        processes: Who shares a batch.
        note: Called for each sample that is left out.
    """

    def __init__(
        self,
        course: Course,
        settings: RunConfig,
        processes: Processes,
        note: Callable[[Unreadable], None],
    ) -> None:
        self.counters = Counters()
        self.skipped = 0
        self.size = 0
        self.indices: Tensor | None = None
        self._first: AnyStream | None = None
        self._course = course
        self._settings = settings
        self._note = note
        self._processes = processes
        self._left_out: list[Unreadable] = []
        self._opened: set[AnyStream] = set()
        skip = self._skip if settings.bad_samples == "skip" else None
        self._feed = Feed(settings.seed, processes, settings.workers, skip)

    def check(self, sources: Sequence[Any]) -> list[AnyStream]:
        """Return the sources as streams.

        Raises:
            UsageError: One is no stream, or two have the same name.
        """
        streams = [as_stream(source) for source in sources]
        self._opened.update(streams)
        names = [stream.name for stream in streams]
        for name in names:
            if names.count(name) > 1:
                raise UsageError(
                    f"two streams side by side are called {name!r}",
                    hint="Order and randomness are keyed by the name: give each Stream its own.",
                )
        return streams

    def batches(self, first: AnyStream, *others: AnyStream) -> Iterator[Any]:
        """Yield one pass of the first stream, and batches of the others beside it."""
        cursor = self._course.open()
        # an evaluation reads its data anew each time and leaves no trace
        counters = Counters() if self._course.is_atomic else self.counters
        counter = counters.of(first.name)
        if cursor.value is None:
            beside = [[c.passes, c.position] for c in (counters.of(o.name) for o in others)]
            cursor.value = [counter.passes, counter.batches, counter.samples, beside]
            counter.passes += 1
        number, offset, samples, beside = cursor.value
        plan = first.plan(self._settings.seed, number)
        fed: Iterator[Any] = first.batches(self._feed, plan, number, cursor.index)
        if others:
            sides = [
                self._cycled(stream, start, position + cursor.index, counters.of(stream.name))
                for stream, (start, position) in zip(others, beside, strict=True)
            ]
            # the first ends it: the others have no end
            fed = (((b, *more), i) for (b, i), *more in zip(fed, *sides, strict=False))
        self._first = first
        samples += first.samples_before(plan, cursor.index)
        handed = self._counted(fed, counter, batches=offset + cursor.index, samples=samples)
        yield from self._course.walk(cursor, f"batches of {first.name}", handed, len(plan), offset)

    def _counted(
        self, fed: Iterator[Any], counter: Counter, *, batches: int, samples: int
    ) -> Iterator[Any]:
        """Set the counters with each batch: the same numbers if it is handed out again."""
        for batch, indices in fed:
            self.indices = indices
            self.size = 0 if indices is None else len(indices)
            batches += 1
            samples += self.size
            counter.batches, counter.samples = batches, samples
            yield batch

    def _cycled(
        self, stream: AnyStream, number: int, position: int, counter: Counter
    ) -> Iterator[Any]:
        """Yield batches of a stream without end; the position may lie in a later pass."""
        plan = stream.plan(self._settings.seed, number)
        while position >= len(plan):
            number, position = number + 1, position - len(plan)
            plan = stream.plan(self._settings.seed, number)
        while True:
            for batch, _ in stream.batches(self._feed, plan, number, position):
                position += 1
                counter.passes, counter.position = number, position
                yield batch
            number, position = number + 1, 0
            plan = stream.plan(self._settings.seed, number)

    def _skip(self, unreadable: list[Unreadable]) -> None:
        """Leave unreadable samples out, within the budget."""
        if self._course.replaying:
            return
        self._left_out += unreadable
        if self._processes.size == 1:
            self.report()

    def report(self) -> None:
        """Count and note what any process left out since the last report.

        Raises:
            DataError: It is more than the budget.
        """
        mine, self._left_out = self._left_out, []
        rows = [[sample.index, sample.name, sample.cause] for sample in mine]
        for sample in (Unreadable(*row) for part in self._processes.gather(rows) for row in part):
            self.skipped += 1
            if self.skipped > self._settings.max_bad_samples:
                raise DataError(
                    f"more than {self._settings.max_bad_samples} samples cannot be read; "
                    f"{unreadable_sample(sample, '').what}",
                    where="run.max_bad_samples",
                    hint="Look at skipped.jsonl in the run directory, or raise the limit.",
                )
            self._note(sample)

    def close(self) -> None:
        """End the worker processes of every stream."""
        for stream in self._opened:
            stream.close()

    def describe(self) -> str:
        """Name the samples of the present batch, for an error."""
        if self.indices is None or self._first is None:
            return ""
        first = ", ".join(map(self._first.describe, self.indices[:8].tolist()))
        return f"; samples {first}{', ...' if len(self.indices) > 8 else ''}"
