"""Windows of long texts: each token is told once, and documents stay apart."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rondel_text.data.batch import IGNORED
from rondel_text.data.rows import Rows
from rondel_text.data.text_set import TextSet
from rondel_text.data.windows import cuts, windows
from rondel_text.tokenizers import ByteTokenizer
from rondel_text.tokenizers.subwords import SubwordTokenizer

TEXTS = st.lists(st.text(min_size=1, max_size=40), min_size=1, max_size=4)


def made(texts: list[str], longest: int, context: int) -> TextSet:
    rows = Rows.of({"text": texts}, name="x")
    return windows(rows, texts, ByteTokenizer(longest), context=context)


def check_told_once(found: TextSet, documents: list[list[int]], longest: int) -> None:
    """Follow the windows of each document, in their order, through its tokens."""
    following, _ = found.targets
    told: list[list[int]] = [[] for _ in documents]
    numbers = [number - 1 for number in found.rows.numbers]
    assert numbers == sorted(numbers)
    for window, document in enumerate(numbers):
        ids, after = found.encoded.ids[window].tolist(), following[window].tolist()
        assert len(ids) == len(after) <= longest
        for place, token in enumerate(after):
            if token != IGNORED and place + 1 < len(ids):
                assert token == ids[place + 1]
        told[document] += [token for token in after if token != IGNORED]
    assert told == [document[1:] for document in documents]


@settings(max_examples=120, deadline=None)
@given(TEXTS, st.integers(2, 12), st.data())
def test_every_token_but_the_first_is_told_once(
    texts: list[str], longest: int, data: st.DataObject
) -> None:
    context = data.draw(st.integers(0, longest - 1))
    found = made(texts, longest, context)
    whole = ByteTokenizer(1 << 30).encode(texts)
    documents = [whole.ids[row].tolist() for row in range(len(texts))]
    check_told_once(found, documents, longest)


@settings(max_examples=120, deadline=None)
@given(TEXTS, st.integers(2, 12), st.data())
def test_the_bytes_of_windows_are_those_of_their_document(
    texts: list[str], longest: int, data: st.DataObject
) -> None:
    found = made(texts, longest, data.draw(st.integers(0, longest - 1)))
    sizes: Counter[int] = Counter()
    for number, size in zip(found.rows.numbers, found.targets[1], strict=True):
        assert size >= 0
        sizes[number] += int(size)
    expected = {row: len(text.encode("utf-8", "replace")) for row, text in enumerate(texts, 1)}
    assert dict(sizes) == expected


@pytest.mark.parametrize(("longest", "context"), [(4, 0), (4, 3), (9, 2)])
def test_a_window_tells_the_bytes_of_its_own_tokens(longest: int, context: int) -> None:
    found = made(["abcdefghijklm"], longest, context)
    following, sizes = found.targets
    for window in range(len(found)):
        assert int(sizes[window]) == int((following[window] != IGNORED).sum())


def test_windows_repeat_the_context_and_tell_it_once() -> None:
    assert cuts(10, 4, 0) == [(0, 4, 0), (4, 8, 4), (8, 10, 8)]
    assert cuts(10, 4, 2) == [(0, 4, 0), (2, 6, 4), (4, 8, 6), (6, 10, 8)]
    assert cuts(3, 4, 2) == [(0, 3, 0)]


def test_documents_never_share_a_window() -> None:
    found = made(["a" * 5, "b" * 5, "c" * 30], 16, 4)
    for window in range(len(found)):
        letters = {chr(number) for number in found.encoded.ids[window].tolist() if number < 256}
        assert len(letters) == 1


def test_the_limit_of_the_tokenizer_is_what_it_was() -> None:
    tokenizer = ByteTokenizer(8)
    windows(Rows.of({"text": ["a" * 50]}, name="x"), ["a" * 50], tokenizer, context=0)
    assert tokenizer.longest == 8
    assert tokenizer.encode(["a" * 50]).ids.lengths.tolist() == [8]


def test_windows_of_subwords_are_cut_from_the_whole_text() -> None:
    texts = [" ".join(f"w{i} day" for i in range(30)), "day"]
    tokenizer = SubwordTokenizer.trained(texts, vocabulary=60, longest=8)
    found = windows(Rows.of({"text": texts}, name="x"), texts, tokenizer, context=2)
    whole = SubwordTokenizer(tokenizer.fast, 1 << 20).encode(texts)
    check_told_once(found, [whole.ids[row].tolist() for row in range(2)], 8)
    assert int(found.encoded.cut.sum()) == 0
    assert torch.equal(found.encoded.ids[0][:3], whole.ids[0][:3])
