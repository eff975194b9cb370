"""ROUGE against rouge-score."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer

from rondel.errors import UsageError
from rondel_text.metrics.summary import RougeScores, common_places, lengths_of_common

MEASURES = ["rouge1", "rouge2", "rougeL", "rougeLsum"]
ORACLE = RougeScorer(MEASURES)

words = st.sampled_from(["a", "b", "c", "A.", "caf\u00e9", "x-1", "!", "\n", "\n\n"])
texts = st.lists(words, max_size=14).map(" ".join)


def oracle(predictions: list[str], references: list[list[str]]) -> dict[str, float]:
    scores = [
        ORACLE.score_multi(theirs, ours)
        for ours, theirs in zip(predictions, references, strict=True)
    ]
    return {name: sum(s[name].fmeasure for s in scores) / len(scores) for name in MEASURES}


def corpus(seed: int, references: int, size: int = 20) -> tuple[list[str], list[list[str]]]:
    draw = random.Random(seed)
    vocabulary = [f"w{number}" for number in range(30)]

    def text() -> str:
        return "\n".join(
            " ".join(draw.choices(vocabulary, k=draw.randint(1, 15))) for _ in range(3)
        )

    return [text() for _ in range(size)], [[text() for _ in range(references)] for _ in range(size)]


@pytest.mark.parametrize("references", [1, 3])
def test_rouge_is_rouge_scores(references: int) -> None:
    predictions, truth = corpus(references, references)
    metric = RougeScores().update(predictions[:7], truth[:7]).update(predictions[7:], truth[7:])
    values = metric.compute()
    assert 0 < values["rouge2"] < values["rougeL"] < values["rougeLsum"] < values["rouge1"] < 1
    assert values == pytest.approx(oracle(predictions, truth), abs=1e-12)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(texts, st.lists(texts, min_size=1, max_size=2))
def test_rouge_of_odd_texts_is_rouge_scores(prediction: str, references: list[str]) -> None:
    values = RougeScores().update([prediction], [references]).compute()
    assert values == pytest.approx(oracle([prediction], [references]), abs=1e-12)


def test_the_example_of_the_paper() -> None:
    """Lin (2004), 3.1: S2 shares "police the gunman", S3 "the gunman" with S1."""
    reference = "police killed the gunman"
    second = RougeScores().update(["police kill the gunman"], [[reference]]).compute()
    third = RougeScores().update(["the gunman kill police"], [[reference]]).compute()
    assert (second["rougeL"], third["rougeL"]) == (0.75, 0.5)
    assert second["rouge2"] == third["rouge2"]


def test_a_common_subsequence_is_one_of_the_longest() -> None:
    true, predicted = list("abcbdab"), list("bdcaba")
    places = common_places(true, predicted)
    assert len(places) == lengths_of_common(true, predicted)[-1][-1] == 4
    rest = iter(predicted)
    assert all(true[place] in rest for place in sorted(places))


def test_summaries_without_their_references_are_refused() -> None:
    with pytest.raises(UsageError) as caught:
        RougeScores().update(["a"], [[]])
    assert str(caught.value) == (
        "references[0] is empty. Each prediction needs at least one reference."
    )
    with pytest.raises(UsageError, match=r"references\[0\] is the text 'a b'"):
        RougeScores().update(["a b"], ["a b"])
