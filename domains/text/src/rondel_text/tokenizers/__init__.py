"""How texts become numbers: bytes, hashed pieces, words, and the subwords of transformers.

`tokenizer_of` makes any of them again from the plain values that a bundle keeps.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from rondel_text.tokenizers.bytes import ByteTokenizer
from rondel_text.tokenizers.pieces import PieceTokenizer
from rondel_text.tokenizers.tokenizer import Encoded, Tokenizer
from rondel_text.tokenizers.words import WordTokenizer

KINDS: Mapping[str, str] = {
    "bytes": "bytes:ByteTokenizer",
    "pieces": "pieces:PieceTokenizer",
    "words": "words:WordTokenizer",
    "subwords": "subwords:SubwordTokenizer",
}
"""Module and class of each kind; that of subwords needs transformers, which take seconds to load."""

__all__ = [
    "KINDS",
    "ByteTokenizer",
    "Encoded",
    "PieceTokenizer",
    "Tokenizer",
    "WordTokenizer",
    "tokenizer_of",
]


def tokenizer_of(facts: Mapping[str, Any]) -> Tokenizer:
    """Make a tokenizer of the plain values that its ``to_facts`` returned."""
    module, _, name = KINDS[facts["kind"]].partition(":")
    kind = getattr(importlib.import_module(f"{__name__}.{module}"), name)
    made: Tokenizer = kind.from_facts(facts)
    return made
