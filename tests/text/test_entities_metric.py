"""Entities against seqeval, over well-formed and ill-formed tags."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from seqeval import scheme as schemes
from seqeval.metrics import classification_report
from seqeval.metrics.sequence_labeling import get_entities
from seqeval.scheme import Tokens

from rondel.errors import UsageError
from rondel_text.metrics.entities import EntityScores, Scheme, Span, spans_of

ORACLES: dict[Scheme, Any] = {"IOB2": schemes.IOB2, "IOBES": schemes.IOBES}


def tags(prefixes: str) -> st.SearchStrategy[list[str]]:
    kinds = ("", "-PER", "-LOC", "-A-B")
    return st.lists(st.sampled_from(["O", *(p + kind for p in prefixes for kind in kinds)]))


def corpora(prefixes: str) -> st.SearchStrategy[list[tuple[list[str], list[str]]]]:
    def pair(size: int) -> st.SearchStrategy[tuple[list[str], list[str]]]:
        one = st.sampled_from(["O", *(p + kind for p in prefixes for kind in ("-X", "-Y"))])
        sentence = st.lists(one, min_size=size, max_size=size)
        return st.tuples(sentence, sentence)

    return st.lists(st.integers(1, 6).flatmap(pair), min_size=1, max_size=4)


def sides(
    corpus: list[tuple[list[str], list[str]]],
) -> tuple[list[list[str]], list[list[str]]]:
    return [predicted for predicted, _ in corpus], [true for _, true in corpus]


def report(true: list[list[str]], predicted: list[list[str]], **options: Any) -> dict[str, float]:
    """What seqeval says, under our names."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # seqeval warns of shares of nothing
        rows = classification_report(true, predicted, output_dict=True, zero_division=0, **options)
    values: dict[str, float] = {}
    for row, shares in rows.items():
        if row not in ("macro avg", "weighted avg"):
            prefix = "" if row == "micro avg" else f"{row}."
            values[f"{prefix}precision"] = shares["precision"]
            values[f"{prefix}recall"] = shares["recall"]
            values[f"{prefix}f1"] = shares["f1-score"]
    return values


@settings(max_examples=200, deadline=None, derandomize=True)
@given(tags("BIES"))
def test_lenient_spans_are_seqevals(sentence: list[str]) -> None:
    expected = [(kind, start, end + 1) for kind, start, end in get_entities(sentence)]
    assert spans_of(sentence) == expected


@pytest.mark.parametrize(("scheme", "prefixes"), [("IOB2", "BI"), ("IOBES", "BIES")])
def test_strict_spans_are_seqevals(scheme: Scheme, prefixes: str) -> None:
    @settings(max_examples=100, deadline=None, derandomize=True)
    @given(tags(prefixes))
    def check(sentence: list[str]) -> None:
        entities = Tokens(sentence, ORACLES[scheme]).entities
        expected = [(entity.tag, entity.start, entity.end) for entity in entities]
        assert spans_of(sentence, scheme=scheme) == expected

    check()


@settings(max_examples=80, deadline=None, derandomize=True)
@given(corpora("BIES"))
def test_lenient_scores_are_seqevals(corpus: list[tuple[list[str], list[str]]]) -> None:
    predicted, true = sides(corpus)
    metric = EntityScores().update(predicted[:1], true[:1]).update(predicted[1:], true[1:])
    values = metric.compute()
    if any(spans_of(sentence) for sentence in predicted + true):
        assert values == pytest.approx(report(true, predicted), abs=1e-12)
    else:  # seqeval's report cannot be made
        assert values == {"precision": 0.0, "recall": 0.0, "f1": 0.0}


@pytest.mark.parametrize(("scheme", "prefixes"), [("IOB2", "BI"), ("IOBES", "BIES")])
def test_strict_scores_are_seqevals(scheme: Scheme, prefixes: str) -> None:
    @settings(max_examples=40, deadline=None, derandomize=True)
    @given(corpora(prefixes))
    def check(corpus: list[tuple[list[str], list[str]]]) -> None:
        predicted, true = sides(corpus)
        values = EntityScores(scheme=scheme).update(predicted, true).compute()
        if any(spans_of(sentence, scheme=scheme) for sentence in predicted + true):
            expected = report(true, predicted, mode="strict", scheme=ORACLES[scheme])
            assert values == pytest.approx(expected, abs=1e-12)
        else:
            assert values == {"precision": 0.0, "recall": 0.0, "f1": 0.0}

    check()


def test_the_forms_of_tags_mean_the_same() -> None:
    spans = [Span("PER", 0, 2), Span("PER", 2, 3), Span("LOC", 4, 5)]
    assert spans_of(["I-PER", "I-PER", "B-PER", "O", "I-LOC"]) == spans  # IOB1
    assert spans_of(["B-PER", "I-PER", "B-PER", "O", "B-LOC"]) == spans  # IOB2
    assert spans_of(["B-PER", "E-PER", "S-PER", "O", "S-LOC"]) == spans  # IOBES


def test_strictness_drops_what_does_not_begin_or_end() -> None:
    assert spans_of(["I-PER", "O", "B-LOC", "I-PER"], scheme="IOB2") == [Span("LOC", 2, 3)]
    assert spans_of(["B-PER", "I-PER", "O", "S-LOC"], scheme="IOBES") == [Span("LOC", 3, 4)]
    assert spans_of(["E-PER", "B-PER"], scheme="IOBES") == []


def test_half_an_entity_is_not_right() -> None:
    values = EntityScores().update([["B-PER", "O", "B-LOC"]], [["B-PER", "I-PER", "B-LOC"]])
    assert values.compute() == {
        "precision": 0.5,
        "recall": 0.5,
        "f1": 0.5,
        "LOC.precision": 1.0,
        "LOC.recall": 1.0,
        "LOC.f1": 1.0,
        "PER.precision": 0.0,
        "PER.recall": 0.0,
        "PER.f1": 0.0,
    }


@pytest.mark.parametrize("tag", ["", "PER", "BPER", "O-PER", "X-PER", "b-PER", "BI-PER"])
def test_what_is_no_tag_is_refused(tag: str) -> None:
    with pytest.raises(UsageError) as caught:
        spans_of(["O", tag])
    assert str(caught.value) == (
        f"{tag!r} is no tag of an entity. A tag is 'O', or one of B, I, E, S with a type: 'B-PER'."
    )


def test_a_tag_of_another_scheme_is_refused() -> None:
    with pytest.raises(UsageError, match=r"'S-PER' is no tag of an entity\. .* one of B, I with"):
        EntityScores(scheme="IOB2").update([["S-PER"]], [["B-PER"]])


def test_an_unknown_scheme_is_refused() -> None:
    with pytest.raises(UsageError) as caught:
        EntityScores(scheme="BILOU")  # type: ignore[arg-type]
    assert str(caught.value) == "'BILOU' is no scheme of tags. Choose 'IOB2', 'IOBES' or None."


def test_sentences_of_other_lengths_are_refused() -> None:
    with pytest.raises(UsageError) as caught:
        EntityScores().update([["O"], ["O", "O"]], [["O"], ["O"]])
    assert str(caught.value) == (
        "a metric got 1+2 predicted and 1+1 true tags. "
        "Each token of each sentence needs one predicted and one true tag."
    )
