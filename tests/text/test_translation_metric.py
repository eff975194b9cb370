"""BLEU, chrF and chrF++ against sacrebleu."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

from rondel.errors import UsageError
from rondel_text.metrics.translation import Bleu, Chrf, Tokenization

TOKENIZATIONS: tuple[Tokenization, ...] = ("13a", "none", "char")
TEXT = "the a cat dog sat on mat, (quick) don't 3.5 1,000 brown-fox e.g. Wien? &amp; \u00fcber ..."
WORDS = TEXT.split()

PIECES = [
    *"ab1 2.,-'&;()\n\t\u00e4",
    "cat ",
    "&quot;",
    "&amp;lt;",
    "<skipped>",
    "-\n",
    "\u2028",
    "1,5",
]
texts = st.lists(st.sampled_from(PIECES), max_size=14).map("".join)
segments = st.lists(
    st.tuples(texts, st.lists(texts, min_size=2, max_size=2)), min_size=1, max_size=4
)


def corpus(seed: int, references: int, size: int = 40) -> tuple[list[str], list[list[str]]]:
    """Noisy copies of sentences, so that n-grams of all orders match."""
    draw = random.Random(seed)

    def noisy(words: list[str]) -> str:
        return " ".join(word if draw.random() < 0.8 else draw.choice(WORDS) for word in words)

    truth = [draw.choices(WORDS, k=draw.randint(3, 15)) for _ in range(size)]
    predictions = [noisy(words[: draw.randint(2, len(words))]) for words in truth]
    return predictions, [[noisy(words) for _ in range(references)] for words in truth]


def streams(references: list[list[str]]) -> list[list[str]]:
    """References as sacrebleu takes them: a list per reference, not per segment."""
    return [list(stream) for stream in zip(*references, strict=True)]


@pytest.mark.parametrize("tokenize", TOKENIZATIONS)
@pytest.mark.parametrize("references", [1, 3])
def test_bleu_is_sacrebleus(tokenize: Tokenization, references: int) -> None:
    predictions, truth = corpus(references, references)
    metric = Bleu(tokenize=tokenize).update(predictions[:13], truth[:13])
    ours = metric.update(predictions[13:], truth[13:]).compute()
    theirs = BLEU(tokenize=tokenize).corpus_score(predictions, streams(truth))
    assert 10 < ours < 90
    assert theirs.bp < 1  # the penalty takes part
    assert ours == pytest.approx(theirs.score, abs=1e-9)


@pytest.mark.parametrize("word_order", [0, 1, 2])
@pytest.mark.parametrize("references", [1, 3])
def test_chrf_is_sacrebleus(word_order: int, references: int) -> None:
    predictions, truth = corpus(references, references)
    metric = Chrf(word_order=word_order).update(predictions[:13], truth[:13])
    ours = metric.update(predictions[13:], truth[13:]).compute()
    theirs = CHRF(word_order=word_order).corpus_score(predictions, streams(truth))
    assert 10 < ours < 90
    assert ours == pytest.approx(theirs.score, abs=1e-9)


@pytest.mark.parametrize("tokenize", TOKENIZATIONS)
def test_bleu_of_odd_texts_is_sacrebleus(tokenize: Tokenization) -> None:
    @settings(max_examples=80, deadline=None, derandomize=True)
    @given(segments)
    def check(rows: list[tuple[str, list[str]]]) -> None:
        predictions, truth = [row[0] for row in rows], [row[1] for row in rows]
        theirs = BLEU(tokenize=tokenize).corpus_score(predictions, streams(truth))
        ours = Bleu(tokenize=tokenize).update(predictions, truth).compute()
        assert ours == pytest.approx(theirs.score, abs=1e-9)

    check()


@pytest.mark.parametrize("word_order", [0, 2])
def test_chrf_of_odd_texts_is_sacrebleus(word_order: int) -> None:
    @settings(max_examples=80, deadline=None, derandomize=True)
    @given(segments)
    def check(rows: list[tuple[str, list[str]]]) -> None:
        predictions, truth = [row[0] for row in rows], [row[1] for row in rows]
        theirs = CHRF(word_order=word_order).corpus_score(predictions, streams(truth))
        ours = Chrf(word_order=word_order).update(predictions, truth).compute()
        assert ours == pytest.approx(theirs.score, abs=1e-9)

    check()


def test_bleu_smooths_each_missing_order_by_half_of_the_one_before() -> None:
    metric = Bleu().update(["the cat is on a mat"], [["a cat sat on the mat"]])
    # 5 of 6 words; no longer n-gram: 1/2 of one in 5, 1/4 in 4, 1/8 in 3
    precisions = (5 / 6) * (1 / 10) * (1 / 16) * (1 / 24)
    assert metric.compute() == pytest.approx(100 * precisions**0.25, abs=1e-9)


def test_a_perfect_translation_scores_a_hundred_and_an_unlike_one_nothing() -> None:
    text = "a sentence that is long enough ."
    for metric in (Bleu, Chrf):
        assert metric().update([text], [[text]]).compute() == pytest.approx(100.0)
        assert metric().update([text], [["\u4e2d\u6587"]]).compute() == 0.0
        assert metric().update([""], [[text]]).compute() == 0.0


@pytest.mark.parametrize("metric", [Bleu(), Chrf()])
def test_segments_without_their_references_are_refused(metric: Bleu | Chrf) -> None:
    with pytest.raises(UsageError) as caught:
        metric.update(["a", "b"], [["a"], []])
    assert str(caught.value) == (
        "references[1] is empty. Each prediction needs at least one reference."
    )
    with pytest.raises(UsageError, match="got 1 predictions and 2 lists of references"):
        metric.update(["a"], [["a"], ["b"]])
    with pytest.raises(UsageError, match=r"references\[0\] is the text 'a'"):
        metric.update(["a"], ["a"])


def test_an_unknown_tokenization_is_refused() -> None:
    with pytest.raises(UsageError) as caught:
        Bleu(tokenize="zh")  # type: ignore[arg-type]
    assert str(caught.value) == (
        "'zh' is no tokenization of BLEU. Choose one of '13a', 'none', 'char'."
    )
