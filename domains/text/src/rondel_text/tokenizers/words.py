"""Texts as words and their letters; see `rondel_text.models.tagger`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from rondel_text.data.ragged import Ragged
from rondel_text.models.tagger import PADDING, Tagger
from rondel_text.tokenizers.tokenizer import Encoded, refuse

SPELT = 24
"""Letters of a word that are read; of a longer one its beginning."""
FIRST = Tagger.UNKNOWN + 1
"""The number of the first known word, and of the first known letter."""


class WordTokenizer:
    """Words that were seen often enough, and the letters of all of them.

    Args:
        words: In the order of their numbers, from `FIRST` on.
        letters: Likewise.
        longest: Most words of a text.
    """

    kind: ClassVar[str] = "words"
    mask = None
    special: Sequence[int] = ()

    def __init__(self, words: Sequence[str], letters: Sequence[str], longest: int) -> None:
        self.words = {word: number for number, word in enumerate(words, FIRST)}
        self.letters = {letter: number for number, letter in enumerate(letters, FIRST)}
        self.longest = longest

    @classmethod
    def trained(
        cls, sentences: Iterable[Sequence[str]], *, longest: int, fewest: int = 2
    ) -> WordTokenizer:
        """Learn the words that occur at least ``fewest`` times, most frequent first."""
        counts = Counter(word for sentence in sentences for word in sentence)
        ordered = sorted(counts, key=lambda word: (-counts[word], word))
        letters = sorted({letter for word in counts for letter in word[:SPELT]})
        return cls([word for word in ordered if counts[word] >= fewest], letters, longest)

    @property
    def size(self) -> int:
        """How many numbers there are."""
        return len(self.words) + FIRST

    @property
    def characters(self) -> int:
        """How many numbers of letters there are."""
        return len(self.letters) + FIRST

    def encode(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> Encoded:
        """Encode texts, which are split at white space."""
        if pairs is not None:
            raise refuse("words", "pairs of texts")
        return self.encode_words([text.split() for text in texts])

    def encode_words(self, sentences: Sequence[Sequence[str]]) -> Encoded:
        """Encode lists of words; each word is one token."""
        rows: dict[str, int] = {}
        kept = [list(sentence[: self.longest]) for sentence in sentences]
        known = [[self.words.get(word, Tagger.UNKNOWN) for word in words] for words in kept]
        spelt = [[rows.setdefault(word, len(rows) + 1) for word in words] for words in kept]
        cut = [len(whole) - len(words) for whole, words in zip(sentences, kept, strict=True)]
        firsts = [
            [*range(len(words)), *[-1] * missing] for words, missing in zip(kept, cut, strict=True)
        ]
        return Encoded(
            Ragged.of(known),
            torch.tensor(cut),
            spelling=self.spell(rows),
            words=Ragged.of(spelt),
            firsts=Ragged.of(firsts),
        )

    def spell(self, words: Iterable[str]) -> Tensor:
        """Return (1 + U, W) letters of words, row 0 without any."""
        rows = [
            [self.letters.get(letter, Tagger.UNKNOWN) for letter in word[:SPELT]] for word in words
        ]
        spelling, _ = Ragged.of([[], *rows]).padded(torch.arange(len(rows) + 1), PADDING)
        return spelling

    def to_facts(self) -> dict[str, Any]:
        """Return the vocabularies."""
        return {
            "kind": self.kind,
            "words": list(self.words),
            "letters": list(self.letters),
            "longest": self.longest,
        }

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> WordTokenizer:
        """Make the tokenizer again."""
        return cls(facts["words"], facts["letters"], facts["longest"])
