"""Answers are scored as the official script does, over all windows; a trained model gives them."""

from __future__ import annotations

import itertools
import json
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from questions import (
    BERT,
    CONTEXT,
    TINY,
    answers_task,
    config_of,
    jsonl,
    naive_scores,
    questions_of,
    rows_of,
    small_loop,
)
from transformers import AutoModelForQuestionAnswering, AutoTokenizer

from rondel import Run, keyed
from rondel.batch import split
from rondel.errors import DataError, UsageError
from rondel.metric import merged
from rondel_text.build import build
from rondel_text.bundle import TextBundle
from rondel_text.data.rows import Rows
from rondel_text.loops.text_loop import TextLoop
from rondel_text.metrics.spans import BestSpans, Candidate
from rondel_text.tasks import Answers, task_of


@pytest.fixture(scope="module")
def loop() -> TextLoop:
    return small_loop()


# -- the best of several windows ---------------------------------------------------------------------


def test_the_best_window_of_a_question_counts() -> None:
    found = [
        Candidate(4, 1.0, 10, "a", 0.5),
        Candidate(2, -1.0, 0, "b", -3.0),
        Candidate(4, 3.0, 40, "c", 2.0),
        Candidate(4, 3.0, 30, "d", 9.0),
        Candidate(2, -2.0, 5, "e", -4.0),
    ]
    for order in itertools.permutations(range(5)):
        spans = BestSpans().update(found[i] for i in order)
        assert (spans.answer(4), spans.answer(2)) == ("d", "b")
        assert spans.best[4] == Candidate(4, 3.0, 30, "d", 0.5)
        assert spans.best[2].none == -4.0


@pytest.mark.parametrize(
    ("threshold", "answer"), [(None, "a"), (-1.0, "a"), (0.4, "a"), (0.5, ""), (3.0, "")]
)
def test_no_answer_is_given_where_a_span_is_not_better_by_the_threshold(
    threshold: float | None, answer: str
) -> None:
    """In the paper: s_ij > s_null + tau."""
    spans = BestSpans(threshold).update([Candidate(0, 1.0, 0, "a", 0.5)], [["a"]])
    assert spans.answer(0) == answer


# -- the official scores ---------------------------------------------------------------------------


def drawn_windows(count: int = 60) -> tuple[list[Candidate], list[tuple[str, ...]]]:
    draw = random.Random(3)
    texts = ("the red boat", "Red boat!", "boat", "", "nine", "a", "the nine boats")
    accepted = {row: tuple(draw.sample(texts, draw.choice((0, 1, 3)))) for row in range(20)}
    accepted = {row: tuple(filter(None, some)) for row, some in accepted.items()}
    found = [
        Candidate(draw.randrange(20), draw.random(), draw.randrange(9), draw.choice(texts), 0.4)
        for _ in range(count)
    ]
    return found, [accepted[each.row] for each in found]


@pytest.mark.parametrize("threshold", [None, 0.2])
def test_scores_are_those_of_the_official_script_over_the_best_windows(
    threshold: float | None,
) -> None:
    found, accepted = drawn_windows()
    values = BestSpans(threshold).update(found, accepted).compute()
    answers = dict(zip((each.row for each in found), accepted, strict=True))
    scores = {}
    for row, true in answers.items():
        best = min((each for each in found if each.row == row), key=lambda c: (-c.score, c.start))
        told = best.text if threshold is None or best.score - 0.4 > threshold else ""
        scores[row] = naive_scores(told, true)
    assert values["exact_match"] == pytest.approx(sum(e for e, _ in scores.values()) / len(scores))
    assert values["f1"] == pytest.approx(sum(f for _, f in scores.values()) / len(scores))
    for name, some in (
        ("answerable.f1", [scores[row][1] for row, true in answers.items() if true]),
        ("unanswerable.f1", [scores[row][1] for row, true in answers.items() if not true]),
    ):
        assert values[name] == pytest.approx(sum(some) / len(some))


def test_windows_of_a_question_may_be_in_several_processes() -> None:
    found, accepted = drawn_windows()
    whole = BestSpans(0.1).update(found, accepted)
    parts = [BestSpans(0.1).update(found[part::3], accepted[part::3]) for part in range(3)]
    for part in parts[1:]:
        parts[0].merge(json.loads(json.dumps(part.state_dict())))
    assert parts[0].compute() == whole.compute()
    assert parts[0].best == whole.best


