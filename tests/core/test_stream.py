"""Streams: order and randomness are keyed, whoever loads and however many share."""

from __future__ import annotations

import os
import random
import re
import signal
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor

from rondel import keyed, stream
from rondel.batcher import ClassBalanced, LengthBuckets
from rondel.errors import DataError, UsageError
from rondel.processes import Processes
from rondel.sample import Unreadable
from rondel.stream import Feed, ReadyBatches, Stream, as_stream

CPU = torch.device("cpu")
ALONE = Processes(0, 1, CPU)


def read(
    made: Any, *, seed: int = 0, number: int = 0, start: int = 0, workers: int = 0,
    processes: Processes = ALONE, skip: Callable[[list[Unreadable]], None] | None = None,
) -> list[Any]:  # fmt: skip
    feed = Feed(seed, processes, workers, skip)
    plan = made.plan(seed, number)
    return [batch for batch, _ in made.batches(feed, plan, number, start)]


def flat(batches: list[Any]) -> list[float]:
    return torch.cat([b[0] if isinstance(b, tuple) else b for b in batches]).tolist()


class Squares:
    """Samples as a data set of files would give them."""

    def __len__(self) -> int:
        return 11

    def __getitem__(self, index: int) -> Tensor:
        return torch.tensor(float(index**2))


class Fragile(Squares):
    """Some of its samples cannot be read."""

    bad: tuple[int, ...] = (3, 4)
    error: Exception = OSError("broken PNG file")

    def describe(self, index: int) -> str:
        return f"photos/{index}.png"

    def __getitem__(self, index: int) -> Tensor:
        if index in self.bad:
            raise self.error
        return super().__getitem__(index)


class Deadly(Squares):
    """Kills the process that reads it."""

    def __getitem__(self, index: int) -> Tensor:
        if index == 5:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__getitem__(index)


def jitter(x: Tensor) -> Tensor:
    """What libraries do: each draws from a generator of its own."""
    return torch.stack(
        [x, torch.rand(()), torch.tensor(random.random()), torch.tensor(np.random.rand())]
    )


# -- order -----------------------------------------------------------------------------------------


def test_the_order_is_a_function_of_seed_name_and_pass() -> None:
    rows = torch.arange(50)

    def order(name: str, seed: int, number: int) -> list[float]:
        torch.manual_seed(random.randrange(1000))  # the generator of the loop has no say
        return flat(read(Stream(rows, batch_size=8, name=name), seed=seed, number=number))

    first = order("train", 0, 0)
    assert sorted(first) == list(range(50))
    assert order("train", 0, 0) == first
    others = [order("train", 1, 0), order("train", 0, 1), order("valid", 0, 0)]
    assert all(other != first and sorted(other) == sorted(first) for other in others)


def test_without_shuffling_the_order_is_that_of_the_data() -> None:
    for data in [torch.arange(11) ** 2.0, Squares()]:
        made = Stream(data, batch_size=4, shuffle=False)
        assert flat(read(made, number=3)) == [float(i**2) for i in range(11)]


@pytest.mark.parametrize("data", [torch.arange(11) ** 2.0, Squares()])
@pytest.mark.parametrize("start", [0, 1, 2, 3])
def test_a_pass_can_begin_at_any_batch(data: Any, start: int) -> None:
    made = Stream(data, batch_size=4, noise=lambda n, g: torch.rand(n, generator=g))
    whole, rest = read(made, number=2), read(made, number=2, start=start)
    assert len(rest) == 3 - start
    for (x, noise), (y, other) in zip(whole[start:], rest, strict=True):
        assert torch.equal(x, y)
        assert torch.equal(noise, other)
    assert made.samples_before(made.plan(0, 2), start) == [0, 4, 8, 11][start]


def test_tensors_and_a_data_set_of_them_come_in_one_order() -> None:
    rows = torch.arange(11) ** 2.0
    for number in range(2):
        sliced = flat(read(Stream(rows, batch_size=3), number=number))
        assert sliced == flat(read(Stream(Squares(), batch_size=3), number=number))


@pytest.mark.parametrize("limit", [0, 1 << 28])
@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("batcher", [None, "lengths", "classes"])
def test_large_tensors_are_gathered_into_the_same_batches(
    limit: int, shuffle: bool, batcher: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "PERMUTE_BYTES", limit)
    rows = torch.arange(20)
    kinds: dict[str | None, Any] = {
        None: None,
        "lengths": LengthBuckets(rows % 7, 4, bucket=2),
        "classes": ClassBalanced(rows % 3, 4),
    }
    made = Stream((rows, rows * 2), batch_size=6, shuffle=shuffle, batcher=kinds[batcher])
    for (x, y), indices in zip(read(made, start=1), made.plan(0, 0)[1:], strict=True):
        assert torch.equal(x, indices)
        assert torch.equal(y, indices * 2)


