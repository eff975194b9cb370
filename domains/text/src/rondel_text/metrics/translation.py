"""How good translations are: BLEU, chrF and chrF++ of a corpus, from summed counts.

Scores are in 0..100, as sacrebleu (Post, 2018) prints them.
"""

from __future__ import annotations

import math
import re
import string
from collections.abc import Callable, Sequence
from typing import Literal, Self

import torch

from rondel.errors import UsageError
from rondel.metric import SumMetric, zero
from rondel_text.metrics.ngrams import ngrams
from rondel_text.metrics.pairing import check_references

BLEU_ORDER = 4
CHARACTER_ORDER = 6
RECALL_WEIGHT = 2  # beta of chrF: recall counts twice as much as precision

Tokenization = Literal["13a", "none", "char"]


class Bleu(SumMetric):
    """BLEU of a corpus (Papineni et al., 2002), with exponential smoothing (Chen & Cherry, 2014).

    Keeps matches and totals by order, and both lengths.

    Args:
        tokenize: "13a" is that of the WMT shared tasks; "none" splits at white space; "char" takes
            every character but white space as a token.
    """

    def __init__(self, *, tokenize: Tokenization = "13a") -> None:
        if tokenize not in _TOKENIZERS:
            raise UsageError(
                f"{tokenize!r} is no tokenization of BLEU",
                hint=f"Choose one of {', '.join(map(repr, _TOKENIZERS))}.",
            )
        super().__init__(
            matches=zero(BLEU_ORDER).long(),
            totals=zero(BLEU_ORDER).long(),
            lengths=zero(2).long(),  # of the predictions, and of the references closest to them
            segments=zero().long(),
        )
        self._tokens_of = _TOKENIZERS[tokenize]

    def update(self, predictions: Sequence[str], references: Sequence[Sequence[str]]) -> Self:
        """Add segments: each a prediction and its references, at least one."""
        check_references(predictions, references)
        for prediction, texts in zip(predictions, references, strict=True):
            self._add_segment(self._tokens_of(prediction), [self._tokens_of(t) for t in texts])
        return self

    def _add_segment(self, predicted: list[str], references: list[list[str]]) -> None:
        counts = [_clipped(predicted, references, n) for n in range(1, BLEU_ORDER + 1)]
        matches, totals = torch.tensor(counts).unbind(1)
        size = len(predicted)
        closest = min((len(r) for r in references), key=lambda length: (abs(length - size), length))
        lengths = torch.tensor([size, closest])
        self.add(matches=matches, totals=totals, lengths=lengths, segments=torch.tensor(1))

    def compute(self) -> float:
        """Return BLEU in 0..100; NaN if nothing was added."""
        if not self["segments"]:
            return math.nan
        matches, totals = self["matches"], self["totals"]
        if not matches.any() or not totals.all():
            return 0.0
        # the k-th order without a match is given 1 / 2**k of a match
        missed = matches == 0
        credit = 0.5 ** missed.cumsum(0).double()
        precisions = torch.where(missed, credit, matches.double()) / totals
        predicted, reference = self["lengths"].tolist()
        brevity = min(0.0, 1.0 - reference / predicted)
        return 100.0 * math.exp(brevity + precisions.log().mean().item())


def _clipped(predicted: list[str], references: list[list[str]], n: int) -> tuple[int, int]:
    """Return how many n-grams match a reference, each as often as in any one, and how many are."""
    ours = ngrams(predicted, n)
    most = ngrams(references[0], n)
    for reference in references[1:]:
        most |= ngrams(reference, n)
    return (ours & most).total(), ours.total()


