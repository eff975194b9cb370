"""What a tokenizer offers. Letters: N texts, U distinct words, W letters of the longest word."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from torch import Tensor

from rondel.errors import UsageError
from rondel_text.data.batch import Texts
from rondel_text.data.ragged import Ragged


@dataclass(frozen=True, eq=False)
class Encoded:
    """Texts as numbers.

    Args:
        ids: The tokens of each text.
        types: For each token 0, or 1 in the second text of a pair; None without pairs.
        spelling: For models that spell: (U, W) letters of each word; ``words`` says which.
        words: The row of ``spelling`` of each token.
        firsts: For texts given as words: the place of each word's first token, -1 where it was cut
            off.
        cut: (N,) int64 tokens that were cut off each text.
        offsets: For contexts in windows: where each token stands in its context, (start, end) in
            characters; `IGNORED` twice for tokens of the question and marks.
        sources: For contexts in windows: (N,) int64 the row that each was cut from.
    """

    ids: Ragged
    cut: Tensor
    types: Ragged | None = None
    spelling: Tensor | None = None
    words: Ragged | None = None
    firsts: Ragged | None = None
    offsets: Ragged | None = None
    sources: Tensor | None = None

    def __len__(self) -> int:
        """Return N."""
        return len(self.ids)

    def texts(self, indices: Tensor) -> Texts:
        """Return some of the texts as a batch."""
        ids, lengths = self.ids.padded(indices)
        return Texts(
            ids,
            lengths,
            types=None if self.types is None else self.types.padded(indices)[0],
            letters=None if self.words is None else self._letters(indices),
        )

    def _letters(self, indices: Tensor) -> Tensor:
        """(B, L, W); row 0 of the spelling has no letters and stands for padding."""
        assert self.words is not None
        assert self.spelling is not None
        return self.spelling[self.words.padded(indices)[0]]


class Tokenizer(Protocol):
    """Turns texts into numbers; the same text always into the same ones."""

    kind: ClassVar[str]
    longest: int
    """Most tokens of a text; the rest is cut off and counted."""

    @property
    def mask(self) -> int | None:
        """The token that hides another, if there is one."""

    @property
    def special(self) -> Sequence[int]:
        """The tokens that stand for no text."""

    @property
    def size(self) -> int:
        """How many numbers there are."""

    def encode(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> Encoded:
        """Encode texts, or pairs of texts.

        Raises:
            UsageError: This tokenizer cannot encode pairs.
        """

    def encode_words(self, sentences: Sequence[Sequence[str]]) -> Encoded:
        """Encode texts that are lists of words; ``firsts`` of the result tells where each begins.

        Raises:
            UsageError: This tokenizer knows no words.
        """

    def to_facts(self) -> dict[str, Any]:
        """Return plain values of which `tokenizer_of` makes the tokenizer again."""

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> Tokenizer:
        """Make the tokenizer again."""


def refuse(kind: str, what: str) -> UsageError:
    """Describe what a tokenizer cannot do."""
    return UsageError(
        f"the tokenizer of {kind} cannot encode {what}",
        hint="Choose a model that can: model.name=bert, or a folder of transformers.",
    )