class Pair(NamedTuple):
    x: Tensor
    y: Tensor


@pytest.mark.parametrize("shuffle", [True, False])
def test_batches_have_the_structure_of_the_data(shuffle: bool) -> None:
    rows = torch.arange(6)
    for batch in read(Stream({"x": rows, "y": rows * 2}, batch_size=4, shuffle=shuffle)):
        assert torch.equal(batch["y"], batch["x"] * 2)
    for batch in read(Stream((rows,), batch_size=4, shuffle=shuffle)):
        assert isinstance(batch, tuple)
    for batch in read(Stream(Pair(rows, rows * 2), batch_size=4, shuffle=shuffle)):
        assert torch.equal(batch.y, batch.x * 2)


def test_a_last_batch_can_be_dropped() -> None:
    for data in [torch.arange(11), Squares()]:
        sizes = [len(b) for b in read(Stream(data, batch_size=4, drop_last=True))]
        assert sizes == [4, 4]


# -- workers ---------------------------------------------------------------------------------------


def test_the_number_of_workers_changes_nothing() -> None:
    expected = None
    for workers in [0, 1, 2]:
        made = Stream(
            Squares(), batch_size=4, augment=jitter,
            noise=lambda n, g: torch.rand(n, 2, generator=g),
        )  # fmt: skip
        passes = [read(made, number=n, workers=workers) for n in (0, 1)]
        late = read(made, number=1, start=2, workers=workers)
        got = [torch.cat([x.flatten() for b in batches for x in b]) for batches in [*passes, late]]
        expected = expected or got
        assert all(torch.equal(a, b) for a, b in zip(got, expected, strict=True))
    assert expected is not None
    assert not torch.equal(expected[0], expected[1])


def test_one_stream_may_be_read_with_other_workers_later() -> None:
    made = Stream(Squares(), batch_size=4, augment=jitter)
    batches = [torch.cat(read(made, workers=workers)) for workers in (0, 2, 0)]
    assert torch.equal(batches[0], batches[1])
    assert torch.equal(batches[0], batches[2])


def test_the_augmentation_of_a_sample_does_not_depend_on_its_batch() -> None:
    def by_sample(batch_size: int, *, number: int = 0) -> dict[float, list[float]]:
        rows = torch.cat(
            read(Stream(Squares(), batch_size=batch_size, augment=jitter), number=number)
        )
        return {row[0]: row[1:] for row in rows.tolist()}

    assert by_sample(4) == by_sample(11)
    assert all(by_sample(4)[k] != v for k, v in by_sample(4, number=1).items())
    drawn = [tuple(v) for v in by_sample(4).values()]
    assert len(set(drawn)) == len(drawn)


@pytest.mark.parametrize("workers", [0, 2])
def test_loading_leaves_the_randomness_of_the_loop_alone(workers: int) -> None:
    with keyed.apart(CPU, seed=5):
        expected = (torch.rand(2).tolist(), random.random(), np.random.rand())
    with keyed.apart(CPU, seed=5):
        read(Stream(Squares(), batch_size=4, augment=jitter), workers=workers)
        read(Stream(torch.arange(9.0), batch_size=4, noise=lambda n, g: torch.rand(n, generator=g)))
        assert (torch.rand(2).tolist(), random.random(), np.random.rand()) == expected


def test_a_pass_that_was_left_does_not_disturb_the_next() -> None:
    made = Stream(Squares(), batch_size=2, augment=jitter)
    expected = torch.cat(read(Stream(Squares(), batch_size=2, augment=jitter), number=1))
    feed = Feed(0, ALONE, 2)
    half: Any = made.batches(feed, made.plan(0, 0), 0)
    next(half)
    half.close()
    assert torch.equal(torch.cat(read(made, number=1, workers=2)), expected)


def test_a_worker_that_dies_is_reported_with_its_samples() -> None:
    with pytest.raises(DataError) as caught:
        read(Stream(Deadly(), batch_size=4, shuffle=False), workers=1)
    said = str(caught.value)
    assert said.startswith("stream 'train', samples ")
    # torch's watchdog says so, or the worker was in the middle of an answer
    assert re.search("a loader worker failed: (DataLoader worker|.*reset by peer|EOFError)", said)
    assert said.endswith("a killed worker often means too little memory.")


