"""JSON and JSON Lines become rows; what is damaged is refused with line and column."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rondel.errors import DataError
from rondel_text.data.reading import read_rows, recognise

LINES = "Each line holds one whole JSON object; a file that is one JSON list has format 'json'."
LIST = "The file holds one JSON list of objects; one with an object a line has format 'jsonl'."


def written(path: Path, text: str) -> Path:
    path.write_bytes(text.encode())
    return path


def refused(path: Path, text: str) -> str:
    with pytest.raises(DataError) as caught:
        read_rows(written(path, text))
    return str(caught.value)


def test_jsonl_gives_none_for_a_missing_key_and_keeps_types(tmp_path: Path) -> None:
    text = (
        '\ufeff{"text": "Schön\u2028weiter", "label": 1}\r\n'
        "  \r\n"
        '{"text": "\\ud83d\\ude00", "tags": ["O", "B-X"], "ok": true}\r\n\r\n\r\n'
    )
    rows = read_rows(written(tmp_path / "a.jsonl", text))
    assert dict(rows.columns) == {
        "text": ["Schön\u2028weiter", "😀"],
        "label": [1, None],
        "tags": [None, ["O", "B-X"]],
        "ok": [None, True],
    }
    assert list(rows.numbers) == [1, 3]


def test_json_is_a_list_of_objects_with_their_lines(tmp_path: Path) -> None:
    text = (
        '[\r\n  {"text": "a\\nb",\r\n   "label": "x"},\r\n {"text": "ü"}, {"label": 2}\r\n]\r\n\r\n'
    )
    rows = read_rows(written(tmp_path / "a.json", text))
    assert [*rows] == [
        {"text": "a\nb", "label": "x"},
        {"text": "ü", "label": None},
        {"text": None, "label": 2},
    ]
    assert list(rows.numbers) == [2, 4, 4]


def test_lines_in_a_file_named_json_are_read_as_lines(tmp_path: Path) -> None:
    path = written(tmp_path / "train.json", '{"text": "a"}\n{"text": "b"}\n')
    assert recognise(path) == "jsonl"
    assert list(read_rows(path)["text"]) == ["a", "b"]


def test_a_first_line_longer_than_what_is_looked_at_is_recognised(tmp_path: Path) -> None:
    long = "x" * 100_000
    path = written(tmp_path / "train.json", f'{{"text": "{long}"}}\n{{"text": "b"}}\n')
    assert list(read_rows(path)["text"]) == [long, "b"]


@pytest.mark.parametrize(
    ("line", "what"),
    [
        (
            '{"text": "b" "label": 1}',
            "is no JSON that can be used: Expecting ',' delimiter (column 14)",
        ),
        (
            '{"text": "b"',
            "is no JSON that can be used: Expecting ',' delimiter (column 13)",
        ),
        ('{"text": "b"} {}', "is no JSON that can be used: Extra data (column 15)"),
        ('["b", "c"]', "is a list, not an object"),
        ('"b"', "is a string, not an object"),
        ("17", "is a number, not an object"),
        ("null", "is null, not an object"),
    ],
)
def test_a_line_that_is_no_object_is_refused(tmp_path: Path, line: str, what: str) -> None:
    path = tmp_path / "a.jsonl"
    assert refused(path, f'{{"text": "a"}}\n\n{line}\n{{"text": "c"}}\n') == (
        f"{path}:3: {what}. {LINES}"
    )


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ('[{"a": 1},\n {"a": }]', 2, "is no JSON that can be used: Expecting value (column 8)"),
        (
            '[{"a": 1}\n {"a": 2}]',
            2,
            "is no JSON that can be used: Expecting ',' delimiter (column 2)",
        ),
        ('[{"a": 1}\n]\n\n[]', 4, "is no JSON that can be used: Extra data (column 1)"),
        ('[{"a": 1},\n', 2, "is no JSON that can be used: Expecting value (column 1)"),
        (
            '{\n"data": []}',
            1,
            "is no JSON that can be used: it is an object, not a list (column 1)",
        ),
        ("text: a", 1, "is no JSON that can be used: Expecting value (column 1)"),
        ('[{"a": 1},\n\n "b"]', 3, "is a string, not an object"),
    ],
)
def test_a_file_that_is_no_list_is_refused(tmp_path: Path, text: str, line: int, what: str) -> None:
    path = tmp_path / "a.json"
    assert refused(path, text) == f"{path}:{line}: {what}. {LIST}"


@pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
def test_deep_nesting_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    deep = "[" * 100_000
    text = f'[{{"a": 1}},\n{{"a": {deep}' if name == "a.json" else f'{{"a": 1}}\n{{"a": {deep}'
    assert refused(path, text) == (
        f"{path}:2: is nested too deep. Flatten it: a row holds texts, numbers and lists of them."
    )


@pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
def test_a_number_of_too_many_digits_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    text = f'{{"a": {"9" * (sys.get_int_max_str_digits() + 1)}}}'
    message = refused(path, f"[\n{text}]" if name == "a.json" else f"\n{text}")
    assert message.startswith(f"{path}:2: cannot be read: Exceeds the limit")
    assert message.endswith("Write such values as strings.")


@pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
def test_half_a_character_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    text = '{"text": "cut \\ud83d"}'
    assert refused(path, f"[{text}]" if name == "a.json" else text) == (
        f"{path}:1: holds half a character, \\ud83d. "
        "A text was cut within a character: correct it there."
    )


def test_an_empty_list_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    assert refused(path, "[ ]\n") == (
        f"{path}: has no rows. It was read as JSON: look at how it was exported."
    )


WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=10)
VALUES = st.none() | st.booleans() | st.integers() | WORDS | st.lists(WORDS, max_size=3)
OBJECTS = st.lists(
    st.fixed_dictionaries({"text": WORDS, "label": VALUES, "tags": VALUES}), min_size=1, max_size=6
)
QUICK = settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@given(OBJECTS, st.booleans(), st.sampled_from(["\n", "\r\n", "\n\n"]))
@QUICK
def test_what_json_writes_in_lines_is_read_back(
    tmp_path: Path, objects: list[dict[str, object]], ascii_only: bool, end: str
) -> None:
    text = "".join(json.dumps(each, ensure_ascii=ascii_only) + end for each in objects)
    assert [*read_rows(written(tmp_path / "a.jsonl", text))] == objects


@given(OBJECTS, st.booleans(), st.sampled_from([None, 2]))
@QUICK
def test_what_json_writes_as_a_list_is_read_back(
    tmp_path: Path, objects: list[dict[str, object]], ascii_only: bool, indent: int | None
) -> None:
    text = json.dumps(objects, ensure_ascii=ascii_only, indent=indent)
    rows = read_rows(written(tmp_path / "a.json", text))
    assert [*rows] == objects
    if indent:
        lines = [number for number, line in enumerate(text.split("\n"), 1) if line == "  {"]
        assert list(rows.numbers) == lines
