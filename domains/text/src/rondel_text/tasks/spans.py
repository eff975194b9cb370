"""Spans of a context by their logits (Devlin et al., 2019: BERT, sections 4.2 and 4.3).

Letters: B windows, L tokens of the longest, A tokens of the longest answer.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from rondel_text.data.batch import Texts
from rondel_text.data.passages import NONE, Window
from rondel_text.metrics.spans import Candidate
from rondel_text.models.text_model import TextModel


def span_logits(model: TextModel, texts: Texts) -> Tensor:
    """Return (B, L, 2) logits of first and last token; padding can be neither.

    (Heads of transformers let padding take part, so that their loss depends on the batch.)
    """
    logits = model(texts)
    place = torch.arange(logits.shape[1], device=logits.device)
    beyond = place >= texts.lengths[:, None].to(logits.device)
    masked: Tensor = logits.masked_fill(beyond[..., None], -torch.inf)
    return masked


def span_losses(logits: Tensor, starts: Tensor, ends: Tensor) -> Tensor:
    """Return (B,) the mean cross-entropy of first and last token (Devlin et al., section 4.2)."""
    first, last = (
        F.cross_entropy(logits[..., side], target, reduction="none")
        for side, target in enumerate((starts, ends))
    )
    return (first + last) / 2


def best_spans(logits: Tensor, offsets: Tensor, longest: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return score, first and last token of the best span of each window, (B,) each.

    The score is the sum of both logits (section 4.2), the maximum over spans that stand in the
    context, do not end before they start, and have at most ``longest`` tokens.

    Args:
        logits: (B, L, 2).
        offsets: (B, L or more, 2), negative where a token is none of the context.
        longest: A.
    """
    outside = offsets[:, : logits.shape[1], 0] < 0
    starts, ends = logits.masked_fill(outside[..., None], -torch.inf).unbind(2)
    # (B, L, A): the end that is so many tokens behind each start
    reach = F.pad(ends, (0, longest - 1), value=-torch.inf).unfold(1, longest, 1)
    scores, place = (starts[..., None] + reach).flatten(1).max(1)
    first = place // longest
    return scores, first, first + place % longest


def candidates(
    logits: Tensor, offsets: Tensor, windows: Sequence[Window], longest: int
) -> list[Candidate]:
    """Return the best span of each window as it stands in its context."""
    scores, first, last = best_spans(logits, offsets, longest)
    rows = torch.arange(len(logits), device=logits.device)
    last = last.clamp(max=logits.shape[1] - 1)
    stretches = torch.stack((offsets[rows, first, 0], offsets[rows, last, 1]), 1)
    found = zip(
        windows, scores.tolist(), logits[:, NONE].sum(1).tolist(), stretches.tolist(), strict=True
    )
    return [candidate(window, score, none, *stretch) for window, score, none, stretch in found]


def candidate(window: Window, score: float, none: float, start: int, end: int) -> Candidate:
    """Cut a span out of its context, without the blanks around it."""
    text = window.context[max(0, start) : max(0, end)]
    start = max(0, start) + len(text) - len(text.lstrip())
    return Candidate(window.row, score, start, text.strip(), none)
