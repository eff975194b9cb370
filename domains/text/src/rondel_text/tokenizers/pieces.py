"""Texts as sets of hashed words, pairs of words and pieces of words; see `rondel_text.models.bag`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch

from rondel_text.data.ragged import Ragged
from rondel_text.models.bag import pieces
from rondel_text.tokenizers.tokenizer import Encoded, refuse


class PieceTokenizer:
    """Hashed pieces; needs no vocabulary.

    Args:
        buckets: Numbers that pieces are hashed into.
        longest: Most pieces of a text.
    """

    kind: ClassVar[str] = "pieces"
    mask = None
    special: Sequence[int] = ()

    def __init__(self, buckets: int, longest: int) -> None:
        self.buckets = buckets
        self.longest = longest

    @property
    def size(self) -> int:
        """How many numbers there are."""
        return self.buckets

    def encode(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> Encoded:
        """Encode texts."""
        if pairs is not None:
            raise refuse("pieces", "pairs of texts")
        whole = [pieces(text, buckets=self.buckets, most=1 << 20) for text in texts]
        kept = [found[: self.longest] for found in whole]
        cut = [len(found) - len(part) for found, part in zip(whole, kept, strict=True)]
        return Encoded(Ragged.of(kept), torch.tensor(cut))

    def encode_words(self, sentences: Sequence[Sequence[str]]) -> Encoded:
        """Refuse: the order of the words would be lost."""
        raise refuse("pieces", f"{len(sentences)} lists of words")

    def to_facts(self) -> dict[str, Any]:
        """Return the settings."""
        return {"kind": self.kind, "buckets": self.buckets, "longest": self.longest}

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> PieceTokenizer:
        """Make the tokenizer again."""
        return cls(facts["buckets"], facts["longest"])