def test_nothing_measured_is_no_number() -> None:
    assert all(value != value for value in BestSpans().compute().values())


@torch.no_grad()
def test_scores_do_not_depend_on_the_batches(loop: TextLoop) -> None:
    task = answers_task(loop)
    texts = task.judged(loop.material.valid)
    batch = texts.batch_of(torch.arange(len(texts)))
    whole, *parts = [task.scores() for _ in range(3)]
    whole.update(loop.model, *batch)
    for piece in split(batch, 9):
        parts[0].update(loop.model, *piece)
    expected = merged(whole.by_name, [])
    assert merged(parts[0].by_name, []) == pytest.approx(expected, rel=1e-6)
    assert len(whole.spans.best) == len(set(zip(texts.rows.file, texts.rows.numbers, strict=True)))
    assert loop.watch is not None
    assert loop.watch.metric in expected


@torch.no_grad()
def test_the_mean_that_is_learnt_is_the_one_that_is_measured(loop: TextLoop) -> None:
    batch = loop.material.valid.batch_of(torch.arange(20))
    scores = answers_task(loop).scores()
    judged = answers_task(loop).judged(loop.material.valid)
    scores.update(loop.model, *judged.batch_of(torch.arange(20)))
    expected = float(loop.loss(*batch).mean)
    assert merged(scores.by_name, [])["loss"] == pytest.approx(expected, rel=1e-5)


# -- a trained model -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[TextBundle, dict[str, float]]:
    """A bundle, saved and loaded, and what the run measured at its end."""
    folder = tmp_path_factory.mktemp("answers")
    keyed.reseed(0)
    config = config_of(f"data={TINY}", *BERT, "answers.threshold=-99")
    made = build(config)
    with Run(folder / "run", settings=config.run) as run:
        made.train(run)
        values = dict(run.evaluations["evaluation"])
    return TextBundle.load(made.bundle().save(folder / "bundle")), values


def test_a_bundle_evaluates_to_what_the_run_measured(
    trained: tuple[TextBundle, dict[str, float]],
) -> None:
    bundle, values = trained
    assert bundle.evaluate(None) == pytest.approx(values, rel=1e-5, abs=1e-6)
    assert set(bundle.evaluate(TINY)) == set(values)


def test_a_bundle_answers_questions_one_by_one_as_together(
    trained: tuple[TextBundle, dict[str, float]],
) -> None:
    bundle, _ = trained
    pairs = [(CONTEXT * 3, "Who has a kite?"), ("Tom sings.", "Who sings?"), (CONTEXT, "What?")]
    together = bundle.predict(pairs, batch_size=2)
    assert len(together) == 3
    for (context, _), one, pair in zip(pairs, together, pairs, strict=True):
        assert context[one["start"] : one["end"]] == one["answer"] != ""
        (alone,) = bundle.predict([pair])
        assert alone["score"] == pytest.approx(one["score"], abs=1e-4)
        assert alone["answer"] == one["answer"]


def test_answers_to_a_file_can_be_scored(
    trained: tuple[TextBundle, dict[str, float]], tmp_path: Path
) -> None:
    bundle, _ = trained
    lines = bundle.predict_files([str(TINY)], None).splitlines()
    asked = questions_of(TINY)
    rows = [json.loads(line) for line in lines]
    assert [row["id"] for row in rows] == [question["id"] for question in asked]
    assert [row["question"] for row in rows] == [question["question"] for question in asked]
    scores = [
        naive_scores(row["answer"], [answer["text"] for answer in question["answers"]])
        for row, question in zip(rows, asked, strict=True)
    ]
    values = bundle.evaluate(TINY)
    assert values["exact_match"] == pytest.approx(sum(e for e, _ in scores) / 54)
    assert values["f1"] == pytest.approx(sum(f for _, f in scores) / 54)
    told = bundle.predict_files([str(TINY)], tmp_path / "answers.csv")
    assert told == f"54 predictions written to {tmp_path / 'answers.csv'}"


