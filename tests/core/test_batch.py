"""The shape of a batch: splits keep samples together and lose none."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rondel.batch import balanced, leaves, share, size_of, sliced, split, to_device
from rondel.errors import LossError


class Pair(NamedTuple):
    image: torch.Tensor
    label: torch.Tensor


def batch_of(size: int) -> tuple[Any, ...]:
    rows = torch.arange(size)
    names = [f"{i}.jpg" for i in range(size)]
    pair = Pair(rows[:, None], rows * 2)
    return (rows, {"names": names, "pair": pair, "scale": 0.5}, torch.tensor(3.0), "shared")


@settings(max_examples=60, deadline=None)
@given(size=st.integers(0, 40), pieces=st.integers(1, 50))
def test_pieces_are_the_whole_in_order(size: int, pieces: int) -> None:
    made = split(batch_of(size), pieces)
    sizes = [size_of(piece) for piece in made]
    assert sum(sizes) == size
    assert len(made) == max(1, min(pieces, size))
    assert max(sizes) - min(sizes) <= 1
    assert torch.cat([piece[0] for piece in made]).tolist() == list(range(size))
    names = [name for piece in made for name in piece[1]["names"]]
    assert names == [f"{i}.jpg" for i in range(size)]
    for rows, parts, scalar, word in made:
        assert torch.equal(parts["pair"].label, rows * 2)
        assert isinstance(parts["pair"], Pair)
        assert (parts["scale"], scalar.item(), word) == (0.5, 3.0, "shared")


@settings(max_examples=60, deadline=None)
@given(size=st.integers(0, 100), parts=st.integers(1, 9))
def test_shares_partition_a_batch(size: int, parts: int) -> None:
    bounds = [share(size, part, parts) for part in range(parts)]
    covered = [i for start, stop in bounds for i in range(start, stop)]
    assert covered == list(range(size))


def test_leaves_are_tensors_with_rows_and_lists() -> None:
    batch = (torch.zeros(2, 3), torch.tensor(1.0), "word", 7, {"names": ["a", "b"]})
    assert [len(leaf) for leaf in leaves(batch)] == [2, 2]


def test_a_batch_without_rows_has_no_samples() -> None:
    assert size_of(("word", torch.tensor(1.0))) == 0


def test_inputs_of_different_lengths_are_not_split() -> None:
    with pytest.raises(LossError) as caught:
        split((torch.zeros(4), torch.zeros(3)), 2)
    assert str(caught.value) == (
        "the inputs of the loss function have [3, 4] samples. Tensors and lists that are split "
        "must have one entry per sample; bind everything else to the function with "
        "functools.partial."
    )


def test_moving_and_slicing_keep_the_structure() -> None:
    moved = to_device(batch_of(3), torch.device("cpu"))
    assert isinstance(moved[1]["pair"], Pair)
    assert moved[1]["names"] == ["0.jpg", "1.jpg", "2.jpg"]
    assert sliced(moved, 1, 2)[1]["pair"].image.tolist() == [[1]]


@settings(max_examples=60, deadline=None)
@given(
    weights=st.lists(st.integers(0, 1000), max_size=40),
    parts=st.integers(1, 6),
)
def test_balanced_parts_take_every_row_once_and_about_as_much(
    weights: list[int], parts: int
) -> None:
    found = balanced(torch.tensor(weights, dtype=torch.int64), parts)
    assert len(found) == parts
    assert sorted(torch.cat(found).tolist()) == list(range(len(weights)))
    loads = [sum(weights[row] for row in rows.tolist()) for rows in found]
    assert max(loads) - min(loads) <= max(weights, default=0)
    assert all(rows.tolist() == sorted(rows.tolist()) for rows in found)
