"""Long texts in windows that a language model reads one by one; documents stay apart.

Letters: N windows, L tokens of a window.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Sequence

import torch
from torch import Tensor

from rondel_text.data.batch import IGNORED
from rondel_text.data.ragged import Ragged
from rondel_text.data.rows import Rows
from rondel_text.data.text_set import TextSet
from rondel_text.tokenizers import Encoded, Tokenizer


def windows(rows: Rows, texts: Sequence[str], tokenizer: Tokenizer, *, context: int) -> TextSet:
    """Cut each text into windows of ``tokenizer.longest`` tokens.

    Args:
        rows: Where the texts came from; the rows of the result are those of the windows.
        texts: One for each row.
        tokenizer: Encodes them.
        context: Tokens at the start of a window that stand in the one before, too: they are read,
            but not told again.

    Returns:
        The windows, with the targets (N, L) token that follows each token, and (N,) bytes of the
        text that a window tells: the share of its tokens in its text, rounded so that the sum is
        the text's.
    """
    longest, unlimited = tokenizer.longest, copy.copy(tokenizer)
    unlimited.longest = sys.maxsize
    whole = unlimited.encode(texts)
    pieces: list[Tensor] = []
    following: list[Tensor] = []
    sizes: list[int] = []
    source: list[int] = []
    for row, text in enumerate(texts):
        tokens = whole.ids[row]
        size = len(text.encode("utf-8", "replace"))
        for start, stop, told in cuts(len(tokens), longest, context):
            pieces.append(tokens[start:stop])
            following.append(targets(tokens, start, stop, told))
            last = max(1, len(tokens) - 1)
            sizes.append(size * (min(stop, last)) // last - size * told // last)
            source.append(row)
    encoded = Encoded(Ragged.join(pieces), torch.zeros(len(pieces), dtype=torch.int64))
    return TextSet(encoded, rows.take(source), (Ragged.join(following), torch.tensor(sizes)))


def cuts(length: int, longest: int, context: int) -> list[tuple[int, int, int]]:
    """Return start and end of each window, and the first token whose successor it tells."""
    found = [(0, min(length, longest), 0)]
    while found[-1][1] < length:
        told = found[-1][1]
        start = max(0, told - context)
        found.append((start, min(length, start + longest), told))
    return found


def targets(tokens: Tensor, start: int, stop: int, told: int) -> Tensor:
    """Return the token that follows each token of a window, `IGNORED` where it is not to be told."""
    after = torch.full((stop - start,), IGNORED, dtype=torch.int64)
    end = min(stop, len(tokens) - 1)
    if end > told:
        after[told - start : end - start] = tokens[told + 1 : end + 1]
    return after
