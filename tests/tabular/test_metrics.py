"""Metrics against scikit-learn, weighted and not; those of several targets; what can be watched."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats
from sklearn import metrics as oracle
from torch import Tensor

from rondel import Run
from rondel.errors import ConfigError
from rondel.metric import merged
from rondel_tabular.bundle import TabularBundle
from rondel_tabular.data.target import Target
from rondel_tabular.metrics import TableMetrics, mode_of, watchable

Make = Callable[..., Any]
Write = Callable[..., Path]


def classes_of(count: int) -> Target:
    return Target("y", "classification", labels=tuple(range(count)), head="classes")


def drawn(classes: int, size: int = 600) -> tuple[Tensor, Tensor, Tensor]:
    """Logits, class indices and whole weights from 0 to 3."""
    draw = torch.Generator().manual_seed(classes)
    logits = 1.5 * torch.randn(size, classes, generator=draw, dtype=torch.float64)
    labels = torch.multinomial((0.7 * logits).softmax(1), 1, generator=draw)[:, 0]
    return logits, labels, torch.randint(0, 4, (size,), generator=draw).double()


def computed(targets: Target, outputs: Tensor, values: Tensor, weights: Any) -> dict[str, float]:
    """Measure in batches, as an evaluation does."""
    metrics = TableMetrics([targets])
    for start in range(0, len(values), 64):
        rows = slice(start, start + 64)
        counts = None if weights is None else weights[rows]
        metrics.update([outputs[rows]], values[rows, None], counts)
    return merged(metrics.by_name, [])


def naive_calibration_error(shares: Any, labels: Any, bins: int = 15) -> float:
    """As Guo et al. (2017), section 2, for as many rows in every bin and no ties."""
    confidence, told = shares.max(1), shares.argmax(1)
    error = 0.0
    for rows in np.split(np.argsort(confidence), bins):
        right = np.mean(told[rows] == labels[rows])
        error += len(rows) / len(labels) * abs(right - np.mean(confidence[rows]))
    return error


@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize("is_weighted", [False, True])
def test_metrics_of_classes_are_those_of_scikit_learn(classes: int, is_weighted: bool) -> None:
    logits, labels, weights = drawn(classes)
    found = computed(classes_of(classes), logits, labels, weights if is_weighted else None)
    y, shares, told = labels.numpy(), logits.softmax(1).numpy(), logits.argmax(1).numpy()
    counts = weights.numpy() if is_weighted else np.ones(len(y))
    expected = {
        "loss": oracle.log_loss(y, shares, sample_weight=counts, labels=range(classes)),
        "accuracy": oracle.accuracy_score(y, told, sample_weight=counts),
        "balanced_accuracy": oracle.balanced_accuracy_score(y, told, sample_weight=counts),
        "f1": oracle.f1_score(y, told, average="macro", sample_weight=counts),
        "mcc": oracle.matthews_corrcoef(y, told, sample_weight=counts),
    }
    if classes == 2:
        scores = (logits[:, 1] - logits[:, 0]).numpy()
        expected["roc_auc"] = oracle.roc_auc_score(y, scores, sample_weight=counts)
        expected["average_precision"] = oracle.average_precision_score(
            y, scores, sample_weight=counts
        )
    repeated = np.repeat(np.arange(len(y)), counts.astype(int))
    if not is_weighted:
        expected["ece"] = naive_calibration_error(shares, y)
    else:
        plain = computed(classes_of(classes), logits[repeated], labels[repeated], None)
        expected["ece"] = plain["ece"]
    assert found == pytest.approx(expected, rel=1e-9)


def test_tied_scores_are_ranked_as_in_scikit_learn() -> None:
    logits, labels, weights = drawn(2)
    logits = logits.round()
    found = computed(classes_of(2), logits, labels, weights)
    scores = (logits[:, 1] - logits[:, 0]).numpy()
    assert found["average_precision"] == pytest.approx(
        oracle.average_precision_score(labels, scores, sample_weight=weights), rel=1e-12
    )
    assert found["roc_auc"] == pytest.approx(
        oracle.roc_auc_score(labels, scores, sample_weight=weights), rel=1e-12
    )


def test_classes_that_never_occur_are_not_balanced() -> None:
    logits, labels, _ = drawn(5)
    present = labels < 3
    found = computed(classes_of(5), logits[present], labels[present], None)
    told = logits[present].argmax(1)
    recalls = [float((told == k)[labels[present] == k].double().mean()) for k in range(3)]
    assert found["balanced_accuracy"] == pytest.approx(np.mean(recalls))


def test_the_calibration_error_of_honest_probabilities_is_small_and_of_false_ones_large() -> None:
    draw = torch.Generator().manual_seed(0)
    logits = torch.randn(30_000, 3, generator=draw, dtype=torch.float64)
    labels = torch.multinomial(logits.softmax(1), 1, generator=draw)[:, 0]
    honest = computed(classes_of(3), logits, labels, None)["ece"]
    boasting = computed(classes_of(3), 4 * logits, labels, None)["ece"]
    assert honest < 0.015
    assert boasting > 0.2


def test_rows_of_equal_confidence_fall_into_one_bin_in_any_order() -> None:
    logits = torch.tensor([[1.0, 0.0]] * 50 + [[3.0, 0.0]] * 50)
    labels = torch.tensor([0] * 30 + [1] * 20 + [0] * 50)
    order = torch.randperm(100, generator=torch.Generator().manual_seed(0))
    found = computed(classes_of(2), logits[order], labels[order], None)["ece"]
    sure = [float(torch.tensor([x, 0.0]).softmax(0)[0]) for x in (1.0, 3.0)]
    assert found == pytest.approx((abs(0.6 - sure[0]) + abs(1 - sure[1])) / 2, rel=1e-6)


@pytest.mark.parametrize("is_weighted", [False, True])
def test_metrics_of_a_number_are_those_of_scikit_learn_in_its_unit(is_weighted: bool) -> None:
    draw = torch.Generator().manual_seed(0)
    truth = 300 + 50 * torch.randn(200, generator=draw, dtype=torch.float64)
    guess = truth + 20 * torch.randn(200, generator=draw, dtype=torch.float64)
    weights = torch.rand(200, generator=draw, dtype=torch.float64) if is_weighted else None
    target = Target("y", "regression", mean=290.0, scale=40.0)
    found = computed(target, ((guess - 290) / 40)[:, None], (truth - 290) / 40, weights)
    kept: dict[str, Any] = {"sample_weight": weights}
    assert found == pytest.approx(
        {
            "loss": oracle.mean_squared_error(truth / 40, guess / 40, **kept),
            "rmse": oracle.root_mean_squared_error(truth, guess, **kept),
            "mae": oracle.mean_absolute_error(truth, guess, **kept),
            "r2": oracle.r2_score(truth, guess, **kept),
        },
        rel=1e-6,
    )


def test_the_loss_of_quantiles_is_scikit_learns_and_their_coverage_is_counted() -> None:
    draw = torch.Generator().manual_seed(3)
    values = torch.randn(500, generator=draw, dtype=torch.float64)
    said = torch.randn(500, 3, generator=draw, dtype=torch.float64).sort(1).values
    weights = torch.rand(500, generator=draw, dtype=torch.float64)
    levels = (0.1, 0.5, 0.9)
    target = Target("y", "regression", head="quantiles", quantiles=levels)
    found = computed(target, said, values, weights)
    losses = [
        oracle.mean_pinball_loss(values, said[:, k], alpha=level, sample_weight=weights)
        for k, level in enumerate(levels)
    ]
    inside = [float(low <= y <= high) for y, (low, _, high) in zip(values, said, strict=True)]
    assert found["loss"] == pytest.approx(np.mean(losses), rel=1e-6)
    assert found["coverage"] == pytest.approx(np.average(inside, weights=weights))


def test_the_loss_of_a_gaussian_is_its_negative_log_likelihood_without_the_constant() -> None:
    draw = torch.Generator().manual_seed(3)
    values = torch.randn(50, generator=draw, dtype=torch.float64)
    said = torch.randn(50, 2, generator=draw, dtype=torch.float64)
    target = Target("y", "regression", head="gaussian")
    density = stats.norm.logpdf(values, loc=said[:, 0], scale=said[:, 1].exp())
    expected = -density.mean() - math.log(2 * math.pi) / 2
    assert computed(target, said, values, None)["loss"] == pytest.approx(expected)


def test_a_temperature_adds_what_it_changes_and_leaves_the_rest() -> None:
    logits, labels, weights = drawn(3)
    plain = computed(classes_of(3), logits, labels, weights)
    target = Target("y", "classification", labels=(0, 1, 2), head="classes", temperature=2.5)
    found = computed(target, logits, labels, weights)
    tempered = computed(classes_of(3), logits / 2.5, labels, weights)
    assert found == {
        **plain,
        "calibrated_loss": tempered["loss"],
        "calibrated_ece": tempered["ece"],
    }
    assert found["calibrated_loss"] != plain["loss"]


def several() -> tuple[list[Target], list[Tensor], Tensor, Tensor]:
    """Two targets, the second of which is missing in a third of the rows."""
    logits, labels, weights = drawn(2, 90)
    draw = torch.Generator().manual_seed(9)
    numbers = torch.randn(90, generator=draw).where(torch.arange(90) % 3 > 0, math.nan)
    targets = [
        Target("loss", "classification", labels=("no", "yes"), head="classes", gaps=True),
        Target("a.b", "regression", mean=5.0, scale=2.0, gaps=True),
    ]
    said = [logits.float(), torch.randn(90, 1, generator=draw)]
    return targets, said, torch.stack([labels.float(), numbers], dim=1), weights


def test_several_targets_have_metrics_of_their_own_and_a_loss_of_all() -> None:
    targets, said, values, weights = several()
    found = merged(TableMetrics(targets, [2.0, 5.0]).update(said, values, weights).by_name, [])
    there = ~values[:, 1].isnan()
    alone = [
        computed(targets[0], said[0], values[:, 0], weights),
        computed(targets[1], said[1][there], values[there, 1], weights[there]),
    ]
    assert found["loss.accuracy"] == alone[0]["accuracy"]
    assert found["a.b.rmse"] == alone[1]["rmse"]
    assert found["loss.loss"] == alone[0]["loss"]
    share = float(weights[there].sum() / weights.sum())
    expected = 2 * alone[0]["loss"] + 5 * share * alone[1]["loss"]
    assert found["loss"] == pytest.approx(expected, rel=1e-6)


def test_shares_of_two_processes_make_the_whole() -> None:
    targets, said, values, weights = several()

    def of(rows: slice) -> dict[str, Any]:
        mine = TableMetrics(targets).update([s[rows] for s in said], values[rows], weights[rows])
        return mine.by_name

    other = {name: metric.state_dict() for name, metric in of(slice(50, 90)).items()}
    whole = merged(of(slice(0, 90)), [])
    assert merged(of(slice(0, 50)), [other]) == pytest.approx(whole, rel=1e-9)


def test_lower_is_better_for_losses_and_errors_whatever_the_target_is_called() -> None:
    lower = ("loss", "price.rmse", "mae", "y.ece")
    assert [mode_of(name) for name in lower] == ["min"] * 4
    assert [mode_of(name) for name in ("r2", "loss.accuracy", "roc_auc")] == ["max"] * 3
    assert watchable({"loss": 1.0, "coverage": 0.9, "y.coverage": 0.9, "r2": 0.0}) == ["loss", "r2"]


@pytest.mark.parametrize("name", ["average_precision", "balanced_accuracy", "ece"])
def test_any_metric_can_be_watched(make: Make, frame: pd.DataFrame, name: str) -> None:
    loop = make("target=bought", f"watch={name}", frame=frame)
    assert (loop.watch.metric, loop.watch.mode) == (name, "min" if name == "ece" else "max")


NO_METRIC = "of which more or less is better. Watch one of loss"


@pytest.mark.parametrize(
    ("items", "what", "others"),
    [
        (
            ("target=bought", "watch=rmse"),
            "it has no metric 'rmse'",
            ", accuracy, f1, mcc, balanced_accuracy, roc_auc, average_precision, ece.",
        ),
        (
            ("target=age", "head=quantiles", "watch=coverage"),
            "it has no metric 'coverage'",
            ", rmse, mae, r2.",
        ),
        (
            ("targets=bought,age", "watch=accuracy"),
            "several targets have no metric 'accuracy'",
            ", bought.loss, bought.accuracy, ",
        ),
    ],
)
def test_a_metric_that_is_not_there_cannot_be_watched(
    make: Make, frame: pd.DataFrame, items: tuple[str, ...], what: str, others: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        make(*items, frame=frame.dropna(subset="age"))
    assert str(caught.value).startswith(f"watch: {what} {NO_METRIC}{others}")


def test_one_of_several_targets_can_be_watched(make: Make, frame: pd.DataFrame) -> None:
    loop = make("targets=bought,age", "watch=age.rmse", frame=frame)
    assert (loop.watch.metric, loop.watch.mode) == ("age.rmse", "min")


def test_rows_count_by_their_weights_in_evaluation_and_bundle(
    make: Make, frame: pd.DataFrame, write: Write, tmp_path: Path
) -> None:
    draw = torch.Generator().manual_seed(0)
    frame["importance"] = (5 * torch.rand(len(frame), generator=draw)).tolist()
    items = (f"data={write(frame)}", "target=bought", "weight=importance", "network.members=2")
    loop = make(*items)
    loop.model.eval()
    with Run(tmp_path / "run", settings=loop.config.run) as run:
        run.print_with(lambda _: None)
        found = run.evaluate(loop)
    cells = loop.dataset.valid_cells
    told = loop.bundle().predict(cells)
    counts = cells["importance"]
    assert found["accuracy"] == pytest.approx(
        oracle.accuracy_score(cells["bought"], told["bought"], sample_weight=counts), rel=1e-6
    )
    assert found["accuracy"] != pytest.approx(
        oracle.accuracy_score(cells["bought"], told["bought"]), rel=1e-6
    )
    bundle = TabularBundle.load(loop.bundle().save(tmp_path / "bundle"))
    again = bundle.evaluate(None)
    assert {name: again[name] for name in found} == pytest.approx(found, rel=1e-5)


def test_the_baseline_counts_rows_by_their_weights(make: Make, frame: pd.DataFrame) -> None:
    frame["importance"] = [3.0 if word == "often" else 1.0 for word in frame["bought"]]
    loop = make("target=bought", "weight=importance", frame=frame)
    valid, train = loop.dataset.valid, loop.dataset.train.values[:, 0]
    guess = float(train.mean().round())
    right = (valid.values[:, 0] == guess).double()
    expected = float((right * valid.weights).sum() / valid.weights.sum())
    assert loop.baseline.values["accuracy"] == pytest.approx(expected)


def test_the_loss_of_several_targets_is_the_same_in_evaluation_and_bundle(
    make: Make, frame: pd.DataFrame, write: Write, tmp_path: Path
) -> None:
    loop = make(f"data={write(frame)}", "targets=bought,age", "head_weights.age=3")
    loop.model.eval()
    with Run(tmp_path / "run", settings=loop.config.run) as run:
        run.print_with(lambda _: None)
        found = run.evaluate(loop)
    again = TabularBundle.load(loop.bundle().save(tmp_path / "bundle")).evaluate(None)
    assert again["loss"] == pytest.approx(found["loss"], rel=1e-5)
    assert found["loss"] != pytest.approx(found["bought.loss"] + found["age.loss"], rel=1e-2)