# -- processes -------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 2, 3, 7])
@pytest.mark.parametrize("augment", [None, jitter])
def test_processes_partition_each_batch_and_its_noise(size: int, augment: Any) -> None:
    data: Any = torch.arange(11) ** 2.0 if augment is None else Squares()
    keys: dict[str, Any] = {"batch_size": 4, "augment": augment}
    keys["noise"] = lambda n, g: {"z": torch.randn(n, 3, generator=g)}
    whole = read(Stream(data, **keys))
    shares = [read(Stream(data, **keys), processes=Processes(r, size, CPU)) for r in range(size)]
    assert all(len(share) == len(whole) for share in shares)
    for position, (x, noise) in enumerate(whole):
        assert torch.equal(torch.cat([share[position][0] for share in shares]), x)
        assert torch.equal(torch.cat([s[position][1]["z"] for s in shares]), noise["z"])
        sizes = [len(share[position][0]) for share in shares]
        assert max(sizes) - min(sizes) <= 1


def test_noise_depends_on_seed_pass_and_position() -> None:
    made = Stream(torch.zeros(8), batch_size=4, noise=lambda n, g: torch.rand(n, generator=g))
    drawn = [
        tuple(noise.tolist())
        for seed, number in [(0, 0), (0, 1), (1, 0)]
        for _, noise in read(made, seed=seed, number=number)
    ]
    assert len(set(drawn)) == 6
    assert drawn[0] == tuple(read(made)[0][1].tolist())


# -- ready-made batches ----------------------------------------------------------------------------


def test_a_list_is_ready_made_batches() -> None:
    batches = [(torch.arange(5), ["a", "b", "c", "d", "e"]), (torch.arange(2), ["x", "y"])]
    made = as_stream(batches)
    assert isinstance(made, ReadyBatches)
    assert read(made) == batches
    assert read(made, start=1) == batches[1:]
    assert made.samples_before(made.plan(0, 0), 1) == 5
    shares = [read(made, processes=Processes(rank, 2, CPU)) for rank in range(2)]
    assert [share[0][1] for share in shares] == [["a", "b"], ["c", "d", "e"]]


def test_anything_else_is_refused() -> None:
    with pytest.raises(UsageError) as caught:
        as_stream(torch.zeros(3))
    assert str(caught.value) == (
        "run.batches got Tensor. Give a rondel.Stream(data, batch_size=...), or a list of "
        "ready-made batches."
    )


# -- bad data --------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("error", [OSError("no"), SyntaxError("broken PNG file"), EOFError()])
def test_an_unreadable_sample_stops_with_its_name(workers: int, error: Exception) -> None:
    data = Fragile()
    data.error = error
    with pytest.raises(DataError) as caught:
        read(Stream(data, batch_size=4, shuffle=False), workers=workers)
    assert str(caught.value) == (
        f"stream 'train', index 3: photos/3.png cannot be read: {type(error).__name__}: {error}. "
        "Repair or remove it, or run with run.bad_samples=skip."
    )


@pytest.mark.parametrize("workers", [0, 1])
def test_unreadable_samples_are_left_out_with_their_noise(workers: int) -> None:
    seen: list[Unreadable] = []
    keys: dict[str, Any] = {"batch_size": 4, "shuffle": False}
    keys["noise"] = lambda n, g: torch.rand(n, generator=g)
    sound = read(Stream(Squares(), **keys))
    made = read(Stream(Fragile(), **keys), workers=workers, skip=seen.extend)
    assert flat(made) == [float(i**2) for i in range(11) if i not in (3, 4)]
    assert [u.index for u in seen] == [3, 4]
    assert seen[0].name == "photos/3.png"
    assert torch.equal(made[0][1], sound[0][1][:3])
    assert torch.equal(made[1][1], sound[1][1][1:])


def test_a_batch_of_which_nothing_can_be_read_is_an_error() -> None:
    with pytest.raises(
        DataError, match=r"photos/3\.png cannot be read.*no sample of its batch is l"
    ):
        read(Stream(Fragile(), batch_size=1, shuffle=False), skip=lambda _: None)


@pytest.mark.parametrize("workers", [0, 1])
def test_samples_that_make_no_batch_are_named(workers: int) -> None:
    data = [torch.zeros(2), torch.zeros(3)]
    with pytest.raises(DataError) as caught:
        read(Stream(data, batch_size=2, shuffle=False), workers=workers)
    said = str(caught.value)
    assert said.startswith("stream 'train': the samples 0, 1 do not fit into one batch: RuntimeErr")
    assert said.endswith("Give them one shape, or Stream(collate=...) a function that pads them.")


