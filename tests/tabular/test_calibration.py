"""The temperature against SciPy's optimum, and what it changes: probabilities, nothing else."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import optimize, special
from sklearn import metrics as oracle
from torch import Tensor

from rondel import Run
from rondel_tabular.bundle import TabularBundle
from rondel_tabular.calibration import LIMIT, Reliability, calibrated, fit_temperature
from rondel_tabular.data.part import Part
from rondel_tabular.data.target import Target

Make = Callable[..., Any]
Write = Callable[..., Path]


def boasting(classes: int, size: int, factor: float) -> tuple[Tensor, Tensor]:
    """Logits that are larger than the true ones by a factor, and classes."""
    draw = torch.Generator().manual_seed(classes)
    true = torch.randn(size, classes, generator=draw, dtype=torch.float64)
    labels = torch.multinomial(true.softmax(1), 1, generator=draw)[:, 0]
    return factor * true + 3, labels


def naive_loss(temperature: float, logits: Any, labels: Any, weights: Any) -> float:
    """The log-loss, and that of one further row which is of each class alike."""
    logs = special.log_softmax(logits / temperature, axis=1)
    told = np.take_along_axis(logs, labels[:, None], axis=1)[:, 0]
    count = len(labels)
    each = (count * told + logs.mean(1)) / (count + 1)
    return -float(np.average(each, weights=weights))


@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize("factor", [0.2, 1.0, 6.0])
@pytest.mark.parametrize("is_weighted", [False, True])
def test_the_temperature_is_scipys_optimum(classes: int, factor: float, is_weighted: bool) -> None:
    logits, labels = boasting(classes, 300, factor)
    weights = torch.rand(300, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    counts = weights.numpy() if is_weighted else np.ones(300)
    best = optimize.minimize_scalar(
        lambda log: naive_loss(math.exp(log), logits.numpy(), labels.numpy(), counts),
        bounds=(-4, 4),
        method="bounded",
        options={"xatol": 1e-9},
    )
    found = fit_temperature(logits, labels, weights if is_weighted else None)
    assert found == pytest.approx(math.exp(best.x), rel=1e-4)


@pytest.mark.parametrize("factor", [0.3, 1.0, 4.0])
def test_logits_that_are_too_large_are_divided_by_as_much(factor: float) -> None:
    assert fit_temperature(*boasting(4, 20_000, factor)) == pytest.approx(factor, rel=0.03)


def test_a_grid_finds_no_better_log_loss() -> None:
    logits, labels = boasting(3, 2000, 5.0)
    found = fit_temperature(logits, labels)

    def loss(temperature: float) -> float:
        return float(oracle.log_loss(labels, special.softmax(logits / temperature, axis=1)))

    grid = np.exp(np.linspace(-3, 3, 601))
    assert loss(found) <= min(map(loss, grid)) + 1e-5
    assert loss(found) < loss(1.0) - 0.5


@pytest.mark.parametrize("classes", [2, 6])
def test_rows_that_are_all_told_rightly_leave_room_for_a_mistake(classes: int) -> None:
    labels = torch.arange(60) % classes
    logits = 9.0 * torch.nn.functional.one_hot(labels, classes).double()
    found = fit_temperature(logits, labels)
    sure = float((logits / found).softmax(1).max(1).values.mean())
    assert sure == pytest.approx((60 + 1 / classes) / 61, rel=1e-6)


def test_what_tells_nothing_is_flattened_and_never_fails() -> None:
    logits, labels = boasting(2, 200, 1.0)
    assert fit_temperature(-logits, labels) == pytest.approx(LIMIT, rel=1e-3)
    assert fit_temperature(torch.zeros(5, 2), torch.zeros(5)) == 1.0
    assert fit_temperature(torch.full((5, 2), math.nan), torch.zeros(5)) == 1.0


def test_reliability_has_bins_of_equal_weight() -> None:
    draw = torch.Generator().manual_seed(0)
    sure, hits = torch.rand(900, generator=draw).double(), torch.rand(900, generator=draw) < 0.5
    found = Reliability.of(sure, hits)
    assert found.weights.tolist() == [60.0] * 15
    order = sure.argsort()
    for number in (0, 7, 14):
        rows = order[60 * number : 60 * number + 60]
        assert found.confidence[number] == pytest.approx(float(sure[rows].mean()))
        assert found.accuracy[number] == pytest.approx(float(hits[rows].double().mean()))
    assert math.isnan(Reliability.of(torch.zeros(0), torch.zeros(0)).error)


def test_equally_confident_rows_go_where_their_middle_lies() -> None:
    sure = torch.tensor([0.5] * 40 + [0.7] * 30 + [0.9] * 30)
    found = Reliability.of(sure, torch.ones(100), bins=2)
    assert found.weights.tolist() == [40.0, 60.0]
    assert found.confidence.tolist() == pytest.approx([0.5, 0.8])


def test_only_classes_have_a_temperature_fitted_on_rows_that_have_one() -> None:
    logits, labels = boasting(2, 400, 5.0)
    values = labels.float()
    values[::4] = math.nan
    numbers = torch.randn(400)
    part = Part(
        numbers[:, None],
        torch.zeros(400, 0, dtype=torch.int32),
        torch.stack([values, numbers], dim=1),
        torch.ones(400),
    )
    targets = (
        Target("y", "classification", labels=("a", "b"), head="classes", gaps=True),
        Target("z", "regression", gaps=True),
    )
    first, second = calibrated(targets, [logits, numbers[:, None]], part)
    there = ~values.isnan()
    assert first.temperature == fit_temperature(logits[there], labels[there])
    assert second == targets[1]


# -- in a bundle -----------------------------------------------------------------------------------


def saved(loop: Any, folder: Path) -> TabularBundle:
    return TabularBundle.load(loop.bundle().save(folder / "bundle"))


def test_predictions_are_calibrated_and_the_bundle_keeps_how(
    train: Make, frame: pd.DataFrame, tmp_path: Path
) -> None:
    loop, _ = train(tmp_path / "run", "target=bought", "epochs=4", "batch_size=32", frame=frame)
    bundle = saved(loop, tmp_path)
    temperature = bundle.facts["targets"][0]["temperature"]
    valid, said = loop.dataset.valid, loop.said()[0]
    assert temperature == fit_temperature(said, valid.values[:, 0], valid.weights)
    assert 0.1 < temperature < 10
    assert abs(temperature - 1) > 0.02
    found = bundle.predict(loop.dataset.valid_cells)
    shares = (said.double() / temperature).softmax(1)
    assert found["probability_often"].to_numpy() == pytest.approx(shares[:, 1].numpy(), abs=1e-6)
    loop.config = loop.config.model_copy(update={"calibrate": False})
    plain = loop.bundle()
    assert plain.targets[0].temperature == 1
    unchanged = plain.predict(loop.dataset.valid_cells)
    assert (unchanged["bought"] == found["bought"]).all()
    assert not np.allclose(unchanged["probability_often"], found["probability_often"])


def test_metrics_and_training_know_nothing_of_it(
    make: Make, frame: pd.DataFrame, tmp_path: Path
) -> None:
    def trained(name: str, *items: str) -> tuple[Any, bytes]:
        loop = make("target=bought", "epochs=2", "network.width=16", *items, frame=frame)
        with Run(tmp_path / name, settings=loop.config.run) as run:
            run.print_with(lambda _: None)
            loop.train(run)
        return loop, (tmp_path / name / "metrics.jsonl").read_bytes()

    (one, rows), (other, others) = trained("on"), trained("off", "calibrate=false")
    assert rows == others
    assert all(map(torch.equal, one.model.parameters(), other.model.parameters()))
    assert b"calibrated" not in rows


def test_a_bundle_measures_both_and_the_calibrated_loss_is_lower(
    make: Make, frame: pd.DataFrame, write: Write, tmp_path: Path
) -> None:
    loop = make(f"data={write(frame)}", "target=bought")
    found = saved(loop, tmp_path).evaluate(None)
    valid, said = loop.dataset.valid, loop.said()
    plain = oracle.log_loss(valid.values[:, 0], said[0].double().softmax(1))
    assert found["loss"] == pytest.approx(plain, rel=1e-5)
    assert found["calibrated_loss"] < found["loss"]
    assert "calibrated_ece" in found


def test_bundling_leaves_the_network_as_it_was(make: Make, frame: pd.DataFrame) -> None:
    loop = make("target=bought", frame=frame)
    loop.model.train()
    loop.said()
    assert all(module.training for module in loop.model.modules())


def test_folds_are_calibrated_on_rows_that_their_networks_never_saw(
    make: Make, frame: pd.DataFrame, tmp_path: Path
) -> None:
    items = ("target=bought", "loop=folds", "folds.count=2", "epochs=8", "batch_size=32")
    loop = make(*items, frame=frame)
    with Run(tmp_path / "run", settings=loop.config.run) as run:
        run.print_with(lambda _: None)
        loop.train(run)
    outputs, train = loop.out_of_fold()[0], loop.dataset.train
    expected = fit_temperature(outputs, train.values[:, 0], train.weights)
    assert 0.1 < expected < 10
    assert loop.bundle().targets[0].temperature == expected


def test_a_bundle_of_before_has_no_temperature(make: Make, frame: pd.DataFrame) -> None:
    facts = make("target=bought", frame=frame).bundle().facts["targets"][0]
    del facts["temperature"]
    assert Target.from_facts(facts).temperature == 1
