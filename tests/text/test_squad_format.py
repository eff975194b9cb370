"""SQuAD's JSON becomes a row for each question; what is malformed is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rondel.config import parse_overrides, resolve
from rondel.errors import DataError
from rondel_text.config import TextConfig
from rondel_text.data.reading import read_rows, recognise
from rondel_text.data.source import gather, task_of_rows

TINY = Path(__file__).parent / "tiny" / "questions.json"
FORM = "SQuAD has data: a list of articles with paragraphs, each with a context and its qas."
CONTEXT = "The mill was built in 1820. A flood took it away in 1893."


def asked(**cells: Any) -> dict[str, Any]:
    answers = [{"text": "1820", "answer_start": 22}]
    return {"id": "a1", "question": "When was the mill built?", "answers": answers, **cells}


def squad(*questions: dict[str, Any], context: Any = CONTEXT) -> dict[str, Any]:
    paragraph = {"context": context, "qas": list(questions)}
    return {"version": "1.1", "data": [{"title": "Mill", "paragraphs": [paragraph]}]}


def written(path: Path, value: Any, **settings: Any) -> Path:
    path.write_text(json.dumps(value, **settings), encoding="utf-8")
    return path


def test_every_question_is_a_row_with_its_context(tmp_path: Path) -> None:
    flood = asked(id="a2", question="When was the flood?", answers=[])
    path = written(tmp_path / "mill.json", squad(asked(), flood))
    rows = read_rows(path)
    assert list(rows.columns) == ["id", "title", "context", "question", "answer", "answer_start"]
    assert list(rows["id"]) == ["a1", "a2"]
    assert list(rows["title"]) == ["Mill", "Mill"]
    assert list(rows["context"]) == [CONTEXT, CONTEXT]
    assert list(rows["question"]) == ["When was the mill built?", "When was the flood?"]
    assert list(rows["answer"]) == [["1820"], []]
    assert list(rows["answer_start"]) == [[22], []]
    assert [rows.where(row) for row in range(2)] == [f"{path}:1", f"{path}:2"]


def test_questions_are_counted_over_all_articles() -> None:
    rows = read_rows(TINY)
    raw = json.loads(TINY.read_text())
    flat = [
        (paragraph["context"], question)
        for article in raw["data"]
        for paragraph in article["paragraphs"]
        for question in paragraph["qas"]
    ]
    assert len(rows) == len(flat) == 54
    assert list(rows.numbers) == list(range(1, 55))
    for row, (context, question) in enumerate(flat):
        assert rows["context"][row] == context
        assert rows["question"][row] == question["question"]
        assert rows["answer"][row] == [answer["text"] for answer in question["answers"]]
        for text, start in zip(rows["answer"][row], rows["answer_start"][row], strict=True):
            assert context[start:].startswith(text)


def test_an_impossible_question_has_no_answer_but_an_open_one_has_no_cell(tmp_path: Path) -> None:
    """Version 2.0 says so beside answers that are only plausible; test files have no answers."""
    impossible = asked(is_impossible=True, plausible_answers=[{"text": "1893", "answer_start": 52}])
    unanswered = {"id": "a3", "question": "Who?"}
    rows = read_rows(written(tmp_path / "v2.json", squad(impossible, unanswered)))
    assert list(rows["answer"]) == [[], None]
    assert list(rows["answer_start"]) == [[], None]


def test_answers_may_come_without_their_starts(tmp_path: Path) -> None:
    rows = read_rows(written(tmp_path / "a.json", squad(asked(answers=[{"text": "1820"}]))))
    assert list(rows["answer"]) == [["1820"]]
    assert list(rows["answer_start"]) == [None]


@pytest.mark.parametrize("settings", [{}, {"indent": 1}, {"separators": (",", ":")}])
def test_the_format_is_recognised_in_one_line_and_in_many(
    tmp_path: Path, settings: dict[str, Any]
) -> None:
    path = written(tmp_path / "a.json", squad(asked()), **settings)
    assert recognise(path) == "squad"
    assert len(read_rows(path, format="squad")) == 1


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ([{"context": CONTEXT, "question": "Who?", "answer": "x"}], "json"),
        ({"context": CONTEXT, "question": "Who?", "answer": "x"}, "jsonl"),
        ({"paragraphs": ["a"], "text": "b"}, "jsonl"),
        ({"data": [{"text": 'it says "paragraphs": and "data":'}]}, "jsonl"),
    ],
)
def test_other_json_is_not_taken_for_it(tmp_path: Path, value: Any, name: str) -> None:
    assert recognise(written(tmp_path / "a.json", value)) == name


def test_names_of_files_say_what_is_evaluated_on(tmp_path: Path) -> None:
    written(tmp_path / "train-v2.0.json", squad(asked(), asked(id="a2")))
    written(tmp_path / "dev-v2.0.json", squad(asked(id="a3")))
    config = resolve(TextConfig, [parse_overrides(TextConfig, [f"data={tmp_path}"])]).config
    parts = gather(config)
    assert (list(parts.train["id"]), list(parts.valid["id"])) == (["a1", "a2"], ["a3"])
    assert task_of_rows(config, parts.train) == "answers"


def test_questions_about_one_context_stay_on_one_side() -> None:
    config = resolve(TextConfig, [parse_overrides(TextConfig, [f"data={TINY}"])]).config
    parts = gather(config)
    assert len(parts.train) + len(parts.valid) == 54
    assert not set(parts.train["context"]) & set(parts.valid["context"])


@pytest.mark.parametrize(
    ("value", "where", "what"),
    [
        ({"data": {"paragraphs": []}}, "", "'data' is no list of objects"),
        ({"data": [{"title": "x"}]}, ", article 1", "'paragraphs' is missing"),
        ({"data": [{"paragraphs": [7]}]}, ", article 1", "'paragraphs' is no list of objects"),
        ({"data": [{"paragraphs": [{"context": "x"}]}]}, ", article 1", "'qas' is missing"),
        (squad(asked(answers="1820")), ":1", "'answers' is no list of objects"),
    ],
)
def test_a_file_of_another_form_is_refused(
    tmp_path: Path, value: Any, where: str, what: str
) -> None:
    path = written(tmp_path / "a.json", value)
    with pytest.raises(DataError) as caught:
        read_rows(path, format="squad")
    assert str(caught.value) == f"{path}{where}: {what}. {FORM}"


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (squad(asked(), context=None), ", article 1: the 'context' is null, not a string."),
        (squad(asked(), asked(question=3)), ":2: the 'question' is a number, not a string."),
        (squad({"id": "x", "answers": []}), ":1: has no 'question'. Found are 'id', 'answers'."),
        (
            squad(asked(answers=[{"answer_start": 3}])),
            ":1: has no 'text'. Found are 'answer_start'",
        ),
    ],
)
def test_what_is_no_text_is_refused(tmp_path: Path, value: Any, told: str) -> None:
    path = written(tmp_path / "a.json", value)
    with pytest.raises(DataError) as caught:
        read_rows(path, format="squad")
    assert str(caught.value).startswith(f"{path}{told}")


def test_broken_json_is_named_by_its_line(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps(squad(asked()), indent=1).replace('"answers":', '"answers"'))
    assert recognise(path) == "squad"
    with pytest.raises(DataError) as caught:
        read_rows(path)
    line = 1 + path.read_text().split('"answers"')[0].count("\n")
    assert str(caught.value) == (
        f"{path}:{line}: is no JSON that can be used: Expecting ':' delimiter (column 18). The "
        "file holds one JSON object: export or download it again."
    )


def test_a_file_that_is_no_object_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "a.json", [1])
    with pytest.raises(DataError, match="is a list, not an object"):
        read_rows(path, format="squad")


def test_a_file_without_questions_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "a.json", squad())
    with pytest.raises(DataError) as caught:
        read_rows(path)
    assert "has no rows. It was read as SQuAD JSON" in str(caught.value)
