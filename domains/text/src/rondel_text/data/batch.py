"""What a text model is fed with.

Letters: B texts, L tokens of the longest, W letters of the longest word.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

IGNORED = -100
"""Target of a token that no loss counts: padding, marks, the rest of a word (as in torch)."""


class Texts(NamedTuple):
    """Texts of a batch; a tuple of tensors, so that the engine can split and move it.

    They travel padded, because a batch is cut along its texts; a model may well compute the tokens
    alone.
    """

    ids: Tensor  # (B, L) int64; what stands behind a text's length means nothing
    lengths: Tensor  # (B,) int64
    types: Tensor | None = None  # (B, L) int64: 0 for the first text of a pair, 1 for the second
    letters: Tensor | None = None  # (B, L, W) int64, for models that spell words
