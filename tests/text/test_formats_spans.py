"""Spans are checked against their text, become IOB2 tags of tokens, and are found in tags again."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rondel.errors import DataError
from rondel_text.data.spans import Span, check_spans, spans_of_tags, tags_of_spans

TEXT = "Zoë flew to São Paulo 🛫 today"
TOKENS = [found.span() for found in re.finditer(r"\S+", TEXT)]


def refused(text: str, *spans: object) -> str:
    with pytest.raises(DataError) as caught:
        check_spans(text, spans, "a.jsonl:7")  # type: ignore[arg-type]
    return str(caught.value)


def test_checked_spans_come_in_order() -> None:
    spans = check_spans(TEXT, [[12, 21, "LOC"], [0, 3, "PER"], [3, 4, "X"]], "a.jsonl:7")
    assert spans == [Span(0, 3, "PER"), Span(3, 4, "X"), Span(12, 21, "LOC")]


@pytest.mark.parametrize("span", [(-1, 3), (0, 6), (7, 9)])
def test_a_span_outside_of_the_text_is_refused(span: tuple[int, int]) -> None:
    assert refused("Köln!", [*span, "LOC"]) == (
        f"a.jsonl:7: the span [{span[0]}, {span[1]}, 'LOC'] is outside of the text of 5 characters "
        "'Köln!'. Were offsets counted in bytes or UTF-16 units? They count characters here."
    )


@pytest.mark.parametrize("span", [(2, 2), (3, 1), (5, 5)])
def test_an_empty_span_is_refused(span: tuple[int, int]) -> None:
    assert refused("Köln!", [*span, "LOC"]) == (
        f"a.jsonl:7: the span [{span[0]}, {span[1]}, 'LOC'] is empty in the text 'Köln!'. "
        "Remove it, or give it an end behind its start: the end is exclusive."
    )


def test_overlapping_spans_are_refused() -> None:
    assert refused(TEXT, [16, 21, "CITY"], [12, 21, "LOC"]) == (
        "a.jsonl:7: the spans [12, 21, 'LOC'] 'São Paulo' and [16, 21, 'CITY'] 'Paulo' overlap. "
        "A token has one tag: keep one of the two, or label them in columns apart."
    )


def test_a_long_text_is_shortened_in_messages() -> None:
    message = refused("x" * 500, [0, 501, "LOC"])
    assert f"of 500 characters '{'x' * 57}...'." in message


def test_a_value_that_is_no_span_is_refused() -> None:
    assert refused("Köln!", [0, 1]) == (
        "a.jsonl:7: [0, 1] is no span. "
        'A span is [start, end, "LABEL"], counted in characters, the end exclusive.'
    )


def test_tokens_that_overlap_a_span_get_its_tags() -> None:
    spans = [[0, 3, "PER"], [12, 21, "LOC"]]
    assert tags_of_spans(TOKENS, spans) == ["B-PER", "O", "O", "B-LOC", "I-LOC", "O", "O"]
    assert tags_of_spans(TOKENS, [[14, 17, "LOC"]])[3:5] == ["B-LOC", "I-LOC"]
    assert tags_of_spans(TOKENS, [[3, 4, "X"], [11, 12, "X"]]) == ["O"] * 7  # blanks alone


def test_neighbours_of_one_label_begin_anew() -> None:
    offsets = [(0, 2), (2, 4), (4, 6)]
    assert tags_of_spans(offsets, [[0, 2, "X"], [2, 6, "X"]]) == ["B-X", "B-X", "I-X"]


def test_a_token_over_two_spans_belongs_to_the_first() -> None:
    assert tags_of_spans([(0, 4), (4, 8)], [[0, 2, "A"], [2, 6, "B"]]) == ["B-A", "B-B"]


def test_a_second_window_over_the_text_begins_anew() -> None:
    offsets = [(0, 2), (3, 5), (0, 2), (3, 5)]
    tags = tags_of_spans(offsets, [[0, 2, "A"], [3, 5, "B"]])
    assert tags == ["B-A", "B-B", "B-A", "B-B"]


def test_special_tokens_have_no_tag_wherever_they_stand() -> None:
    offsets = [(0, 0), (0, 3), (4, 8), (8, 8), (5, 5)]
    assert tags_of_spans(offsets, [[0, 9, "X"]]) == ["O", "B-X", "I-X", "O", "O"]
    assert spans_of_tags(offsets, ["B-X", "B-X", "I-X", "I-X", "B-X"]) == [Span(0, 8, "X")]


def test_tags_give_spans_in_iob1_and_iob2() -> None:
    offsets = [(0, 1), (2, 3), (4, 5), (6, 7), (8, 9)]
    assert spans_of_tags(offsets, ["I-A", "I-A", "B-A", "I-B", "O"]) == [
        Span(0, 3, "A"),
        Span(4, 5, "A"),
        Span(6, 7, "B"),
    ]
    assert spans_of_tags(offsets, ["B-A", "O", "I-A", "B-O", "I-O"]) == [
        Span(0, 1, "A"),
        Span(4, 5, "A"),
        Span(6, 9, "O"),
    ]
    assert spans_of_tags(offsets[:1], ["I-O"]) == [Span(0, 1, "O")]
    assert spans_of_tags(offsets[:2], ["B-A-B", "I-A-B"]) == [Span(0, 3, "A-B")]


def test_tags_and_tokens_of_two_lengths_are_refused() -> None:
    with pytest.raises(DataError) as caught:
        spans_of_tags([(0, 1)], ["O", "O"], "a.conll:3")
    assert str(caught.value) == (
        "a.conll:3: there are 2 tags for 1 tokens. Give each token one tag."
    )


@pytest.mark.parametrize("tag", ["X", "B", "B-", "S-PER", "B_PER", ""])
def test_a_tag_of_another_scheme_is_refused(tag: str) -> None:
    with pytest.raises(DataError) as caught:
        spans_of_tags([(0, 1)], [tag], "a.conll:3")
    assert str(caught.value) == (
        f"a.conll:3: {tag!r} is no IOB tag. Tags are O, B-LABEL and I-LABEL."
    )


@given(st.lists(st.tuples(st.integers(1, 4), st.booleans(), st.sampled_from("AB")), max_size=8))
@settings(max_examples=100, deadline=None)
def test_spans_of_whole_tokens_survive_the_way_to_tags_and_back(
    pieces: list[tuple[int, bool, str]],
) -> None:
    """Each piece is a number of tokens of two characters, whether they are a span, and its label."""
    offsets: list[tuple[int, int]] = []
    spans = []
    for count, labelled, label in pieces:
        start = 3 * len(offsets)
        offsets += [(start + 3 * token, start + 3 * token + 2) for token in range(count)]
        if labelled:
            spans.append(Span(start, offsets[-1][1], label))
    text = "ab " * len(offsets)
    assert check_spans(text, spans, "here") == spans
    assert spans_of_tags(offsets, tags_of_spans(offsets, spans)) == spans