@pytest.mark.parametrize(
    ("inputs", "told"),
    [
        (["a"], "the model answers questions. Give tuples of two: (context, question)."),
        ([("a", " ")], "the given texts:1, column 'question': the text is empty. Leave it out."),
        ([("", "a")], "the given texts:1, column 'context': the text is empty. Leave it out."),
    ],
)
def test_what_is_no_question_is_refused(
    trained: tuple[TextBundle, dict[str, float]], inputs: Any, told: str
) -> None:
    with pytest.raises((DataError, UsageError)) as caught:
        trained[0].predict(inputs)
    assert str(caught.value) == told


def test_transformers_loads_it_with_equal_logits(
    trained: tuple[TextBundle, dict[str, float]], tmp_path: Path
) -> None:
    bundle, _ = trained
    folder = bundle.export(tmp_path / "model", "transformers")
    model = AutoModelForQuestionAnswering.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    inputs = tokenizer("Who?", "Tom sings and Mia swims.", return_tensors="pt")
    rows = Rows.of({"context": ["Tom sings and Mia swims."], "question": ["Who?"]}, name="x")
    texts, *_ = bundle.task.encode_inputs(rows, bundle.tokenizer).batch_of(torch.tensor([0]))
    with torch.no_grad():
        output, expected = model(**inputs), bundle.model(texts)
    assert torch.equal(inputs["input_ids"], texts.ids)
    torch.testing.assert_close(output.start_logits, expected[..., 0], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(output.end_logits, expected[..., 1], rtol=1e-4, atol=1e-5)
    with pytest.raises(UsageError, match="a TransformerModel cannot be exported as ONNX yet"):
        bundle.export(tmp_path / "model.onnx", "onnx")


def test_the_task_is_made_again_of_its_facts(loop: TextLoop) -> None:
    facts = json.loads(json.dumps(loop.task.to_facts()))
    again = task_of(facts)
    assert isinstance(again, Answers)
    assert again.to_facts() == loop.task.to_facts()
    assert again.rules == answers_task(loop).rules


@pytest.mark.parametrize(
    "words", [("loop=gradual", "epochs=4"), ("loop=pretrain_then_finetune", "pretraining.epochs=1")]
)
def test_other_loops_learn_answers_too(tmp_path: Path, words: tuple[str, ...]) -> None:
    path = jsonl(tmp_path / "train.jsonl", rows_of())
    config = config_of(f"data={path}", f"validation={path}", *BERT, *words)
    made = build(config)
    with Run(tmp_path / "run", settings=config.run) as run:
        made.train(run)
        assert {"loss", "exact_match", "f1"} == set(run.evaluations["evaluation"])


def test_a_model_learns_where_answers_stand(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "train.jsonl", rows_of(16))
    words = ("epochs=12", "update.optimizer.lr=1e-2", "model.dropout=0", "evaluate_every=12")
    config = config_of(f"data={path}", f"validation={path}", *BERT, *words, "batch_size=4")
    keyed.reseed(0)
    made = build(config)
    with Run(tmp_path / "run", settings=config.run) as run:
        made.train(run)
        assert run.evaluations["evaluation"]["exact_match"] == 1.0


def test_the_report_shows_questions_with_given_and_true_answers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = config_of(f"data={TINY}", *BERT)
    keyed.reseed(0)
    made = build(config)
    with Run(tmp_path / "run", settings=config.run) as run:
        made.train(run)
        sections = {section.title: section for section in run.examine(made.sections)}
    told = capsys.readouterr().err
    assert "answers on 32 questions in" in told
    assert "To be beaten: sentence nearest by TF-IDF, f1" in told
    table = sections["Questions"].table
    assert table is not None
    assert table.columns == ("row", "question", "given", "true", "F1")
    answers = {
        question["question"]: [answer["text"] for answer in question["answers"]]
        for question in questions_of(TINY)
    }
    assert len(table.rows) == 12
    for _, question, given, true, score in table.rows:
        accepted = answers[str(question)]
        assert true == (" / ".join(accepted) or "(no answer)")
        told = "" if given == "(no answer)" else str(given)
        assert score == pytest.approx(naive_scores(told, accepted)[1])
