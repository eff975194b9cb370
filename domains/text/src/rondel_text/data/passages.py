"""Contexts in windows that repeat the end of the one before, each with its question in front.

Letters: N windows, T tokens of a pair.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from rondel_text.data.batch import IGNORED
from rondel_text.data.ragged import Ragged
from rondel_text.data.windows import cuts
from rondel_text.tokenizers.tokenizer import Encoded

if TYPE_CHECKING:
    from rondel_text.tokenizers.subwords import Aligned, SubwordTokenizer

Stretch = tuple[int, int]
"""Start and end in characters, the end exclusive."""
NONE = 0
"""The token that stands for 'no answer here': the first mark of a window."""
SHARE = 3
"""By default a window repeats a third of the tokens that it may have (384 and 128 are usual)."""


@dataclass(frozen=True)
class Passages:
    """Windows, and where the answer stands in each.

    Args:
        encoded: The windows, with ``offsets`` and ``sources``.
        starts: (N,) int64 the token that an answer begins with; 0, the first mark, if the window
            does not hold all of it (Devlin et al., 2019, section 4.3).
        ends: (N,) int64 the last token of it.
    """

    encoded: Encoded
    starts: Tensor
    ends: Tensor


@dataclass(frozen=True)
class Window:
    """What an answer is cut from and judged by: the row of a window, its context, its answers."""

    row: int
    context: str
    accepted: tuple[str, ...] = ()


def places_of(encoded: Encoded) -> tuple[Ragged, list[int]]:
    """Return where the tokens of windows stand in their contexts, and the row of each window."""
    assert encoded.offsets is not None, "windows know where their tokens stand"
    assert encoded.sources is not None, "windows know the row that they were cut from"
    return encoded.offsets, encoded.sources.tolist()


def passages(
    questions: Sequence[str],
    contexts: Sequence[str],
    tokenizer: SubwordTokenizer,
    *,
    overlap: int | None = None,
    answers: Sequence[Stretch | None] = (),
) -> Passages:
    """Cut contexts into windows of ``tokenizer.longest`` tokens, question and marks among them.

    A question may take half of a window; of a longer one the rest is cut off.

    Args:
        questions: One for each context.
        contexts: Of any length.
        tokenizer: Encodes both.
        overlap: Tokens of a context that a window repeats from the one before.
        answers: Where in its context the answer of each question stands, if it has one.
    """
    wanted = tokenizer.longest // SHARE if overlap is None else overlap
    pieces: list[tuple[Tensor, Tensor | None, Tensor]] = []
    facts: list[tuple[int, int, int, int]] = []  # source, cut, start, end
    for source, pair in enumerate(tokenizer.aligned(questions, contexts)):
        inside = tokens_of(pair, answers[source] if answers else None)
        offsets = pair.offsets.masked_fill(pair.sides[:, None] != 1, IGNORED)
        cut = beyond(pair, tokenizer.longest)
        for kept in windows_of(pair, tokenizer.longest, wanted):
            types = None if pair.types is None else pair.types[kept]
            pieces.append((pair.ids[kept], types, offsets[kept]))
            facts.append((source, cut, *whole_span(inside, kept)))
    sources, cuts_off, starts, ends = torch.tensor(facts, dtype=torch.int64).view(-1, 4).unbind(1)
    encoded = Encoded(
        Ragged.join(ids for ids, _, _ in pieces),
        cuts_off,
        types=Ragged.join(types for _, types, _ in pieces if types is not None)
        if tokenizer.typed
        else None,
        offsets=Ragged.join(places for _, _, places in pieces),
        sources=sources,
    )
    return Passages(encoded, starts, ends)


def windows_of(pair: Aligned, longest: int, overlap: int) -> Iterator[Tensor]:
    """Yield the places of the tokens of each window: marks, question and some of the context."""
    marks = pair.sides < 0
    question, context = ((pair.sides == side).nonzero()[:, 0] for side in (0, 1))
    asked = question[: limit(pair, longest)]
    room = max(1, longest - int(marks.sum()) - len(asked))
    for start, stop, _ in cuts(len(context), room, min(overlap, room - 1)):
        kept = marks.clone()
        kept[asked] = True
        kept[context[start:stop]] = True
        yield kept.nonzero()[:, 0]


def limit(pair: Aligned, longest: int) -> int:
    """Return the most tokens of a question: half of what marks leave."""
    return max(0, longest - int((pair.sides < 0).sum())) // 2


def beyond(pair: Aligned, longest: int) -> int:
    """Return how many tokens of a question are cut off."""
    return max(0, int((pair.sides == 0).sum()) - limit(pair, longest))


def tokens_of(pair: Aligned, stretch: Stretch | None) -> Tensor:
    """Return (T,) bool: the tokens that overlap a stretch of the context."""
    if stretch is None:
        return torch.zeros_like(pair.sides, dtype=torch.bool)
    start, end = stretch
    starts, ends = pair.offsets.unbind(1)
    # a token may begin with the blank in front of its word, and marks of a text may have no width
    return (pair.sides == 1) & (starts < ends) & (starts < end) & (ends > start)


def whole_span(inside: Tensor, kept: Tensor) -> tuple[int, int]:
    """Return the first and last place in a window of tokens; 0, 0 if it lacks one of them."""
    there = inside[kept].nonzero()[:, 0]
    if not len(there) or len(there) < int(inside.sum()):
        return 0, 0
    return int(there[0]), int(there[-1])
