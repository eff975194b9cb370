"""Exports of Label Studio become texts with spans or labels, one annotation of each task."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rondel.errors import DataError
from rondel_text.data.reading import read_rows, recognise
from rondel_text.data.rows import Rows

TEXT = "Zoë Ångström went to São Paulo."


def tasks(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text(json.dumps(rows, ensure_ascii=False), encoding="utf-8")
    return path


def message(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        read_rows(path)
    return str(caught.value)


def choice(*names: str, control: str = "sentiment") -> dict[str, Any]:
    value = {"choices": list(names)}
    return {"from_name": control, "to_name": "text", "type": "choices", "value": value}


def region(start: int, end: int, text: str | None, *names: str) -> dict[str, Any]:
    value = {"start": start, "end": end, "labels": list(names)}
    if text is not None:
        value["text"] = text
    return {"from_name": "ner", "to_name": "text", "type": "labels", "id": "r", "value": value}


def task(text: str, *annotations: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"id": 1, "annotations": list(annotations), "data": {"text": text}, **more}


def annotation(*results: dict[str, Any], at: str = "2026-01-01T00:00:00Z", **more: Any) -> Any:
    return {"result": list(results), "was_cancelled": False, "updated_at": at, **more}


def labels_of(path: Path, *annotations: dict[str, Any]) -> Rows:
    return read_rows(tasks(path / "project-1-at-2026.json", task("x", *annotations)))


def test_labelstudio_tasks_give_labels_and_spans(tmp_path: Path) -> None:
    path = tasks(
        tmp_path / "export.json",
        task(TEXT, annotation(choice("pos"), region(21, 30, "São Paulo", "LOC"))),
        task("empty", annotation()),
        task("nobody"),
        task("skipped", annotation(choice("neg"), was_cancelled=True)),
        task("guess", predictions=[{"result": [choice("neg")]}]),
    )
    assert recognise(path) == "labelstudio"
    assert dict(read_rows(path).columns) == {
        "text": [TEXT, "empty", "nobody", "skipped", "guess"],
        "labels": [["pos"], [], None, None, None],
        "spans": [[[21, 30, "LOC"]], [], None, None, None],
    }


def test_labelstudio_predictions_alone_give_none(tmp_path: Path) -> None:
    guess = task("guess", predictions=[{"result": [choice("neg")]}])
    rows = read_rows(tasks(tmp_path / "a.json", guess))
    assert [*rows] == [{"text": "guess", "labels": None}]


def test_labelstudio_prefers_ground_truth_then_the_latest(tmp_path: Path) -> None:
    first = annotation(choice("first"))
    late = annotation(choice("late"), at="2026-03-01T00:00:00Z")
    dropped = annotation(choice("dropped"), at="2026-04-01T00:00:00Z", was_cancelled=True)
    truth = annotation(choice("truth"), at="2025-01-01T00:00:00Z", ground_truth=True)
    assert labels_of(tmp_path, first, late, dropped)["labels"] == [["late"]]
    assert labels_of(tmp_path, late, dropped, truth, first)["labels"] == [["truth"]]
    assert labels_of(tmp_path, first, annotation(choice("same")))["labels"] == [["first"]]


def test_labelstudio_keeps_the_data_and_the_controls_apart(tmp_path: Path) -> None:
    row = task("x", annotation(choice("a", control="topic"), choice("b", "c", control="tone")))
    row["data"]["source"] = "mail"
    assert [*read_rows(tasks(tmp_path / "a.json", row))] == [
        {"text": "x", "source": "mail", "labels_topic": ["a"], "labels_tone": ["b", "c"]}
    ]


def test_labelstudio_takes_the_only_string_for_the_text(tmp_path: Path) -> None:
    row = {"id": 1, "annotations": [annotation(choice("a"))], "data": {"review": "x", "stars": 3}}
    assert [*read_rows(tasks(tmp_path / "a.json", row))] == [
        {"text": "x", "stars": 3, "labels": ["a"]}
    ]


def test_labelstudio_offsets_in_utf16_units_become_characters(tmp_path: Path) -> None:
    text = "😀😀 Rome, Rome"
    found = annotation(region(5, 9, "Rome", "LOC"), region(9, 13, "Rome", "LOC"))
    rows = read_rows(tasks(tmp_path / "a.json", task(text, found)))
    assert rows["spans"] == [[[3, 7, "LOC"], [9, 13, "LOC"]]]  # the second one was in characters


def test_labelstudio_offsets_that_fit_both_ways_are_characters(tmp_path: Path) -> None:
    found = annotation(region(2, 4, "aa", "X"))
    rows = read_rows(tasks(tmp_path / "a.json", task("😀aaaa", found)))
    assert rows["spans"] == [[[2, 4, "X"]]]


def test_labelstudio_line_ends_in_the_shown_text_do_not_matter(tmp_path: Path) -> None:
    found = annotation(region(0, 4, "a\\nbc", "X"), region(0, 2, None, "Y", "Z"))
    rows = read_rows(tasks(tmp_path / "a.json", task("a\nbc", found)))
    assert rows["spans"] == [[[0, 4, "X"], [0, 2, "Y"], [0, 2, "Z"]]]


def test_labelstudio_with_a_region_over_another_text_is_refused(tmp_path: Path) -> None:
    path = tasks(tmp_path / "a.json", task("Paris, Rome", annotation(region(0, 4, "Rome", "LOC"))))
    assert message(path) == (
        f"{path}:1: the span [0, 4, 'LOC'] was drawn over 'Rome', but the text has 'Pari' there. "
        "The text was changed after it was labelled: label it again, or remove the region."
    )


def test_labelstudio_results_of_other_types_are_counted(tmp_path: Path) -> None:
    about_region = choice("loud")
    about_region["value"] |= {"start": 0, "end": 1}
    others = [{"type": "relation", "from_id": "a"}, {"type": "relation"}, about_region]
    rows = labels_of(tmp_path, annotation(choice("a"), *others))
    path = tmp_path / "project-1-at-2026.json"
    assert rows["labels"] == [["a"]]
    assert list(rows.notes) == [
        f"{path}: results of type 'choices' are not read: 1",
        f"{path}: results of type 'relation' are not read: 2",
    ]


def test_labelstudio_without_data_is_refused(tmp_path: Path) -> None:
    path = tasks(tmp_path / "a.json", {"id": 1, "annotations": []})
    assert message(path) == (
        f"{path}:1: the task has no 'data'. Export the project again, as JSON."
    )


def test_labelstudio_json_min_is_read(tmp_path: Path) -> None:
    def record(number: int, at: str, **data: Any) -> dict[str, Any]:
        extra = {"annotator": 1, "annotation_id": number, "lead_time": 2.5}
        return {"id": number, **data, **extra, "created_at": at, "updated_at": at}

    span = {"start": 21, "end": 30, "text": "São Paulo", "labels": ["LOC"]}
    path = tasks(
        tmp_path / "min.json",
        record(1, "2026-01-01", text=TEXT, tone="warm", topic={"choices": ["a", "b"]}, ner=[span]),
        record(2, "2026-01-02", text="later", tone="new"),
        record(2, "2026-01-01", text="later", topic={"choices": ["old"]}),
    )
    assert recognise(path) == "labelstudio"
    rows = read_rows(path)
    assert [*rows] == [
        {"text": TEXT, "tone": "warm", "labels": ["a", "b"], "spans": [[21, 30, "LOC"]]},
        {"text": "later", "tone": "new", "labels": [], "spans": []},
    ]
