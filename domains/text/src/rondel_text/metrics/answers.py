"""How good extracted answers are: exact match and F1 of words, as SQuAD counts them.

Definitions: Rajpurkar et al. (2016), and Rajpurkar, Jia & Liang (2018) for questions without an
answer.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence
from typing import Self

from rondel_text.metrics.means import Means
from rondel_text.metrics.pairing import check_references

_ARTICLE = re.compile(r"\b(?:a|an|the)\b")
_WITHOUT_PUNCTUATION = str.maketrans("", "", string.punctuation)


class AnswerScores(Means):
    """Exact match and F1 of answers, shares in 0..1; the official script prints per cent."""

    def __init__(self) -> None:
        super().__init__("exact_match", "f1")

    def update(self, predictions: Sequence[str], references: Sequence[Sequence[str]]) -> Self:
        """Add questions: the predicted answer and the accepted ones of each.

        An empty list means that the question has no answer; the right prediction is then ``""``.
        """
        check_references(predictions, references, least=0)
        best = [
            _best(prediction, accepted)
            for prediction, accepted in zip(predictions, references, strict=True)
        ]
        self.add_rows(best)
        return self


def _best(prediction: str, accepted: Sequence[str]) -> tuple[float, float]:
    predicted = words_of(prediction)
    # an answer of which nothing is left is no answer; without any, nothing is the right one
    answers = [words for text in accepted if (words := words_of(text))] or [[]]
    exact = max(float(predicted == words) for words in answers)
    return exact, max(overlap_f1(predicted, words) for words in answers)


def words_of(text: str) -> list[str]:
    """Return the words that count: lower case, without ASCII punctuation and English articles."""
    return _ARTICLE.sub(" ", text.lower().translate(_WITHOUT_PUNCTUATION)).split()


def overlap_f1(predicted: Sequence[str], true: Sequence[str]) -> float:
    """Return the F1 of two bags of words; 1 if both are empty."""
    if not predicted and not true:
        return 1.0
    shared = (Counter(predicted) & Counter(true)).total()
    return 2.0 * shared / (len(predicted) + len(true))
