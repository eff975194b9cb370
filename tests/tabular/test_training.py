"""The loop learns and resumes exactly."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from rondel import Run
from rondel.checkpoint import list_checkpoints, read_checkpoint
from rondel.errors import Interrupted

Train = Callable[..., Any]
Make = Callable[..., Any]


def test_breast_cancer_is_told_as_well_as_by_logistic_regression(
    train: Train, tmp_path: Path
) -> None:
    loop, values = train(tmp_path / "run", "epochs=20")
    data = loop.dataset
    peer = LogisticRegression(max_iter=1000).fit(data.train.numbers, data.train.values[:, 0])
    score = peer.score(data.valid.numbers, data.valid.values[:, 0])
    assert values["accuracy"] >= score - 0.01
    assert values["accuracy"] > loop.baseline.values["accuracy"] + 0.3
    assert loop.baseline.name == "majority class"


def test_diabetes_is_predicted_better_than_by_the_mean(train: Train, tmp_path: Path) -> None:
    loop, values = train(tmp_path / "run", "dataset=diabetes", "epochs=10")
    assert loop.baseline.name == "mean of progression"
    assert abs(loop.baseline.values["r2"]) < 0.05
    assert values["r2"] > 0.25
    assert values["rmse"] < loop.baseline.values["rmse"] - 8


def test_every_kind_of_column_is_learnt_from(
    train: Train, tmp_path: Path, frame: pd.DataFrame
) -> None:
    loop, values = train(
        tmp_path / "run", "target=bought", "epochs=30", "batch_size=32", frame=frame
    )
    assert values["accuracy"] > loop.baseline.values["accuracy"] + 0.2


def final(folder: Path) -> dict[str, torch.Tensor]:
    """Return all tensors of the last checkpoint, by their path in the tree."""
    _, tree = read_checkpoint(list_checkpoints(folder / "checkpoints")[-1].path)
    found: dict[str, torch.Tensor] = {}

    def walk(node: Any, path: str) -> None:
        if isinstance(node, torch.Tensor):
            found[path] = node
        elif isinstance(node, dict):
            for key, inner in node.items():
                walk(inner, f"{path}/{key}")
        elif isinstance(node, list | tuple):
            for key, inner in enumerate(node):
                walk(inner, f"{path}/{key}")

    walk(tree, "")
    return found


@pytest.mark.parametrize("cut", [1, 2, 5, 7, 12])
def test_a_resumed_run_ends_as_the_uninterrupted_one(
    make: Make, tmp_path: Path, frame: pd.DataFrame, cut: int
) -> None:
    items = ("target=bought", "epochs=3", "batch_size=64", "schedule.name=cosine", "ema=0.9")

    def run(name: str, **options: Any) -> None:
        loop = make(*items, frame=frame)
        with Run(tmp_path / name, settings=loop.config.run, **options) as opened:
            loop.train(opened)

    run("straight")
    with pytest.raises(Interrupted):
        run("cut", stop_at=cut)
    run("cut", resume=True)
    straight, resumed = final(tmp_path / "straight"), final(tmp_path / "cut")
    assert straight.keys() == resumed.keys()
    assert any("model" in path for path in straight)
    different = [path for path in straight if not torch.equal(straight[path], resumed[path])]
    assert not different
    logs = [(tmp_path / name / "metrics.jsonl").read_bytes() for name in ("straight", "cut")]
    assert logs[0] == logs[1]


def test_the_loop_says_what_it_made_of_the_table_once(
    train: Train, tmp_path: Path, frame: pd.DataFrame, capsys: pytest.CaptureFixture[str]
) -> None:
    frame.loc[0, "bought"] = None
    train(tmp_path / "run", "target=bought", "epochs=1", frame=frame)
    said = capsys.readouterr().err
    assert said.count("rows train and") == 1
    assert "1 of 240 rows of the table has no 'bought' and is left out" in said
    assert "left out: id (it numbers the rows), name (" in said


def test_optimizer_keys_stand_at_the_top_level(make: Make) -> None:
    update = make("optimizer.lr=0.5", "clip_norm=none", "ema=0.9").config.update
    assert (update.optimizer.lr, update.clip_norm, update.ema) == (0.5, None, 0.9)


def test_the_data_of_a_run_is_hashed(make: Make, frame: pd.DataFrame) -> None:
    first = make("target=bought", frame=frame).data
    same = make("target=bought", frame=frame.copy()).data
    frame.loc[3, "colour"] = "pink"
    changed = make("target=bought", frame=frame).data
    assert first == same
    assert first.difference(changed) == ["colour[0:240]: changed"]
    assert make().data.name == "breast_cancer"


def test_plugin_and_config_import_neither_torch_nor_pandas() -> None:
    code = (
        "import sys, rondel_tabular.plugin as p, rondel_tabular.config; p.rondel_domain();"
        "print([m for m in ('torch', 'pandas', 'sklearn', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
