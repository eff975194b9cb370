"""How good summaries are: ROUGE-1, ROUGE-2, ROUGE-L and ROUGE-Lsum (Lin, 2004), without stemming.

Shapes: words of a reference down, words of a prediction across.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Self

from rondel_text.metrics.means import Means
from rondel_text.metrics.ngrams import ngrams
from rondel_text.metrics.pairing import check_references

_WORD = re.compile("[a-z0-9]+")  # English without accents, as Lin's script reads it


class RougeScores(Means):
    """Mean F-measures, shares in 0..1; of several references the best counts, by measure."""

    def __init__(self) -> None:
        super().__init__("rouge1", "rouge2", "rougeL", "rougeLsum")

    def update(self, predictions: Sequence[str], references: Sequence[Sequence[str]]) -> Self:
        """Add summaries: each a prediction and its references, at least one.

        ROUGE-Lsum takes each line for a sentence.
        """
        check_references(predictions, references)
        best = [
            [max(values) for values in zip(*(_measures(t, prediction) for t in texts), strict=True)]
            for prediction, texts in zip(predictions, references, strict=True)
        ]
        self.add_rows(best)
        return self


def _measures(reference: str, prediction: str) -> tuple[float, float, float, float]:
    true, predicted = words_of(reference), words_of(prediction)
    return (
        _ngram_f1(true, predicted, 1),
        _ngram_f1(true, predicted, 2),
        _longest_f1(true, predicted),
        _summary_f1(_sentences(reference), _sentences(prediction)),
    )


def rouge_l(reference: str, prediction: str) -> float:
    """Return ROUGE-L of one text: the F1 of the longest common subsequence of words, in 0..1."""
    return _longest_f1(words_of(reference), words_of(prediction))


def words_of(text: str) -> list[str]:
    """Return the lower-case runs of ASCII letters and digits."""
    return _WORD.findall(text.lower())


def _sentences(text: str) -> list[list[str]]:
    return [words_of(line) for line in text.split("\n")]


def _ngram_f1(true: list[str], predicted: list[str], n: int) -> float:
    theirs, ours = ngrams(true, n), ngrams(predicted, n)
    return _f1((theirs & ours).total(), theirs.total(), ours.total())


def _f1(shared: int, true: int, predicted: int) -> float:
    return 2.0 * shared / max(true + predicted, 1)


def _longest_f1(true: list[str], predicted: list[str]) -> float:
    return _f1(lengths_of_common(true, predicted)[-1][-1], len(true), len(predicted))


def _summary_f1(true: list[list[str]], predicted: list[list[str]]) -> float:
    """Return the F1 of the union, over predicted sentences, of what each shares with a true one."""
    union: Counter[str] = Counter()
    for sentence in true:
        places = set().union(*(common_places(sentence, other) for other in predicted))
        union.update(sentence[place] for place in places)
    # a word cannot be shared more often than the prediction holds it
    held = Counter(word for sentence in predicted for word in sentence)
    return _f1((union & held).total(), sum(map(len, true)), held.total())


def lengths_of_common(true: Sequence[str], predicted: Sequence[str]) -> list[list[int]]:
    """Return the length of the longest common subsequence of each pair of beginnings.

    The row and the column 0 are of empty beginnings (Wagner & Fischer, 1974).
    """
    rows = [[0] * (len(predicted) + 1)]
    for word in true:
        above, row = rows[-1], [0]
        for column, other in enumerate(predicted):
            row.append(above[column] + 1 if word == other else max(row[column], above[column + 1]))
        rows.append(row)
    return rows


def common_places(true: Sequence[str], predicted: Sequence[str]) -> set[int]:
    """Return where in ``true`` a longest common subsequence stands.

    Of several, the one that a walk from the ends finds: it takes each match it meets, and between
    two equally long ways it drops a word of ``true``. Reference implementations choose this one.
    """
    lengths, places = lengths_of_common(true, predicted), set()
    row, column = len(true), len(predicted)
    while row and column:
        if true[row - 1] == predicted[column - 1]:
            row, column = row - 1, column - 1
            places.add(row)
        elif lengths[row][column - 1] > lengths[row - 1][column]:
            column -= 1
        else:
            row -= 1
    return places
