"""Texts as their UTF-8 bytes: no vocabulary, nothing unknown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch

from rondel_text.data.ragged import Ragged
from rondel_text.models.recall import START
from rondel_text.tokenizers.tokenizer import Encoded, refuse


class ByteTokenizer:
    """Bytes, with a mark before the first one.

    Args:
        longest: Most tokens of a text, the mark among them.
    """

    kind: ClassVar[str] = "bytes"
    mask = None
    special: Sequence[int] = (START,)
    size = START + 1

    def __init__(self, longest: int) -> None:
        self.longest = longest

    def encode(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> Encoded:
        """Encode texts; a lone surrogate becomes '?'."""
        if pairs is not None:
            raise refuse("bytes", "pairs of texts")
        pieces, cut = [], []
        for text in texts:
            found = np.frombuffer(text.encode("utf-8", "replace"), dtype=np.uint8)
            kept = torch.from_numpy(found[: self.longest - 1].astype(np.int64))
            pieces.append(torch.cat([torch.tensor([START]), kept]))
            cut.append(len(found) - len(kept))
        return Encoded(Ragged.join(pieces), torch.tensor(cut))

    def encode_words(self, sentences: Sequence[Sequence[str]]) -> Encoded:
        """Refuse: bytes are no words."""
        raise refuse("bytes", f"{len(sentences)} lists of words")

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of some tokens; broken characters are shown as such."""
        return bytes(number for number in ids if number != START).decode("utf-8", "replace")

    def to_facts(self) -> dict[str, Any]:
        """Return the limit."""
        return {"kind": self.kind, "longest": self.longest}

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> ByteTokenizer:
        """Make the tokenizer again."""
        return cls(facts["longest"])
