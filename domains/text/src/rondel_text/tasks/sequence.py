"""What tasks share that give one answer for a whole text, or for a pair of texts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from rondel_text.data.columns import Columns, cells
from rondel_text.data.faults import Fault, empty_texts
from rondel_text.data.rows import Rows
from rondel_text.data.text_set import TextSet
from rondel_text.tokenizers import Encoded, Tokenizer


def encoded(rows: Rows, columns: Columns, tokenizer: Tokenizer) -> Encoded:
    """Encode the texts of rows, or their pairs."""
    pairs = None if columns.pair is None else cells(rows, columns.pair, "pair")
    return tokenizer.encode(cells(rows, columns.text, "text"), pairs)


def inputs(rows: Rows, columns: Columns, tokenizer: Tokenizer) -> TextSet:
    """Encode rows to predict for."""
    return TextSet(encoded(rows, columns, tokenizer), rows)


def text_faults(rows: Rows, columns: Columns) -> Iterator[Fault]:
    """Yield the rows without a text."""
    for key, name in (("text", columns.text), ("pair", columns.pair)):
        if name is not None:
            yield from empty_texts(name, cells(rows, name, key))


def joined(rows: Rows, columns: Columns) -> list[str]:
    """Return the texts, both of a pair as one: what a bag of words sees."""
    texts: Sequence[Any] = cells(rows, columns.text, "text")
    if columns.pair is None:
        return [str(text) for text in texts]
    pairs = cells(rows, columns.pair, "pair")
    return [f"{text}\n{pair}" for text, pair in zip(texts, pairs, strict=True)]
