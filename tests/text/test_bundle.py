"""A bundle predicts, evaluates and is read back as it was written."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from rondel import Run, keyed
from rondel.config import parse_overrides, resolve
from rondel.errors import CheckpointError, DataError, UsageError
from rondel_text.build import build
from rondel_text.bundle import TextBundle
from rondel_text.config import TextConfig
from rondel_text.data.faults import BROKEN
from rondel_text.loops.text_loop import TextLoop
from rondel_text.predictions import table_of

BERT = (
    *("model.name=bert", "model.width=16", "model.layers=1", "model.heads=2"),
    *("model.vocabulary=400", "max_length=24"),
)
SMALL = ("model.buckets=4096", "model.width=16")
FAST = ("epochs=1", "batch_size=16")


def rows_of(kind: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for i in range(40):
        word = ("apple", "hammer")[i % 2]
        text = f"{word} number {i} is {'very ' * (i % 5)}nice"
        if kind == "tokens":
            words = text.split()
            tags = ["B-X" if each == word else "O" for each in words]
            found.append({"words": words, "tags": tags})
        elif kind == "pairs":
            found.append({"text": text, "other": f"a {word}", "label": i % 2})
        elif kind == "multilabel":
            found.append({"text": text, "labels": ["thing", *["fruit"] * (i % 2 == 0)]})
        elif kind == "regression":
            found.append({"text": text, "label": 3.5 * i})
        elif kind in ("causal", "masked"):
            found.append({"text": text})
        else:
            found.append({"text": text, "label": ("fruit", "tool")[i % 2]})
    return found


KINDS: Mapping[str, tuple[str, ...]] = {
    "small": SMALL,
    "tokens": ("model.width=8",),
    "bert": BERT,
    "pairs": (*BERT, "pair=other"),
    "multilabel": SMALL,
    "regression": (*SMALL, "task=regression"),
    "causal": ("model.width=16", "max_length=32", "update.ema=none"),
    "masked": (*BERT, "task=masked"),
}


def trained(folder: Path, kind: str) -> tuple[TextLoop, dict[str, float]]:
    """Train for a moment; return the loop with the values of its last evaluation."""
    data = folder / f"{kind}.jsonl"
    data.write_text("\n".join(map(json.dumps, rows_of(kind))))
    words = (f"data={data}", *FAST, *KINDS[kind])
    config = resolve(TextConfig, [parse_overrides(TextConfig, words)]).config
    keyed.reseed(0)
    loop = build(config)
    with Run(folder / kind, settings=config.run) as run:
        loop.train(run)
    lines = (folder / kind / "metrics.jsonl").read_text().splitlines()
    values = [row["values"] for row in map(json.loads, lines) if row["event"] == "evaluation"]
    return loop, values[-1]


class Made:
    """A trained loop, what it measured, and its bundle, saved and loaded again."""

    def __init__(self, folder: Path, kind: str) -> None:
        self.loop, self.values = trained(folder, kind)
        self.before = self.loop.bundle()
        self.after = TextBundle.load(self.before.save(folder / kind / "bundle"))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Made]:
    folder = tmp_path_factory.mktemp("bundles")
    return {kind: Made(folder, kind) for kind in KINDS}


INPUTS: Mapping[str, list[Any]] = {
    "tokens": ["an apple, new!", ["a", "hammer"]],
    "pairs": [("an apple", "a hammer"), ("x", "y z")],
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_loaded_bundle_predicts_bit_for_bit_as_before(
    made: Mapping[str, Made], kind: str
) -> None:
    for given in INPUTS.get(kind, ["an apple", "the hammer is nice"]):
        inputs = [given, given]
        before, after = made[kind].before.predict(inputs), made[kind].after.predict(inputs)
        assert before == after
        assert len(after) == 2


@pytest.mark.parametrize("kind", KINDS)
def test_a_bundle_evaluates_to_what_the_run_measured(made: Mapping[str, Made], kind: str) -> None:
    found = made[kind].after.evaluate(None)
    assert found == pytest.approx(made[kind].values, rel=1e-5, abs=1e-6, nan_ok=True)
    assert found


@pytest.mark.parametrize("kind", KINDS)
def test_a_bundle_evaluates_a_file(made: Mapping[str, Made], kind: str, tmp_path: Path) -> None:
    path = tmp_path / "more.jsonl"
    rows = rows_of(kind)[:12]
    path.write_text("\n".join(map(json.dumps, rows)))
    found = made[kind].after.evaluate(path)
    assert set(found) == set(made[kind].values)
    path.write_text("\n".join(map(json.dumps, rows[:6])))
    assert made[kind].after.evaluate(path)["loss" if "loss" in found else "rmse"] != pytest.approx(
        found["loss" if "loss" in found else "rmse"], rel=1e-9
    )


def test_weights_that_were_changed_predict_something_else(made: Mapping[str, Made]) -> None:
    again = TextBundle.load(made["small"].before.save(made_folder(made) / "changed"))
    with torch.no_grad():
        again.model.network.output.bias += torch.tensor([3.0, 0.0])  # type: ignore[union-attr, operator]
    assert again.predict("an apple") != made["small"].after.predict("an apple")


def made_folder(made: Mapping[str, Made]) -> Path:
    data = made["small"].loop.config.data
    assert data is not None
    return data.parent


def test_a_text_alone_is_one_prediction(made: Mapping[str, Made]) -> None:
    (found,) = made["small"].after.predict("an apple")
    assert found == made["small"].after.predict(["an apple"])[0]
    assert set(found["probabilities"]) == {"fruit", "tool"}


def test_a_tagger_splits_texts_and_takes_words(made: Mapping[str, Made]) -> None:
    bundle = made["tokens"].after
    (text,), (words,) = bundle.predict("an apple!"), bundle.predict([["an", "apple", "!"]])
    assert text == words
    assert len(text["tags"]) == 3


@pytest.mark.parametrize("batch_size", [1, 3])
def test_predictions_do_not_depend_on_the_batch(made: Mapping[str, Made], batch_size: int) -> None:
    texts = [row["text"] for row in rows_of("small")[:7]]
    for kind in ("small", "bert"):
        some = made[kind].after.predict(texts, batch_size=batch_size)
        for one, other in zip(some, made[kind].after.predict(texts), strict=True):
            assert one["probabilities"] == pytest.approx(other["probabilities"], abs=1e-5)


@pytest.mark.parametrize(
    ("kind", "inputs", "told"),
    [
        ("small", [], "there are no texts to predict for. Give one or more."),
        ("small", ["a", " "], "the given texts:2, column 'text': the text is empty. Leave it out."),
        ("small", "", "the given texts:1, column 'text': the text is empty. Leave it out."),
        ("small", [None], "the given texts:1, column 'text': the text is empty. Leave it out."),
        ("small", [7], "the given texts:1, column 'text': 7 is no text. Leave it out."),
        ("tokens", [[]], "the given texts:1, column 'words': there are no words. Leave it out."),
        (
            "tokens",
            [[1]],
            "the given texts:1, column 'words': [1] is no list of words. Leave it out.",
        ),
        (
            "small",
            "a \ud800",
            f"the given texts:1, column 'text': {BROKEN}. Leave it out.",
        ),
        (
            "tokens",
            [["a", "\ud800"]],
            f"the given texts:1, column 'words': {BROKEN}. Leave it out.",
        ),
        ("pairs", ["a"], "the model compares pairs of texts. Give tuples of two: (text, text)."),
        (
            "pairs",
            [("a", "")],
            "the given texts:1, column 'other': the text is empty. Leave it out.",
        ),
    ],
)
def test_what_cannot_be_predicted_for_is_refused(
    made: Mapping[str, Made], kind: str, inputs: Any, told: str
) -> None:
    with pytest.raises((DataError, UsageError)) as caught:
        made[kind].after.predict(inputs)
    assert str(caught.value) == told


# -- files -----------------------------------------------------------------------------------------


def test_a_csv_file_becomes_json_lines(made: Mapping[str, Made], tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    path.write_text("text,more\nan apple,1\nthe hammer,2\n")
    lines = made["small"].after.predict_files([str(path)], None).splitlines()
    rows = [json.loads(line) for line in lines]
    assert [row["row"] for row in rows] == [f"{path}:2", f"{path}:3"]
    assert [row["text"] for row in rows] == ["an apple", "the hammer"]
    expected = made["small"].after.predict(["an apple", "the hammer"])
    assert [row["label"] for row in rows] == [each["label"] for each in expected]


def test_words_that_are_no_path_are_texts(made: Mapping[str, Made]) -> None:
    long = "an apple " * 400  # longer than the name of any file
    lines = made["small"].after.predict_files(["an apple", long], None).splitlines()
    assert [json.loads(line)["text"] for line in lines] == ["an apple", long]


def test_an_empty_word_is_no_folder(made: Mapping[str, Made]) -> None:
    with pytest.raises(DataError, match="the text is empty"):
        made["small"].after.predict_files([""], None)
    with pytest.raises(UsageError, match="there is nothing to predict for"):
        made["small"].after.predict_files([], None)


def test_standard_input_is_read_line_by_line(
    made: Mapping[str, Made], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("an apple\n\nthe hammer\n"))
    lines = made["small"].after.predict_files(["-"], None).splitlines()
    assert [json.loads(line)["row"] for line in lines] == ["stdin:1", "stdin:3"]
    monkeypatch.setattr("sys.stdin", io.StringIO("\n"))
    with pytest.raises(DataError, match="standard input holds no text"):
        made["small"].after.predict_files(["-"], None)


def test_pairs_are_not_read_from_standard_input(
    made: Mapping[str, Made], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("an apple\n"))
    with pytest.raises(DataError, match="there is no column 'other'"):
        made["pairs"].after.predict_files(["-"], None)


def test_a_file_without_the_column_is_refused(made: Mapping[str, Made], tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    path.write_text("body,more\nan apple,1\n")
    with pytest.raises(DataError) as caught:
        made["small"].after.predict_files([str(path)], None)
    assert str(caught.value) == (
        f"{path}: there is no column 'text'; there are 'body', 'more'. The model was trained on a "
        "column 'text'."
    )


def test_an_empty_text_of_a_file_is_named_by_its_row(
    made: Mapping[str, Made], tmp_path: Path
) -> None:
    path = tmp_path / "in.csv"
    path.write_text("text,more\nan apple,1\n,2\n")
    with pytest.raises(DataError, match=r"in\.csv:3, column 'text': the text is empty"):
        made["small"].after.predict_files([str(path)], None)


def test_predictions_of_a_tagger_show_its_words(made: Mapping[str, Made]) -> None:
    row = json.loads(made["tokens"].after.predict_files(["an apple!"], None))
    assert row["words"] == ["an", "apple", "!"]
    assert len(row["tags"]) == 3


def test_csv_is_harmless_to_spreadsheets(made: Mapping[str, Made], tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out.csv"
    texts = ["=1+1 apple", "+apple", "-apple", "@apple", "\tapple", 'an, "apple"\nnice']
    told = made["small"].after.predict_files(texts, out)
    assert told == f"6 predictions written to {out}"
    with out.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["text"] for row in rows] == [*(f"'{text}" for text in texts[:5]), texts[5]]
    assert {"row", "text", "label", "probability_fruit", "probability_tool"} == set(rows[0])
    assert not any(
        cell.startswith(("=", "+", "-", "@", "\t", "\r")) for row in rows for cell in row.values()
    )


def test_lists_in_csv_are_json_and_numbers_stay_numbers() -> None:
    text = table_of([{"text": "a", "tags": ["B-X", None], "value": -1.5}, {"=odd": "b"}])
    rows = list(csv.reader(io.StringIO(text)))
    assert rows[0] == ["text", "tags", "value", "'=odd"]
    assert rows[1] == ["a", '["B-X", null]', "-1.5", ""]


# -- what does not fit -----------------------------------------------------------------------------


def test_data_that_changed_is_not_what_was_validated_on(tmp_path: Path) -> None:
    loop, _ = trained(tmp_path, "small")
    bundle = loop.bundle()
    path = loop.config.data
    assert path is not None
    path.write_text(path.read_text().replace("number", "NUMBER"))
    with pytest.raises(DataError, match=r"the data is no longer what the model was trained on: .*"):
        bundle.evaluate(None)


def test_a_label_that_was_never_learnt_is_refused(made: Mapping[str, Made], tmp_path: Path) -> None:
    path = tmp_path / "more.csv"
    path.write_text("text,label\nan apple,fruit\na hammer,tools\n")
    with pytest.raises(DataError) as caught:
        made["small"].after.evaluate(path)
    assert str(caught.value) == (
        f"{path}:3, column 'label': the label 'tools' is unknown. Did you mean 'tool'?"
    )


def test_what_was_dropped_in_training_is_dropped_again(tmp_path: Path) -> None:
    rows = [{**row, "split": "dev" if i < 6 else "train"} for i, row in enumerate(rows_of("small"))]
    rows[0]["label"], rows[1]["text"] = "stranger", ""
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    words = (f"data={path}", *SMALL, "bad_rows=drop")
    loop = build(resolve(TextConfig, [parse_overrides(TextConfig, words)]).config)
    assert len(loop.material.valid) == 4
    assert loop.bundle().evaluate(None)["loss"] > 0


def test_another_bundle_is_refused(made: Mapping[str, Made], tmp_path: Path) -> None:
    class Other(TextBundle):
        domain = "other"

    path = made["small"].before.save(tmp_path / "bundle")
    with pytest.raises(CheckpointError, match="not a bundle of 'other'"):
        Other.load(path)
