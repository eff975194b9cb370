"""Sequences of different lengths: what is put end to end comes out as a naive loop gives it."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rondel_text.data.ragged import Ragged

SEQUENCES = st.lists(st.lists(st.integers(-5, 9), max_size=7), max_size=8)


def naive(sequences: list[list[int]], indices: list[int], fill: int) -> list[list[int]]:
    longest = max([1, *(len(sequences[i]) for i in indices)])
    return [[*sequences[i], *[fill] * (longest - len(sequences[i]))] for i in indices]


@settings(max_examples=150, deadline=None)
@given(st.data(), SEQUENCES, st.integers(-100, 3))
def test_padding_equals_a_naive_loop(data: st.DataObject, rows: list[list[int]], fill: int) -> None:
    last = len(rows) - 1
    indices = data.draw(st.lists(st.integers(0, last), max_size=6)) if rows else []
    found, lengths = Ragged.of(rows).padded(torch.tensor(indices, dtype=torch.int64), fill)
    assert found.dtype == lengths.dtype == torch.int64
    assert found.tolist() == naive(rows, indices, fill)
    assert lengths.tolist() == [len(rows[i]) for i in indices]
    assert found.ndim == 2
    assert found.shape[1] >= 1


@settings(max_examples=60, deadline=None)
@given(SEQUENCES)
def test_sequences_are_read_back(rows: list[list[int]]) -> None:
    one = Ragged.of(rows)
    two = Ragged.join([torch.tensor(row, dtype=torch.int64) for row in rows])
    assert len(one) == len(two) == len(rows)
    assert torch.equal(one.flat, two.flat)
    assert one.lengths.tolist() == [len(row) for row in rows]
    for ragged in (one, two):
        assert [ragged[row].tolist() for row in range(len(rows))] == rows


@pytest.mark.parametrize("items", [0, 3])
def test_items_may_have_a_shape_of_their_own(items: int) -> None:
    ragged = Ragged(torch.ones(items, 2), torch.tensor([0, items]))
    found, lengths = ragged.padded(torch.tensor([1, 0, 1]), 7)
    assert found.shape == (3, max(1, items), 2)
    assert lengths.tolist() == [items, 0, items]
    assert (found[1] == 7).all()
    assert (found[0] == (1 if items else 7)).all()


def test_an_empty_choice_has_no_rows() -> None:
    for rows in ([], [[]], [[1, 2]]):
        found, lengths = Ragged.of(rows).padded(torch.zeros(0, dtype=torch.int64))
        assert found.shape == (0, 1)
        assert lengths.shape == (0,)
