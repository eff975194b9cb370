"""A text as a bag of hashed pieces: the classifier that learns most from few texts.

In the manner of fastText (Joulin et al., 2017): words, pairs of words and pieces of words each have
a vector and a learned weight; the weighted sum of a text's vectors and their greatest values are
classified. It knows nothing of order beyond the pieces, needs no vocabulary, and a text's logits
depend on that text alone.

Letters: B texts, L pieces of the text with the most, D width, C classes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from zlib import crc32

import torch
from torch import Tensor, nn
from torch.nn import functional

from rondel.errors import UsageError

GREATEST = 3.0
"""Factor on the greatest values: they are of one piece, the sum is of hundreds."""
TINY = 1e-6
SHORTEST_PIECE, LONGEST_PIECE = 2, 5


def pieces(text: str, *, buckets: int, most: int = 4096) -> list[int]:
    """Return the numbers of a text's distinct pieces, from 1 to ``buckets - 1``, in their order.

    Args:
        text: Any; upper and lower case are the same.
        buckets: Numbers to hash into. 0 is kept for padding.
        most: Pieces after so many are dropped.
    """
    names = dict.fromkeys(names_of(text.lower()))
    numbers = dict.fromkeys(1 + crc32(name.encode()) % (buckets - 1) for name in names)
    return list(numbers)[:most]


def names_of(text: str) -> Iterator[str]:
    """Yield words, pairs of them, and the pieces of 2 to 5 characters of all that is not blank."""
    words = re.findall(r"\w+", text)
    yield from (f"w {word}" for word in words)
    yield from (f"p {one} {two}" for one, two in pairwise(words))
    for chunk in text.split():
        framed = f" {chunk} "
        for size in range(SHORTEST_PIECE, LONGEST_PIECE + 1):
            yield from (f"c {framed[i : i + size]}" for i in range(len(framed) - size + 1))


class BagClassifier(nn.Module):
    """Classify texts by the vectors of their pieces.

    Args:
        classes: C.
        buckets: Numbers of pieces, 0 among them.
        width: D.
        piece_dropout: Chance of each piece to be left out in training.
        dropout: Chance of each value that is classified to be left out in training.

    Raises:
        UsageError: There are fewer than 2 buckets.
    """

    def __init__(
        self,
        classes: int,
        *,
        buckets: int = 1 << 16,
        width: int = 32,
        piece_dropout: float = 0.3,
        dropout: float = 0.3,
    ) -> None:
        super().__init__()
        if buckets < 2:
            raise UsageError(f"{buckets} buckets hold no piece", hint="Take 2 or more.")
        self.piece_dropout = piece_dropout
        self.vectors = nn.Embedding(buckets, width)
        self.weights = nn.Embedding(buckets, 1)  # logarithms
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(2 * width, classes)
        nn.init.normal_(self.vectors.weight, std=0.1)
        nn.init.zeros_(self.weights.weight)

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """Return logits (B, C).

        Args:
            tokens: (B, L) int64 numbers of pieces; what lies behind a text's length is not read.
            lengths: (B,) int64 pieces of each text; a text may have none.
        """
        kept = kept_pieces(tokens, lengths, self.piece_dropout if self.training else 0.0)
        weights = self.weights(tokens).exp() * kept[..., None]  # (B, L, 1)
        weighted = self.vectors(tokens) * weights  # (B, L, D), 0 where nothing is kept
        size = weights.square().sum(1).clamp(min=TINY).sqrt()
        # an empty column, so that a text of no piece has a greatest value: 0 as of one left out
        greatest = GREATEST * functional.pad(weighted, (0, 0, 0, 1)).amax(1)
        read = torch.cat((weighted.sum(1) / size, greatest), 1)  # (B, 2 D)
        logits: Tensor = self.output(self.dropout(read))
        return logits


class BagEncoder(nn.Module):
    """Represent texts by the weighted sum of the vectors of their pieces.

    Before it has learnt anything it is a random projection of the pieces that a text has, so that
    texts which share many are near to each other from the start.

    Args:
        buckets: Numbers of pieces, 0 among them.
        width: D.
        piece_dropout: Chance of each piece to be left out in training.

    Raises:
        UsageError: There are fewer than 2 buckets.
    """

    def __init__(
        self, *, buckets: int = 1 << 16, width: int = 128, piece_dropout: float = 0.3
    ) -> None:
        super().__init__()
        if buckets < 2:
            raise UsageError(f"{buckets} buckets hold no piece", hint="Take 2 or more.")
        self.piece_dropout = piece_dropout
        self.vectors = nn.Embedding(buckets, width)
        self.weights = nn.Embedding(buckets, 1)  # logarithms
        nn.init.normal_(self.vectors.weight, std=0.1)
        nn.init.zeros_(self.weights.weight)

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """Return (B, D); the arguments are those of `BagClassifier`."""
        kept = kept_pieces(tokens, lengths, self.piece_dropout if self.training else 0.0)
        weights = self.weights(tokens).exp() * kept[..., None]  # (B, L, 1)
        added: Tensor = (self.vectors(tokens) * weights).sum(1)
        return added


def kept_pieces(tokens: Tensor, lengths: Tensor, dropout: float) -> Tensor:
    """Return (B, L) bool: the pieces that are read, not all of a text's if some are dropped."""
    kept = torch.arange(tokens.shape[1], device=tokens.device) < lengths[:, None]
    if dropout == 0:
        return kept
    return kept & (torch.rand(tokens.shape, device=tokens.device) >= dropout)
