"""Tokenizers: the same text gives the same numbers, and a bundle's facts give the same tokenizer."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest
import torch

from rondel.errors import UsageError
from rondel_text.models.recurrent import START
from rondel_text.models.tagger import Tagger
from rondel_text.tokenizers import (
    ByteTokenizer,
    Encoded,
    PieceTokenizer,
    Tokenizer,
    WordTokenizer,
    tokenizer_of,
)
from rondel_text.tokenizers.subwords import SubwordTokenizer

TEXTS = [
    "The quick brown fox jumps over the lazy dog.",
    "Zürich, naïve: 東京 \N{PARTY POPPER} (x)",
    "a",
    "the the the dog",
]
WORDS = [text.split() for text in TEXTS]
NAMES = ("bytes", "pieces", "words", "subwords")


def tokenizers(longest: int = 12) -> Mapping[str, Tokenizer]:
    return {
        "bytes": ByteTokenizer(longest),
        "pieces": PieceTokenizer(1000, longest),
        "words": WordTokenizer.trained(WORDS, longest=longest),
        "subwords": SubwordTokenizer.trained(TEXTS, vocabulary=120, longest=longest),
    }


def same(one: Encoded, other: Encoded) -> bool:
    """Tell whether all tensors of two encodings are equal."""
    parts = []
    for each in (one, other):
        ragged = [each.ids, each.types, each.words, each.firsts]
        found = [None if part is None else (part.flat, part.ends) for part in ragged]
        parts.append(
            [*[t for pair in found for t in pair or (None, None)], each.cut, each.spelling]
        )
    return all(
        left is right if left is None or right is None else torch.equal(left, right)
        for left, right in zip(*parts, strict=True)
    )


@pytest.mark.parametrize("name", NAMES)
def test_facts_make_the_same_tokenizer_again(name: str) -> None:
    tokenizer = tokenizers()[name]
    facts = json.loads(json.dumps(tokenizer.to_facts()))
    again = tokenizer_of(facts)
    assert type(again) is type(tokenizer)
    assert (again.size, again.longest) == (tokenizer.size, tokenizer.longest)
    new = [*TEXTS, "unseen wörds here"]
    assert same(tokenizer.encode(new), again.encode(new))
    assert again.to_facts() == facts
    if name in ("words", "subwords"):
        assert same(tokenizer.encode_words(WORDS), again.encode_words(WORDS))


def test_facts_do_not_depend_on_what_was_encoded_before() -> None:
    tokenizer = tokenizers()["subwords"]
    before = tokenizer.to_facts()
    tokenizer.encode_words(WORDS)
    assert tokenizer.to_facts() == before


@pytest.mark.parametrize("name", NAMES)
def test_what_is_cut_is_counted(name: str) -> None:
    short, long = tokenizers(6)[name].encode(TEXTS), tokenizers(1000)[name].encode(TEXTS)
    assert int(long.cut.sum()) == 0
    assert torch.equal(short.ids.lengths + short.cut, long.ids.lengths)
    assert int(short.ids.lengths.max()) <= 6
    assert short.cut[0] > 0
    assert len(short) == len(TEXTS)


@pytest.mark.parametrize("name", NAMES)
def test_a_text_has_the_same_numbers_whatever_stands_beside_it(name: str) -> None:
    tokenizer = tokenizers()[name]
    together = tokenizer.encode(TEXTS)
    for row, text in enumerate(TEXTS):
        assert torch.equal(tokenizer.encode([text]).ids[0], together.ids[row])
        assert int(together.ids[row].max()) < tokenizer.size


def test_bytes_begin_with_their_mark_and_are_read_back() -> None:
    tokenizer = ByteTokenizer(100)
    made = tokenizer.encode(["naïve", ""])
    assert made.ids[0].tolist() == [START, *"naïve".encode()]
    assert made.ids[1].tolist() == [START]
    assert tokenizer.decode(made.ids[0].tolist()) == "naïve"


def test_words_are_known_from_their_second_time_on() -> None:
    tokenizer = WordTokenizer.trained([["b", "a", "b"], ["a", "c"]], longest=9)
    assert list(tokenizer.words) == ["a", "b"]
    made = tokenizer.encode_words([["a", "c", "b"]])
    assert made.ids[0].tolist() == [2, Tagger.UNKNOWN, 3]
    batch = made.texts(torch.tensor([0]))
    assert batch.letters is not None
    assert batch.letters[0, :, 0].tolist() == [
        tokenizer.letters["a"],
        tokenizer.letters["c"],
        tokenizer.letters["b"],
    ]


def test_padding_has_no_letters() -> None:
    made = tokenizers()["words"].encode_words([["the"], ["the", "dog", "x"]])
    batch = made.texts(torch.arange(2))
    assert batch.letters is not None
    assert batch.letters.shape == (2, 3, 3)
    assert not batch.letters[0, 1:].any()
    assert batch.letters[1].any(1).all()


def test_words_that_were_cut_off_have_no_first_token() -> None:
    for name, firsts in (("words", [0, 1, -1, -1]), ("subwords", None)):
        made = tokenizers(4)[name].encode_words([["the", "dog", "the", "dog"]])
        assert made.firsts is not None
        found = made.firsts[0].tolist()
        if firsts is None:
            assert found[0] == 1  # behind the mark
            assert found[-1] == -1
        else:
            made = tokenizers(2)[name].encode_words([["the", "dog", "the", "dog"]])
            assert made.firsts is not None
            assert made.firsts[0].tolist() == firsts
        assert int(made.cut[0]) == made.firsts[0].tolist().count(-1)


def test_the_first_token_of_a_word_is_where_it_begins() -> None:
    tokenizer = tokenizers(100)["subwords"]
    assert isinstance(tokenizer, SubwordTokenizer)
    made = tokenizer.encode_words(WORDS)
    assert made.firsts is not None
    for row, words in enumerate(WORDS):
        for place, word in zip(made.firsts[row].tolist(), words, strict=True):
            token = tokenizer.fast.convert_ids_to_tokens(int(made.ids[row][place]))
            assert token.startswith("Ġ")  # the blank in front of a word, as bytes are written
            assert not word.isascii() or word.lower().startswith(token[1:])


def test_the_same_texts_give_the_same_subwords() -> None:
    texts = [" ".join(words) for words in WORDS] * 3
    made = [SubwordTokenizer.trained(texts, vocabulary=300, longest=20) for _ in range(4)]
    assert len({tokenizer.to_facts()["engine"] for tokenizer in made}) == 1


def test_pairs_have_types() -> None:
    tokenizer = tokenizers(100)["subwords"]
    made = tokenizer.encode(["the dog", "a fox"], ["the fox", "a"])
    assert made.types is not None
    assert torch.equal(made.types.ends, made.ids.ends)
    for row, second in enumerate(("the fox", "a")):
        types = made.types[row]
        assert types[0] == 0
        assert types[-1] == 1
        assert bool((types.diff() >= 0).all())
        alone = tokenizer.encode([second]).ids[0][1:]
        assert torch.equal(made.ids[row][types == 1], alone)
    batch = made.texts(torch.arange(2))
    assert batch.types is not None
    assert batch.types.shape == batch.ids.shape
    assert tokenizer.encode(["the dog"]).types is None


def test_the_longer_text_of_a_pair_is_cut() -> None:
    tokenizer = tokenizers(16)["subwords"]
    made = tokenizer.encode(["the dog " * 9], ["fox"])
    assert made.types is not None
    assert len(made.ids[0]) == 16
    alone = tokenizer.encode(["fox"]).ids[0][1:]
    assert torch.equal(made.ids[0][made.types[0] == 1], alone)


def test_a_tokenizer_without_types_gives_none() -> None:
    tokenizer = SubwordTokenizer.trained(TEXTS, vocabulary=120, longest=20, typed=False)
    assert tokenizer.encode(["a"], ["b"]).types is None


@pytest.mark.parametrize(
    ("name", "what"),
    [("bytes", "pairs of texts"), ("pieces", "pairs of texts"), ("words", "pairs of texts")],
)
def test_pairs_are_refused_by_those_who_cannot(name: str, what: str) -> None:
    with pytest.raises(UsageError) as caught:
        tokenizers()[name].encode(["a"], ["b"])
    assert str(caught.value) == (
        f"the tokenizer of {name} cannot encode {what}. Choose a model that can: model.name=bert, "
        "or a folder of transformers."
    )


@pytest.mark.parametrize("name", ["bytes", "pieces"])
def test_words_are_refused_by_those_who_know_none(name: str) -> None:
    with pytest.raises(UsageError, match=f"the tokenizer of {name} cannot encode 2 lists of words"):
        tokenizers()[name].encode_words([["a"], ["b"]])
