"""SQuAD's exact match and F1: values worked out from the published definition."""

from __future__ import annotations

import pytest

from rondel.errors import UsageError
from rondel_text.metrics.answers import AnswerScores, words_of


@pytest.mark.parametrize(
    ("prediction", "accepted", "exact_match", "f1"),
    [
        ("Denver Broncos", ["Denver Broncos"], 1, 1),
        ("the Denver   broncos!", ["Denver Broncos"], 1, 1),  # article, space, case, punctuation
        ("Broncos", ["Denver Broncos"], 0, 2 / 3),  # precision 1, recall 1/2
        ("in the city of Denver", ["Denver"], 0, 2 / 5),  # 1 of 4 words, 1 of 1
        ("Denver Denver", ["Denver Broncos"], 0, 1 / 2),  # a word counts as often as in both
        ("Broncos Denver", ["Denver Broncos"], 0, 1),  # the order is that of exact match alone
        ("Santa Clara", ["Levi's Stadium", "Santa Clara, California"], 0, 4 / 5),  # the best answer
        ("stadium", ["stadiums"], 0, 0),
        ("", [], 1, 1),  # no answer, and none given
        ("Denver", [], 0, 0),
        ("", ["Denver"], 0, 0),
        ("the", [], 1, 1),  # nothing is left of it
        ("", ["The!"], 1, 1),  # an accepted answer that is none
        ("", ["the", "Denver"], 0, 0),  # ... beside one that is
    ],
)
def test_the_published_definition(
    prediction: str, accepted: list[str], exact_match: float, f1: float
) -> None:
    values = AnswerScores().update([prediction], [accepted]).compute()
    assert values == pytest.approx({"exact_match": exact_match, "f1": f1}, abs=1e-12)


def test_scores_are_means_over_questions() -> None:
    metric = AnswerScores().update(["Broncos", ""], [["Denver Broncos"], []])
    assert metric.compute() == pytest.approx({"exact_match": 0.5, "f1": 5 / 6}, abs=1e-12)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("An apple, a day.", ["apple", "day"]),
        ("theatre anthem", ["theatre", "anthem"]),  # articles are whole words
        ("U.S.A.", ["usa"]),  # punctuation goes first and leaves no gap
        ("a.k.a", ["aka"]),
        ("twenty-one", ["twentyone"]),
        ("caf\u00e9 \u201cLe Th\u00e9\u201d", ["caf\u00e9", "\u201cle", "th\u00e9\u201d"]),
        ("the\u00a0end\n", ["end"]),
    ],
)
def test_words_are_normalised(text: str, words: list[str]) -> None:
    assert words_of(text) == words


def test_predictions_without_their_answers_are_refused() -> None:
    with pytest.raises(UsageError) as caught:
        AnswerScores().update(["a", "b"], [["a"]])
    assert str(caught.value) == (
        "a metric got 2 predictions and 1 lists of references. "
        "Each prediction needs its own list of references."
    )
    with pytest.raises(UsageError) as caught:
        AnswerScores().update(["Denver"], ["Denver"])
    assert str(caught.value) == (
        "references[0] is the text 'Denver'. "
        "Give a list of references for each prediction: [['a reference'], ...]."
    )
    with pytest.raises(UsageError) as caught:
        AnswerScores().update("a", [["a"]])
    assert (
        str(caught.value) == "predictions is the text 'a'. Give a list of texts: ['a text', ...]."
    )