# Tokenization of NIST's mteval-v13a.pl. Apostrophe, comma, hyphen and full stop are no symbols: the
# first stays in its word, the others depend on the digits beside them.
_SYMBOL = re.compile("[" + re.escape("".join(sorted({*string.punctuation} - {*"',-."}))) + "]")
_ENTITIES = {"&quot;": '"', "&amp;": "&", "&lt;": "<", "&gt;": ">"}  # in the order of the script
_RULES = (
    (_SYMBOL, r" \g<0> "),
    (re.compile(r"([^0-9])([.,])"), r"\1 \2 "),
    (re.compile(r"([.,])([^0-9])"), r" \1 \2"),
    (re.compile(r"([0-9])-"), r"\1 - "),
)


def _tokens_13a(text: str) -> list[str]:
    text = text.rstrip().replace("<skipped>", "").replace("-\n", "").replace("\n", " ")
    for entity, character in _ENTITIES.items():
        text = text.replace(entity, character)
    text = f" {text} "
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    return text.split()


def _characters(text: str) -> list[str]:
    return list("".join(text.split()))


_TOKENIZERS: dict[str, Callable[[str], list[str]]] = {
    "13a": _tokens_13a,
    "none": str.split,
    "char": _characters,
}


class Chrf(SumMetric):
    """The F-score of character n-grams of a corpus: chrF (Popović, 2015), or chrF++ (2017).

    Keeps three counts by order. Of several references, the one with the best score of its segment
    counts.

    Args:
        word_order: Longest n-gram of words; 0 is chrF, 2 is chrF++.
    """

    def __init__(self, *, word_order: int = 0) -> None:
        orders = CHARACTER_ORDER + word_order
        super().__init__(counts=zero(orders, 3).long(), segments=zero().long())
        self._word_order = word_order

    def update(self, predictions: Sequence[str], references: Sequence[Sequence[str]]) -> Self:
        """Add segments: each a prediction and its references, at least one."""
        check_references(predictions, references)
        for prediction, texts in zip(predictions, references, strict=True):
            best = max((self._counts(prediction, text) for text in texts), key=chrf)
            self.add(counts=torch.tensor(best), segments=torch.tensor(1))
        return self

    def _counts(self, prediction: str, reference: str) -> list[tuple[int, int, int]]:
        """Return n-grams of the prediction, of the reference and shared, for each order."""
        characters = _characters(prediction), _characters(reference)
        words = _words(prediction), _words(reference)
        orders = [_overlap(*characters, n) for n in range(1, CHARACTER_ORDER + 1)]
        return orders + [_overlap(*words, n) for n in range(1, self._word_order + 1)]

    def compute(self) -> float:
        """Return the score in 0..100; NaN if nothing was added."""
        return chrf(self["counts"].tolist()) if self["segments"] else math.nan


def chrf(counts: Sequence[Sequence[int]]) -> float:
    """Return chrF in 0..100 from n-grams of predictions, of references and shared, by order.

    Precision and recall are means over the orders which both sides are long enough for.
    """
    # One order after the other, as sacrebleu: of equally good references the last digit decides.
    precision, recall, orders = 0.0, 0.0, 0
    for predicted, true, shared in counts:
        if predicted and true:
            precision += shared / predicted
            recall += shared / true
            orders += 1
    if not precision:
        return 0.0
    precision, recall, weight = precision / orders, recall / orders, RECALL_WEIGHT**2
    return 100.0 * ((1 + weight) * precision * recall / (weight * precision + recall))


def _overlap(predicted: list[str], reference: list[str], n: int) -> tuple[int, int, int]:
    ours, theirs = ngrams(predicted, n), ngrams(reference, n)
    # where the reference has no n-gram, those of the prediction are not held against it
    return ours.total() if theirs else 0, theirs.total(), (ours & theirs).total()


def _words(text: str) -> list[str]:
    """Split into words, and one mark of punctuation off each: the last, or else the first."""
    words: list[str] = []
    for word in text.split():
        if len(word) > 1 and word[-1] in string.punctuation:
            words += [word[:-1], word[-1]]
        elif len(word) > 1 and word[0] in string.punctuation:
            words += [word[0], word[1:]]
        else:
            words.append(word)
    return words
