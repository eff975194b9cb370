"""Callbacks: those who watch may fail, those who take part may not."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import nn

import rondel
from rondel.callback import Callback
from rondel.callbacks import (
    Best,
    EarlyStopping,
    LearningRateMonitor,
    Pictures,
    Progress,
    Throughput,
    TimeLimit,
)
from rondel.callbacks.best import better
from rondel.errors import Interrupted, UsageError
from rondel.loop import Watch
from rondel.settings import OptimizerConfig, RunConfig, ScheduleConfig, UpdateConfig

LOSS = Watch("loss", "min")


class Toy(rondel.Loop):
    """Two updates an epoch, and an evaluation with given values."""

    def __init__(self, values: Sequence[float] = (), *, epochs: int | None = None) -> None:
        torch.manual_seed(0)
        self.values = list(values)
        self.epochs = len(self.values) if epochs is None else epochs
        self.module = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Dropout(0.5))
        self.data = rondel.Stream(torch.randn(8, 2), batch_size=4)  # type: ignore[assignment]
        self.epoch = 0

    def loss(self, x: torch.Tensor) -> rondel.Loss:
        return rondel.Loss(self.module(x).square().sum(), len(x))

    def train(self, run: rondel.Run) -> None:
        config = UpdateConfig(optimizer=OptimizerConfig(lr=0.01), ema=0.5)
        update = run.update("model", self.module, config)
        for epoch in run.epochs(self.epochs):
            self.epoch = epoch
            for x in run.batches(self.data):
                update(self.loss, x)
            if self.values:
                run.evaluate(self)

    def evaluate(self, run: rondel.Run) -> Mapping[str, Any]:
        return {"loss": self.values[self.epoch]}


def trained(
    path: Path, loop: Toy, *callbacks: Callback, said: list[str] | None = None, **keys: Any
) -> rondel.Run:
    options = {k: keys.pop(k) for k in ("resume", "stop_at") if k in keys}
    settings = RunConfig(device="cpu", **keys)
    with rondel.Run(path, settings=settings, callbacks=callbacks, **options) as run:
        run.print_with((said if said is not None else []).append)
        loop.train(run)
    return run


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


# -- watching and taking part ----------------------------------------------------------------------


class Clumsy(Callback):
    name: ClassVar[str] = "clumsy"

    def __init__(self) -> None:
        self.calls = 0

    def update_finished(self, run: rondel.Run, update: rondel.Update) -> None:
        self.calls += 1
        raise ValueError("no such column")


class Vital(Clumsy):
    essential: ClassVar[bool] = True


class Counting(Callback):
    def __init__(self) -> None:
        self.events: list[str] = []

    def update_finished(self, run: rondel.Run, update: rondel.Update) -> None:
        self.events.append(f"update {update.updates}")

    def epoch_finished(self, run: rondel.Run, epoch: int) -> None:
        self.events.append(f"epoch {epoch}")

    def evaluated(self, run: rondel.Run, name: str, values: Mapping[str, float]) -> None:
        self.events.append(f"{name} {values['loss']}")

    def run_finished(self, run: rondel.Run, outcome: str) -> None:
        self.events.append(outcome)


def test_an_observer_that_fails_is_switched_off_with_one_line(tmp_path: Path) -> None:
    clumsy, counting, said = Clumsy(), Counting(), list[str]()
    trained(tmp_path / "run", Toy([1.0]), clumsy, counting, said=said)
    assert clumsy.calls == 1
    start = "Callback 'clumsy' failed in update_finished and is switched off: "
    assert said == [f"{start}ValueError: no such column"]
    expected = ["update 1", "update 2", "evaluation 1.0", "epoch 0", "done"]
    assert counting.events == expected  # the one behind it misses nothing


def test_a_part_of_the_loop_that_fails_ends_the_run(tmp_path: Path) -> None:
    counting = Counting()
    with pytest.raises(ValueError, match="no such column"):
        trained(tmp_path / "run", Toy(epochs=1), Vital(), counting)
    assert counting.events == ["failed"]


# -- best and early stopping -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "than", "mode", "expected"),
    [
        (1.0, None, "min", True),
        (1.0, 2.0, "min", True),
        (1.0, 2.0, "max", False),
        (2.0, 2.0, "min", False),
        (math.nan, None, "min", False),
        (math.nan, 1.0, "max", False),
    ],
)
def test_nan_and_equal_are_not_better(
    value: float, than: float | None, mode: str, expected: bool
) -> None:
    assert better(value, than, mode) is expected


def test_the_best_state_is_kept_and_pointed_to(tmp_path: Path) -> None:
    best = Best(LOSS)
    run = trained(
        tmp_path / "run", Toy([math.nan, 3.0, 1.0, 2.0, math.nan, 1.5]), best, keep_checkpoints=1
    )
    pointer = json.loads((tmp_path / "run/checkpoints/best.json").read_text())
    assert (pointer["value"], pointer["metric"], pointer["mode"]) == (1.0, "loss", "min")
    kept = sorted(p.name for p in (tmp_path / "run/checkpoints").iterdir() if p.is_dir())
    assert f"step-{pointer['step']:010d}" in kept
    assert len(kept) == 2
    assert run.headline == {"loss": 1.0}


def test_what_the_best_was_survives_a_resume(tmp_path: Path) -> None:
    values = [1.0, 2.0, 3.0]
    for cut in range(5, 9):
        path = tmp_path / str(cut)
        with pytest.raises(Interrupted):
            trained(path, Toy(values), Best(LOSS), stop_at=cut)
        best = Best(LOSS)
        run = trained(path, Toy(values), best, resume=True)
        assert (best.value, run.headline) == (1.0, {"loss": 1.0})
        assert json.loads((path / "checkpoints/best.json").read_text())["value"] == 1.0


def test_a_metric_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        trained(tmp_path / "run", Toy([1.0]), Best(Watch("f1", "max")))
    assert str(caught.value) == (
        "the metric 'f1' is watched, but evaluation gave loss. Watch one of those."
    )


@pytest.mark.parametrize("cut", [None, 9, 11, 12, 13, 14])
def test_early_stopping_waits_as_long_as_it_says(tmp_path: Path, cut: int | None) -> None:
    values, said = [3.0, 1.0, math.nan, 2.0, 0.5, 0.1], list[str]()
    if cut is not None:
        with pytest.raises(Interrupted):
            trained(tmp_path / "run", Toy(values), EarlyStopping(LOSS, 2), stop_at=cut)
    stopping, loop = EarlyStopping(LOSS, 2), Toy(values)
    trained(tmp_path / "run", loop, stopping, said=said, resume=cut is not None)
    assert loop.epoch == 3
    assert (stopping.best, stopping.waited) == (1.0, 2)
    assert said == ["Stopped: no better loss for 2 evaluations."]
    notes = [r for r in rows(tmp_path / "run/metrics.jsonl") if r["event"] == "note"]
    assert [note["text"] for note in notes] == ["no better loss for 2 evaluations"]


# -- displays and monitors -------------------------------------------------------------------------


def test_without_a_terminal_progress_is_plain_lines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = RunConfig(device="cpu", log_every=2)
    progress = Progress(epochs=2, terminal=False)
    with rondel.Run(tmp_path / "run", settings=settings, callbacks=[progress]) as run:
        Toy([0.5, 0.25]).train(run)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "\r" not in captured.err
    assert "\x1b" not in captured.err
    last = captured.err.splitlines()[-1]
    assert last.startswith("done: ")
    assert "4 updates" in last
    assert "model loss " in last
    assert "loss 0.25" in last


def test_on_a_terminal_progress_is_a_bar_and_messages_pass_above_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    settings = RunConfig(device="cpu", log_every=1)
    progress = Progress(epochs=3, terminal=True, per_second=1e6)
    with rondel.Run(tmp_path / "run", settings=settings, callbacks=[progress]) as run:
        Toy([0.5, 0.25, 0.1]).train(run)
        run.say("a message")
    captured = capsys.readouterr()
    assert "epoch 3/3" in captured.err
    assert "a message" in captured.err
    assert captured.out == ""


def test_a_display_writes_nothing_into_the_log_of_metrics(tmp_path: Path) -> None:
    for name, callbacks in [("with", [Progress(terminal=False), Throughput()]), ("without", [])]:
        trained(tmp_path / name, Toy([1.0, 2.0]), *callbacks)
    logs = [(tmp_path / name / "metrics.jsonl").read_bytes() for name in ("with", "without")]
    assert logs[0] == logs[1]


def test_a_time_limit_ends_a_run_that_can_be_resumed(tmp_path: Path) -> None:
    straight = Toy(epochs=3)
    trained(tmp_path / "straight", straight)
    with pytest.raises(Interrupted, match=r"its time limit of 1e-06 s") as caught:
        trained(tmp_path / "run", Toy(epochs=3), TimeLimit(1e-6))
    assert caught.value.exit_code == 75
    limit, loop = TimeLimit(1e6), Toy(epochs=3)
    trained(tmp_path / "run", loop, limit, resume=True)
    ours, theirs = loop.module.state_dict(), straight.module.state_dict()
    assert torch.equal(ours["0.weight"], theirs["0.weight"])


def test_throughput_has_a_file_of_its_own(tmp_path: Path) -> None:
    trained(tmp_path / "run", Toy(epochs=2), Throughput(every_s=1e-9))
    timing = rows(tmp_path / "run/timing.jsonl")
    assert len(timing) >= 4
    assert list(timing[0]) == ["step", "elapsed_s", "samples_per_s", "memory_bytes"]
    assert all(row["samples_per_s"] >= 0 and row["memory_bytes"] > 1e6 for row in timing)
    assert sorted(row["step"] for row in timing) == [row["step"] for row in timing]


def test_learning_rates_are_logged_by_update_and_group(tmp_path: Path) -> None:
    class Scheduled(Toy):
        def train(self, run: rondel.Run) -> None:
            config = UpdateConfig(
                optimizer=OptimizerConfig(lr=1.0, weight_decay=0.1),
                schedule=ScheduleConfig(name="linear", total=4, final=0.25),
            )
            update = run.update("model", self.module, config)
            for _ in run.epochs(2):
                for x in run.batches(self.data):
                    update(self.loss, x)

    trained(tmp_path / "run", Scheduled(), LearningRateMonitor(every=1), log_every=1)
    logged = [r["values"] for r in rows(tmp_path / "run/metrics.jsonl") if r["event"] == "log"]
    first = [values["lr.model.0"] for values in logged if "lr.model.0" in values]
    assert first == pytest.approx([1.0, 0.75, 0.5, 0.25])
    assert all("lr.model.1" in values for values in logged)


def test_pictures_are_drawn_like_an_evaluation_and_change_nothing(tmp_path: Path) -> None:
    plain, drawn = Toy([1.0, 1.0]), Toy([1.0, 1.0])
    modes: list[tuple[bool, bool]] = []

    def draw() -> bytes:
        out = drawn.module(torch.randn(4, 2))
        modes.append((drawn.module.training, out.requires_grad))
        return b"PNG" + bytes([int(out.abs().max() > 0)])

    trained(tmp_path / "plain", plain)
    trained(tmp_path / "run", drawn, Pictures(draw, title="faces"))
    for name, tensor in plain.module.state_dict().items():
        assert torch.equal(drawn.module.state_dict()[name], tensor), name
    files = sorted((tmp_path / "run/pictures").iterdir())
    assert len(files) == 2
    assert all(f.name.startswith("faces-") and f.suffix == ".png" for f in files)
    assert files[0].read_bytes().startswith(b"PNG")
    assert modes == [(False, False)] * 2
    assert drawn.module.training
