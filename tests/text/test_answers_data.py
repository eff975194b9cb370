"""Questions and answers in files: what is found, what is refused, what simple models make of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from questions import (
    BERT,
    CONTEXT,
    TINY,
    built,
    config_of,
    jsonl,
    naive_scores,
    rows_of,
    small_loop,
)

from rondel.errors import ConfigError, DataError, RondelError
from rondel_text.baselines import nearest_sentences
from rondel_text.data.questions import Found, located
from rondel_text.inspection import inspect
from rondel_text.loops.text_loop import TextLoop
from rondel_text.tasks import Answers
from rondel_text.tasks.answer_rules import Rules


@pytest.fixture(scope="module")
def loop() -> TextLoop:
    return small_loop()


# -- what cells say --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cell", "starts", "found"),
    [
        ("red boat", 10, [(10, "red boat")]),
        ("red boat", "10", [(10, "red boat")]),
        (" red boat ", 9, [(10, "red boat")]),
        ("red boat", None, [(10, "red boat")]),
        ("red boat", "", [(10, "red boat")]),
        (["Jan", "Mia"], [0, 37], [(0, "Jan"), (37, "Mia")]),
        ({"text": ["Mia"], "answer_start": [37]}, None, [(37, "Mia")]),
        ([{"text": "Mia", "answer_start": 37}], None, [(37, "Mia")]),
        ([{"text": "Mia"}], None, [(37, "Mia")]),
        ("boat", 24, [(24, "boat")]),
        ("", None, []),
        ("  ", None, []),
        ([], [], []),
        ({"text": [], "answer_start": []}, None, []),
    ],
)
def test_answers_are_found_in_their_context(
    cell: Any, starts: Any, found: list[tuple[int, str]]
) -> None:
    made = located(CONTEXT, cell, starts)
    assert [(answer.start, answer.text) for answer in made.answers] == found
    assert all(CONTEXT[a.start : a.end] == a.text for a in made.answers)
    assert not made.moved
    assert not made.guessed


def test_a_start_that_does_not_fit_is_moved_if_the_answer_stands_once() -> None:
    assert located(CONTEXT, "red boat", 11) == Found(
        located(CONTEXT, "red boat", 10).answers, moved=True
    )


def test_of_several_places_the_first_is_taken_where_the_data_does_not_say_which() -> None:
    made = located(CONTEXT, "boat")
    assert made.guessed
    assert made.answers[0].start == CONTEXT.index("boat")


@pytest.mark.parametrize(
    ("cell", "starts", "what"),
    [
        ("Tom", None, "the answer 'Tom' does not stand in its context"),
        ("jan", 0, "the answer 'jan' does not stand in its context"),
        (
            "boat",
            3,
            "the answer 'boat' does not stand at 3, but at several other places of its context",
        ),
        (None, None, "there is no answer. A question that its context does not answer has an"),
        (7, None, "the answer 7 is no text"),
        (["Jan", None], None, "the answer None is no text"),
        (["Jan", "Mia"], [0], "there are 1 starts for 2 answers"),
        ("Jan", "x", "the start 'x' is no place in a context"),
        ("Jan", 0.5, "the start 0.5 is no place in a context"),
        ("Jan", -1, "the start -1 is no place in a context"),
        (["Jan"], [None], "the start None is no place in a context"),
        ("x" * 99, None, f"the answer '{'x' * 57}...' does not stand in its context"),
    ],
)
def test_answers_that_cannot_be_learnt_are_refused(cell: Any, starts: Any, what: str) -> None:
    with pytest.raises(DataError) as caught:
        located(CONTEXT, cell, starts)
    assert str(caught.value).startswith(what)


def refused(folder: Path, rows: Sequence[Mapping[str, Any]], *words: str) -> str:
    path = jsonl(folder / "train.jsonl", rows)
    with pytest.raises(RondelError) as caught:
        built(f"data={path}", f"validation={path}", *BERT, *words)
    return str(caught.value)


def changed(**cells: Any) -> list[dict[str, Any]]:
    rows = rows_of()
    rows[4].update(cells)
    return rows


@pytest.mark.parametrize(
    ("cells", "what"),
    [
        ({"answer": "Zoe"}, "column 'answer': the answer 'Zoe' does not stand in its context"),
        ({"answer": "e", "answer_start": 1}, "column 'answer': the answer 'e' does not stand at 1"),
        ({"answer": None}, "column 'answer': there is no answer."),
        ({"question": " "}, "column 'question': the text is empty"),
        ({"question": None}, "column 'question': the text is empty"),
        ({"context": ""}, "column 'context': the text is empty"),
        ({"context": 7}, "column 'context': 7 is no text"),
    ],
)
def test_a_row_that_nothing_can_be_learnt_from_is_named(
    tmp_path: Path, cells: dict[str, Any], what: str
) -> None:
    told = refused(tmp_path, changed(**cells))
    assert told.startswith("1 of 12 rows cannot be learnt from:\n")
    assert f"{tmp_path / 'train.jsonl'}:5, {what}" in told
    assert told.count("column") == 1
    assert told.endswith("Repair them, or leave them out by bad_rows=drop.")
    path = tmp_path / "train.jsonl"
    loop = built(f"data={path}", f"validation={path}", *BERT, "bad_rows=drop")
    assert len(set(loop.material.train.rows["question"])) == 11
    assert any(what in note for note in loop.material.notes)


def test_a_column_that_is_missing_is_named(tmp_path: Path) -> None:
    rows = [{"context": row["context"], "answer": row["answer"]} for row in rows_of()]
    told = refused(tmp_path, rows, "task=answers")
    assert told == (
        f"{tmp_path / 'train.jsonl'}: there is no column 'question'; there are 'context', 'answer'."
        " Say which is meant: pair=..."
    )
    told = refused(tmp_path, [{"context": "a", "question": "b"}], "task=answers")
    assert "there is no column 'label'; there are 'context', 'question'." in told


def test_questions_of_which_none_has_an_answer_are_refused(tmp_path: Path) -> None:
    rows = [{**row, "answer": "", "answer_start": None} for row in rows_of()]
    assert refused(tmp_path, rows) == (
        f"{tmp_path / 'train.jsonl'}: none of 12 questions has an answer. Is 'answer' the column "
        "that you meant? See label=..."
    )


def test_answers_that_are_all_cut_are_refused(tmp_path: Path) -> None:
    rows = [{**row, "answer": row["context"]} for row in rows_of()]
    assert refused(tmp_path, rows, "max_length=16") == (
        "100 % of the answers are cut: no window holds a whole one. Raise max_length or context "
        "(the tokens that windows repeat)."
    )


def test_what_is_not_learnt_as_the_data_says_is_noted(tmp_path: Path) -> None:
    rows = rows_of()
    rows[0]["answer_start"] = 2  # 'Jan' stands once
    rows[1].update(answer=rows[1]["context"], answer_start=None)  # longer than a window
    rows[2].update(answer="e", answer_start=None)  # stands at several places
    path = jsonl(tmp_path / "train.jsonl", rows)
    loop = built(f"data={path}", f"validation={path}", *BERT, "max_length=20")
    assert loop.material.notes == (
        (
            "1 of 12 answers (8.3%) stand whole in no window and are not learnt: raise max_length "
            "or context."
        ),
        "1 answers do not stand where the data says; each stands at one other place.",
        (
            "1 answers stand at several places, and the data does not say at which (answer_start): "
            "the first was taken."
        ),
    )


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (
            ("max_length=24", "context=10"),
            "context: windows of 24 tokens, half of them for a question, that repeat 10 may tell nothing",
        ),
        (
            ("max_length=15",),
            "max_length: windows of 15 tokens cannot hold a question and some of its context. Set",
        ),
        (
            ("model.name=small",),
            "model.name: there is no small model for pairs of texts. Choose model.name=bert, or a",
        ),
        (
            ("loop=pretrain",),
            "loop: the loop 'pretrain' does not fit the task 'answers'.",
        ),
    ],
)
def test_settings_that_do_not_fit_are_refused(
    tmp_path: Path, words: tuple[str, ...], told: str
) -> None:
    assert refused(tmp_path, rows_of(), *words).startswith(told)


def test_no_embedded_set_has_questions() -> None:
    with pytest.raises(ConfigError, match="no embedded set has the task 'answers'"):
        built("task=answers", *BERT)


def test_windows_are_384_tokens_by_default(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "train.jsonl", rows_of())
    words = [word for word in BERT if not word.startswith("max_length")]
    loop = built(f"data={path}", f"validation={path}", *words)
    assert loop.material.tokenizer.longest == 384


def test_columns_of_other_names_are_taken_from_the_config(tmp_path: Path) -> None:
    names = {"context": "passage", "question": "q", "answer": "a"}
    rows = [{new: row[old] for old, new in names.items()} for row in rows_of()]
    path = jsonl(tmp_path / "train.jsonl", rows)
    words = ("task=answers", "text=passage", "pair=q", "label=a")
    loop = built(f"data={path}", f"validation={path}", *BERT, *words)
    assert loop.task.columns.to_facts() == {"text": "passage", "pair": "q", "label": "a"}


def test_a_csv_with_an_empty_answer_has_questions_without_one(tmp_path: Path) -> None:
    path = tmp_path / "train.csv"
    lines = [f'"{r["context"]}",{r["question"]},{r["answer"]},0' for r in rows_of()]
    path.write_text("\n".join(["context,question,answer,answer_start", *lines]))
    task = built(f"data={path}", f"validation={path}", *BERT).task
    assert isinstance(task, Answers)
    assert not task.unanswerable
    assert task.rules.threshold is None
    path.write_text(path.read_text() + '\n"Tom sings.",Who swims?,,\n')
    task = built(f"data={path}", f"validation={path}", *BERT, "answers.threshold=1.5").task
    assert isinstance(task, Answers)
    assert task.unanswerable
    assert task.rules == Rules(30, 1.5, None)


# -- baselines -------------------------------------------------------------------------------------


def test_simple_models_are_measured_on_the_same_questions(loop: TextLoop) -> None:
    found = {baseline.name: baseline.values for baseline in loop.material.baselines}
    rows = loop.material.valid.rows
    asked = {rows.numbers[w]: w for w in range(len(rows))}.values()
    none = [naive_scores("", rows["answer"][w])[1] for w in asked]
    first = [
        naive_scores(" ".join(rows["context"][w].split()[:2]), rows["answer"][w])[1] for w in asked
    ]
    assert found["no answer"]["f1"] == pytest.approx(sum(none) / len(none))
    assert found["first 2 words"]["f1"] == pytest.approx(sum(first) / len(first))
    scores = [values["f1"] for values in found.values()]
    assert scores == sorted(scores, reverse=True)


def test_the_nearest_sentence_shares_the_rarest_words(tmp_path: Path) -> None:
    contexts = ["Jan sings. Mia swims in the lake. The lake is cold.", "One. Two!  Three?"]
    questions = ["Who swims?", "And three"]
    found = nearest_sentences(contexts, contexts, questions)
    assert found == ["Mia swims in the lake.", "Three?"]
    assert nearest_sentences(["."], contexts, questions) == ["Jan sings.", "One."]


def test_questions_are_described_before_a_training() -> None:
    told = inspect(config_of(f"data={TINY}"))
    assert "task: answers" in told
    lines = {line[:24].strip(): line[24:].split() for line in told.splitlines()}
    assert lines["with an answer"] == ["27", "18"]
    assert lines["without an answer"] == ["5", "4"]
    assert "answers have 2 words, the longest 7" in told