def test_a_mistake_in_the_program_is_no_bad_sample() -> None:
    def wrong(x: Tensor) -> Tensor:
        return x + "one"  # type: ignore[operator]

    with pytest.raises(TypeError):
        read(Stream(Squares(), batch_size=2, augment=wrong), skip=lambda _: None)


@pytest.mark.parametrize("data", [torch.zeros(0, 3), []])
def test_an_empty_data_set_is_refused(data: Any) -> None:
    with pytest.raises(
        DataError, match=r"stream 'train': the data set is empty\. Look at the source"
    ):
        Stream(data, batch_size=2)


def test_tensors_of_different_lengths_are_refused() -> None:
    with pytest.raises(DataError, match=r"the tensors have \[3, 4\] rows. Give tensors with one r"):
        Stream((torch.zeros(4), torch.zeros(3)), batch_size=2)


@pytest.mark.parametrize("size", [None, 0, -3])
def test_a_stream_needs_a_batch_size(size: int | None) -> None:
    with pytest.raises(
        UsageError, match=f"stream 'train': a batch size of {size}. Give batch_size"
    ):
        Stream(torch.zeros(4), batch_size=size)


def test_dropping_the_only_batch_is_refused() -> None:
    with pytest.raises(UsageError) as caught:
        Stream(torch.zeros(4), batch_size=8, drop_last=True)
    assert str(caught.value) == (
        "stream 'train': 4 samples do not fill one batch of 8. "
        "Lower batch_size, or leave drop_last out."
    )


class Ragged:
    """Rows of different lengths in memory, which a batch pads to its own longest."""

    rows = tuple(torch.arange(1, 2 + n % 5) for n in range(23))

    def __len__(self) -> int:
        return len(self.rows)

    def batch_of(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        chosen = [self.rows[index] for index in indices.tolist()]
        lengths = torch.tensor([len(row) for row in chosen], dtype=torch.int64)
        padded = torch.zeros(len(chosen), int(lengths.max()) if chosen else 0)
        for place, row in zip(padded, chosen, strict=True):
            place[: len(row)] = row
        return padded, lengths

    def describe(self, index: int) -> str:
        return f"rows.csv:{index + 2}"


def test_a_data_set_that_gathers_its_batches_needs_no_loader() -> None:
    made = Stream(Ragged(), batch_size=4)
    expected = [Ragged().batch_of(indices) for indices in made.plan(7, 0)]
    for start in (0, 3):
        batches = read(made, seed=7, start=start)
        assert len(batches) == len(expected) - start
        for batch, rows in zip(batches, expected[start:], strict=True):
            assert all(map(torch.equal, batch, rows))
    assert made._loader is None
    assert made.describe(3) == "3 (rows.csv:5)"


def test_processes_gather_their_shares_of_a_batch() -> None:
    made = Stream(Ragged(), batch_size=4, noise=lambda size, draw: torch.rand(size, generator=draw))
    whole = read(made, seed=7)
    shares = [read(made, seed=7, processes=Processes(rank, 3, CPU)) for rank in range(3)]
    for (_, lengths, noise), *parts in zip(whole, *shares, strict=True):
        assert torch.equal(torch.cat([mine for _, mine, _ in parts]), lengths)
        assert torch.equal(torch.cat([drawn for *_, drawn in parts]), noise)


class Measured(Ragged):
    """Rows that say how long they are."""

    @property
    def lengths(self) -> torch.Tensor:
        return torch.tensor([len(row) for row in self.rows])


def test_processes_share_a_batch_by_the_lengths_of_its_rows() -> None:
    keys: dict[str, Any] = {"noise": lambda size, draw: torch.rand(size, generator=draw)}
    made = Stream(Measured(), batch_size=6, **keys)
    whole = read(made, seed=7)
    shares = [read(made, seed=7, processes=Processes(rank, 2, CPU)) for rank in range(2)]
    for (rows, lengths, noise), *parts in zip(whole, *shares, strict=True):
        sums = [int(mine.sum()) for _, mine, _ in parts]
        assert max(sums) - min(sums) <= int(lengths.max())
        # each row once, and with the noise that it has in one process
        expected = {
            float(z): (int(n), row[:n].tolist())
            for row, n, z in zip(rows, lengths, noise, strict=True)
        }
        found = {
            float(z): (int(n), row[:n].tolist())
            for part in parts
            for row, n, z in zip(*part, strict=True)
        }
        assert found == expected


def test_a_data_set_that_makes_its_own_batches_has_nothing_to_augment() -> None:
    with pytest.raises(UsageError, match="has no single samples to vary"):
        Stream(Ragged(), batch_size=4, augment=lambda sample: sample)
