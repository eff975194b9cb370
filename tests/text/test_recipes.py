"""Settings that suit the task and the size of the data, where the user gives none."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

import pytest

import rondel
from rondel.config import parse_overrides, read_recipe, resolve
from rondel_text import glance
from rondel_text.config import TextConfig
from rondel_text.recipes import LEAST_UPDATES, MOST_EPOCHS, epochs_for

WORDS = {"sea": ("boat", "wave", "salt"), "wood": ("tree", "moss", "deer"), "town": ("bus", "shop")}


def config_of(*words: str) -> TextConfig:
    return resolve(TextConfig, [parse_overrides(TextConfig, words)]).config


def table(path: Path, rows: int) -> Path:
    """Write texts of three classes, each with words of its own."""
    labels = [tuple(WORDS)[row % 3] for row in range(rows)]
    lines = [
        f"number {row} has a {WORDS[label][row % len(WORDS[label])]} in it,{label}"
        for row, label in enumerate(labels)
    ]
    path.write_text("\n".join(["text,label", *lines]) + "\n")
    return path


def learnt_rows(config: TextConfig) -> int:
    from rondel_text.data.source import gather

    return len(gather(config).train)


# -- how often a table is passed over --------------------------------------------------------------


@pytest.mark.parametrize("updates", [1, 2, 3, 4, 7, 25, 149, 150, 151, 10_000])
def test_a_pass_is_repeated_until_the_model_was_updated_often(updates: int) -> None:
    epochs = 0
    while epochs * updates < LEAST_UPDATES and epochs < MOST_EPOCHS:
        epochs += 1
    assert epochs_for(updates) == epochs


@pytest.mark.parametrize(("rows", "batch_size"), [(76, 32), (200, 32), (200, 8), (800, 32)])
def test_a_smaller_table_is_passed_over_more_often(
    tmp_path: Path, rows: int, batch_size: int
) -> None:
    config = config_of(f"data={table(tmp_path / 'a.csv', rows)}", f"batch_size={batch_size}")
    updates = math.ceil(learnt_rows(config) / batch_size)
    assert config.epochs == max(6, min(40, math.ceil(150 / updates)))


def test_what_the_user_gives_is_obeyed(tmp_path: Path) -> None:
    data = f"data={table(tmp_path / 'a.csv', 76)}"
    assert config_of(data, "epochs=3").epochs == 3
    assert config_of(data, "update.optimizer.lr=0.5").update.optimizer.lr == 0.5


def test_a_small_table_is_learnt_and_the_run_says_how_long(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = table(tmp_path / "a.csv", 76)
    result = rondel.train("text", data=data, out=tmp_path / "run", model={"buckets": 4096})
    rows = learnt_rows(TextConfig(data=data))
    assert result.metrics["accuracy"] == 1.0
    assert f"{rows} texts: 40 epochs of {math.ceil(rows / 32)} updates." in capsys.readouterr().err
    assert "epochs = 40\n" in (tmp_path / "run" / "config.toml").read_text()


def test_a_resumed_run_keeps_its_length_when_the_data_has_grown(tmp_path: Path) -> None:
    data = table(tmp_path / "a.csv", 76)
    rondel.train(
        "text", data=data, out=tmp_path / "run", quiet=True, batch_size=4, model={"buckets": 512}
    )
    saved = read_recipe(tmp_path / "run" / "config.toml")
    table(data, 800)
    assert resolve(TextConfig, [saved]).config.epochs == saved.values["epochs"] == 10
    assert config_of(f"data={data}", "batch_size=4").epochs == 6


def test_batches_of_tokens_leave_the_epochs_as_they_are(tmp_path: Path) -> None:
    data = f"data={table(tmp_path / 'a.csv', 76)}"
    assert config_of(data, "batching=packed").epochs == 6


def test_embedded_sets_and_trained_models_keep_their_settings(tmp_path: Path) -> None:
    assert config_of().epochs == 6
    assert config_of("task=tokens").epochs == 2
    data = f"data={table(tmp_path / 'a.csv', 76)}"
    assert config_of(data, "model.name=minilm").update.optimizer.lr == 1e-4
    assert config_of(data, "model.name=bert").epochs == 10


# -- what is learnt decides ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "epochs", "batching"),
    [
        ({"text": "a %d", "label": "x"}, 40, "random"),
        ({"text": "a %d", "labels": ["x"]}, 40, "random"),
        ({"words": ["a%d", "b"], "tags": ["x", "y"]}, 40, "buckets"),
        ({"text": "a %d", "pair": "c"}, 5, "random"),
        ({"text": "a %d"}, 2, "budget"),
    ],
)
def test_the_data_tell_the_task_and_so_its_settings(
    tmp_path: Path, row: dict[str, object], epochs: int, batching: str
) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(json.dumps(row).replace("%d", str(i)) for i in range(60)))
    config = config_of(f"data={path}")
    assert (config.epochs, config.batching, config.update.optimizer.lr) == (epochs, batching, 1e-2)


def test_numbers_are_learnt_with_the_settings_of_texts(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    rows = [{"text": f"a {i}", "label": i / 7} for i in range(60)]
    path.write_text("\n".join(map(json.dumps, rows)))
    assert config_of(f"data={path}").update.optimizer.weight_decay == 0.1


def test_pairs_of_texts_do_not_get_the_settings_of_the_small_model(tmp_path: Path) -> None:
    path = tmp_path / "pairs.csv"
    path.write_text("text,other,label\n" + "\n".join(f"a {i},b,{i % 2}" for i in range(60)))
    config = config_of(f"data={path}", "pair=other")
    assert (config.epochs, config.update.optimizer.lr) == (10, 1e-3)


def test_another_optimizer_gets_nothing_that_was_measured_with_adamw(tmp_path: Path) -> None:
    data = f"data={table(tmp_path / 'a.csv', 76)}"
    config = config_of(data, "update.optimizer.name=sgd")
    assert (config.epochs, config.update.optimizer.betas) == (40, None)


def test_short_windows_repeat_no_more_than_half_of_themselves() -> None:
    assert config_of("task=causal").context == 256
    assert config_of("task=causal", "max_length=32").context == 16
    assert config_of("task=causal", "max_length=32", "context=5").context == 5


def test_a_batch_holds_the_longest_window_or_as_many_as_the_user_says() -> None:
    assert config_of("task=causal", "max_length=32").tokens == 2052
    assert config_of("task=causal", "max_length=4000").tokens == 4000
    assert config_of("task=causal").batching == "budget"
    assert config_of("task=causal", "batch_size=7").batching == "random"


# -- what is read for it ---------------------------------------------------------------------------


def test_of_large_data_the_first_rows_tell_the_task(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(glance, "READ_BYTES", 100)
    data = f"data={table(tmp_path / 'a.csv', 76)}"
    config = config_of(data)
    assert (config.epochs, config.update.optimizer.lr) == (6, 1e-2)


@pytest.mark.parametrize("words", [("task=classification", "epochs=2"), ()])
def test_data_that_cannot_be_read_are_refused_later(tmp_path: Path, words: Sequence[str]) -> None:
    config = config_of(f"data={tmp_path / 'none.csv'}", *words)
    assert config.epochs == (2 if words else 10)


def test_a_wrong_value_is_told_as_ever(tmp_path: Path) -> None:
    data = f"data={table(tmp_path / 'a.csv', 76)}"
    with pytest.raises(rondel.errors.ConfigError, match="batch_size"):
        config_of(data, "batch_size=none")
