"""The best answer of each question, whose context may be spread over windows, batches, processes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

from rondel_text.metrics.answers import AnswerScores


@dataclass(frozen=True)
class Candidate:
    """What a window offers as the answer.

    Args:
        row: The question.
        score: Of the span; minus infinity if the window has none.
        start: Where it begins in the context, in characters.
        text: The span.
        none: The score of 'no answer'.
    """

    row: int
    score: float
    start: int
    text: str
    none: float

    def joined(self, other: Candidate) -> Candidate:
        """Return the better of two spans of a question; 'no answer' is as good as its worst window.

        Of equal ones the first in the context counts, so that the order does not matter.
        """
        first = max((self, other), key=lambda each: (each.score, -each.start))
        return replace(first, none=min(self.none, other.none))

    def margin(self) -> float:
        """Return what the span scores above 'no answer'."""
        return self.score - self.none


class BestSpans:
    """Exact match and F1 of the best span of each question, as the official script counts them.

    Keeps one candidate for each question.

    Args:
        threshold: What a span must score above 'no answer' to be given (Devlin et al., 2019,
            section 4.3); None gives it whatever it scores.
    """

    def __init__(self, threshold: float | None = None) -> None:
        self.threshold = threshold
        self.best: dict[int, Candidate] = {}
        self.accepted: dict[int, tuple[str, ...]] = {}

    def update(self, found: Iterable[Candidate], accepted: Sequence[Sequence[str]] = ()) -> Self:
        """Add windows, and the accepted answers of the question of each."""
        for place, each in enumerate(found):
            known = self.best.get(each.row)
            self.best[each.row] = each if known is None else known.joined(each)
            if accepted:
                self.accepted[each.row] = tuple(accepted[place])
        return self

    def answer(self, row: int) -> str:
        """Return the answer to a question; an empty text for 'no answer'."""
        best = self.best[row]
        if self.threshold is not None and not best.margin() > self.threshold:
            return ""
        return best.text

    def merge(self, state: Mapping[str, Any]) -> None:
        """Add the questions of another process; a context may have windows in both."""
        columns = [state[name] for name in ("rows", "scores", "starts", "texts", "nones")]
        found = [Candidate(*cells) for cells in zip(*columns, strict=True)]
        self.update(found, state["accepted"])

    def state_dict(self) -> dict[str, Any]:
        """Return the best span of each question, and its accepted answers."""
        found = list(self.best.values())
        return {
            "rows": [each.row for each in found],
            "scores": [each.score for each in found],
            "starts": [each.start for each in found],
            "texts": [each.text for each in found],
            "nones": [each.none for each in found],
            "accepted": [list(self.accepted[each.row]) for each in found],
        }

    def compute(self) -> dict[str, float]:
        """Return exact_match and f1; of questions with and without an answer, too, if both occur.

        NaN if nothing was added.
        """
        rows = sorted(self.best)
        values = self._scored(rows)
        kinds = {
            name: [row for row in rows if bool(self.accepted[row]) is has_answer]
            for name, has_answer in (("answerable", True), ("unanswerable", False))
        }
        if all(kinds.values()):
            for name, some in kinds.items():
                values[f"{name}.f1"] = self._scored(some)["f1"]
        return values

    def _scored(self, rows: Sequence[int]) -> dict[str, float]:
        if not rows:
            return {"exact_match": math.nan, "f1": math.nan}
        told, true = [self.answer(row) for row in rows], [self.accepted[row] for row in rows]
        return AnswerScores().update(told, true).compute()
