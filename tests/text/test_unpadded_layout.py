"""Where tokens are: layouts, blocks, and what heads take of the states."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from rondel.errors import UsageError
from rondel_text.models.unpadded import Blocks, Cost, Hidden, Layout
from rondel_text.models.unpadded.blocks import divide
from rondel_text.models.unpadded.network import Batch
from rondel_text.models.unpadded.rows import spread, take

LENGTHS = (4, 1, 6, 3, 6, 5)


def states() -> tuple[Tensor, Layout]:
    """Return padded states (B, L, 2) and their layout."""
    padded = torch.randn(6, 8, 2, generator=torch.Generator().manual_seed(0))
    return padded, Layout.of(LENGTHS)


def hidden(call: int) -> tuple[Hidden, list[Tensor]]:
    """Return states in the order of blocks, and the states of each text."""
    padded, layout = states()
    blocks = Blocks.of(layout, Cost(call=call, copy=0))
    found = Hidden(layout.flatten(padded)[blocks.tokens], blocks.rows, layout)
    return found, [padded[i, :length] for i, length in enumerate(LENGTHS)]


def test_a_padded_batch_is_flattened_text_after_text() -> None:
    padded, layout = states()
    mask = layout.mask(8).bool()
    assert mask.sum(1).tolist() == list(LENGTHS)
    assert torch.equal(layout.flatten(padded), padded[mask])
    assert layout.positions.tolist() == [p for length in LENGTHS for p in range(length)]


@pytest.mark.parametrize("call", [0, 20, 10**6])
def test_heads_get_the_states_of_their_texts(call: int) -> None:
    found, texts = hidden(call)
    assert torch.equal(found.flat, torch.cat(texts))
    assert torch.equal(found.first(), torch.stack([text[0] for text in texts]))
    assert torch.equal(found.last(), torch.stack([text[-1] for text in texts]))
    torch.testing.assert_close(found.mean(), torch.stack([text.mean(0) for text in texts]))
    assert torch.equal(found.at(torch.tensor([7, 0])), torch.cat(texts)[[7, 0]])
    padded = found.padded()
    assert padded.shape == (6, 6, 2)
    assert all(torch.equal(padded[i, : len(text)], text) for i, text in enumerate(texts))
    assert padded.count_nonzero() == 2 * sum(LENGTHS)


@pytest.mark.parametrize("call", [0, 20, 10**6])
def test_blocks_hold_each_token_once(call: int) -> None:
    layout = Layout.of(LENGTHS)
    blocks = Blocks.of(layout, Cost(call=call, copy=0))
    assert torch.equal(blocks.tokens[blocks.rows], torch.arange(layout.tokens))
    assert [n for block in blocks.blocks for n in block.lengths] == sorted(LENGTHS, reverse=True)
    assert blocks.bounds.tolist() == [0, 6, 12, 17, 21, 24, 25]
    if blocks.sources is None or blocks.places is None:
        assert all(block.tight for block in blocks.blocks)
        return
    assert len(blocks.sources) == sum(block.places for block in blocks.blocks)
    assert torch.equal(blocks.sources[blocks.places], torch.arange(layout.tokens))


def test_a_text_joins_a_block_while_padding_costs_less_than_a_call() -> None:
    def sizes(call: int) -> list[int]:
        blocks = divide([10, 10, 9, 8, 2], Cost(call=call, copy=0))
        return [len(block.lengths) for block in blocks]

    assert sizes(0) == [2, 1, 1, 1]
    assert sizes(19) == [3, 1, 1]
    assert sizes(55) == [4, 1]
    assert sizes(1000) == [5]


def test_texts_are_not_copied_into_blocks_for_less_than_it_saves() -> None:
    # two calls less, for 11 + 35 padded pairs of tokens and the copies of 12 tokens
    lengths = [6, 5, 1]
    saved = 2 * 60 - 11 - 35
    assert len(divide(lengths, Cost(call=60, copy=saved // 12))) == 1
    assert len(divide(lengths, Cost(call=60, copy=saved // 12 + 1))) == 3


def test_taking_rows_has_the_gradient_of_indexing() -> None:
    source = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    index = torch.tensor([4, 0, 2])
    assert torch.equal(take(source, index), source[index])
    assert torch.autograd.gradcheck(take, (source, index))


def test_spread_rows_have_the_gradient_of_those_that_count() -> None:
    source = torch.randn(3, 2, dtype=torch.float64, requires_grad=True)
    index, kept = torch.tensor([0, 1, 1, 2, 2]), torch.tensor([0, 1, 3])

    def counted(rows: Tensor) -> Tensor:
        return spread(rows, index, kept)[kept]

    assert torch.autograd.gradcheck(counted, (source,))


@pytest.mark.parametrize("lengths", [[], [3, 0], [[1, 2]]])
def test_a_text_without_tokens_is_an_error(lengths: Any) -> None:
    with pytest.raises(UsageError, match="Give one length per text, each at least 1"):
        Layout.of(torch.tensor(lengths, dtype=torch.int64))


@pytest.mark.parametrize("lengths", [[2, 9], [2, 2, 2]])
def test_lengths_that_do_not_fit_the_ids_are_an_error(lengths: list[int]) -> None:
    with pytest.raises(UsageError, match=r"ids \(2, 8\) with . lengths up to"):
        Batch.of(torch.zeros(2, 8, dtype=torch.int64), torch.tensor(lengths))
