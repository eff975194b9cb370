"""Exports of doccano and Prodigy become texts with spans or labels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rondel.errors import DataError
from rondel_text.data.reading import read_rows, recognise

TEXT = "Zoë Ångström went to São Paulo."


def lines(path: Path, *rows: dict[str, Any], end: str = "\r\n") -> Path:
    path.write_bytes("".join(json.dumps(row, ensure_ascii=False) + end for row in rows).encode())
    return path


def message(path: Path, name: str) -> str:
    with pytest.raises(DataError) as caught:
        read_rows(path, format=name)
    return str(caught.value)


def test_doccano_spans_are_read(tmp_path: Path) -> None:
    path = lines(
        tmp_path / "all.jsonl",
        {"id": 1, "text": "nothing here", "label": [], "Comments": []},
        {"id": 2, "text": TEXT, "label": [[0, 12, "PER"], [21, 30, "LOC"]], "Comments": []},
        {"id": 3, "text": "not seen"},
    )
    assert recognise(path) == "doccano"
    rows = read_rows(path)
    assert dict(rows.columns) == {
        "id": [1, 2, 3],
        "text": ["nothing here", TEXT, "not seen"],
        "spans": [[], [[0, 12, "PER"], [21, 30, "LOC"]], None],
    }
    start, end, _ = rows["spans"][1][1]
    assert TEXT[start:end] == "São Paulo"


def test_doccano_entities_are_read_with_the_labels_of_the_text(tmp_path: Path) -> None:
    entity = {"id": 9, "label": "LOC", "start_offset": 21, "end_offset": 30}
    path = lines(
        tmp_path / "all.jsonl",
        {"id": 1, "text": TEXT, "entities": [entity], "relations": [], "cats": ["travel"]},
        {"id": 2, "text": "b", "entities": [], "relations": [{"id": 1}], "cats": []},
    )
    assert recognise(path) == "doccano"
    rows = read_rows(path)
    assert list(rows["spans"]) == [[[21, 30, "LOC"]], []]
    assert list(rows["labels"]) == [["travel"], []]
    assert list(rows.columns) == ["id", "text", "labels", "spans"]
    assert list(rows.notes) == [f"{path}: relations between spans are not read: 1 rows"]


def test_doccano_labels_of_whole_texts_are_read(tmp_path: Path) -> None:
    path = lines(
        tmp_path / "all.jsonl",
        {"text": "a", "label": ["pos", "fun"]},
        {"text": "b", "labels": "neg"},
        {"text": "c", "label": []},
        {"text": "d", "label": 3},
        {"text": "e", "label": None},
    )
    rows = read_rows(path, format="doccano")
    assert list(rows["labels"]) == [["pos", "fun"], ["neg"], [], ["3"], None]
    assert recognise(path) == "jsonl"  # nothing tells it apart


def test_doccano_with_two_kinds_of_labels_is_refused(tmp_path: Path) -> None:
    path = lines(
        tmp_path / "a.jsonl",
        {"text": "a", "label": []},
        {"text": "a", "label": [[0, 1, "X"]]},
        {"text": "b", "label": ["pos"]},
    )
    assert message(path, "doccano") == (
        f"{path}:3: has labels of the whole text, line 2 has spans. "
        "Export the two projects to files of their own."
    )


@pytest.mark.parametrize("name", ["doccano", "prodigy"])
def test_a_row_without_a_text_is_refused(tmp_path: Path, name: str) -> None:
    path = lines(tmp_path / "a.jsonl", {"data": "a", "answer": "accept"})
    assert message(path, name) == f"{path}:1: has no 'text'. Found are 'data', 'answer'."


def test_a_text_that_is_no_string_is_refused(tmp_path: Path) -> None:
    path = lines(tmp_path / "a.jsonl", {"text": ["a"], "label": []})
    assert message(path, "doccano") == (
        f"{path}:1: the 'text' is a list, not a string. Found are 'text', 'label'."
    )


@pytest.mark.parametrize(
    ("span", "shown"),
    [
        ([0, 1], "[0, 1]"),
        ([0, "1", "X"], "[0, '1', 'X']"),
        ([0, 1, ""], "[0, 1, '']"),
        ([0, True, "X"], "[0, True, 'X']"),
        ({"start_offset": 0, "label": "X"}, "[0, None, 'X']"),
    ],
)
def test_a_malformed_span_is_refused(tmp_path: Path, span: object, shown: str) -> None:
    path = lines(tmp_path / "a.jsonl", {"text": "a", "label": [span]})
    assert message(path, "doccano") == (
        f"{path}:1: {shown!r} is no span. "
        'A span is [start, end, "LABEL"], counted in characters, the end exclusive.'
    ).replace(repr(shown), shown)


def test_spans_that_are_no_list_are_refused(tmp_path: Path) -> None:
    path = lines(tmp_path / "a.jsonl", {"text": "a", "entities": 5})
    assert message(path, "doccano") == (
        f"{path}:1: the spans are a number, not a list. A text without a span has an empty list."
    )


def test_a_label_that_is_no_string_is_refused(tmp_path: Path) -> None:
    path = lines(tmp_path / "a.jsonl", {"text": "a", "label": ["x", None]})
    assert message(path, "doccano") == (
        f"{path}:1: the label None is null, not a string. "
        "A label is a string, several are a list of strings."
    )


def test_prodigy_counts_accepted_rows_only(tmp_path: Path) -> None:
    person = {"start": 0, "end": 12, "token_start": 0, "token_end": 1, "label": "PER"}
    path = lines(
        tmp_path / "ner.jsonl",
        {"text": TEXT, "_input_hash": 1, "spans": [person], "answer": "accept", "tokens": []},
        {"text": "bad", "_input_hash": 2, "spans": [], "answer": "reject"},
        {"text": "hm", "_input_hash": 3, "spans": [], "answer": "ignore"},
        {"text": "hm", "_input_hash": 4, "spans": [], "answer": "ignore"},
        {"text": "new", "_input_hash": 5},
        {"text": "nobody", "_input_hash": 6, "answer": "accept"},
    )
    assert recognise(path) == "prodigy"
    rows = read_rows(path)
    assert dict(rows.columns) == {"text": [TEXT, "nobody"], "spans": [[[0, 12, "PER"]], []]}
    assert list(rows.numbers) == [1, 6]
    (note,) = rows.notes
    assert note == (
        f"{path}: rows were left out by their answer: "
        "2 with 'ignore', 1 with 'reject', 1 with no answer"
    )


def test_prodigy_choices_and_binary_labels_are_labels(tmp_path: Path) -> None:
    options = [{"id": "pos", "text": "Positive"}, {"id": 2, "text": "Two"}]
    path = lines(
        tmp_path / "cat.jsonl",
        {"text": "a", "options": options, "accept": ["pos", 2], "answer": "accept"},
        {"text": "b", "options": options, "accept": [], "answer": "accept"},
        {"text": "c", "label": "SPAM", "answer": "accept"},
        {"text": "d", "answer": "accept"},
    )
    assert recognise(path) == "prodigy"
    rows = read_rows(path)
    assert list(rows["labels"]) == [["pos", "2"], [], ["SPAM"], None]
    assert rows.notes == []


def test_prodigy_with_an_unknown_answer_is_refused(tmp_path: Path) -> None:
    path = lines(tmp_path / "a.jsonl", {"text": "a", "label": "X", "answer": "maybe"})
    assert message(path, "prodigy") == (
        f"{path}:1: the answer 'maybe' is unknown. Answers are 'accept', 'reject' and 'ignore'."
    )


def test_prodigy_without_an_accepted_row_is_refused(tmp_path: Path) -> None:
    path = lines(tmp_path / "a.jsonl", {"text": "a", "label": "X", "answer": "reject"})
    assert message(path, "prodigy") == (
        f"{path}: has no rows ({path}: rows were left out by their answer: 1 with 'reject'). "
        "It was read as Prodigy JSONL: look at how it was exported."
    )
