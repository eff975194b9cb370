"""Metrics against scikit-learn, whole and in shares."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from sklearn import metrics as oracle
from torch import Tensor

from rondel.errors import UsageError
from rondel.metric import (
    Accuracy,
    ConfusionMatrix,
    MeanMetric,
    RegressionErrors,
    Scores,
    bootstrap,
    merged,
    roc_auc,
)
from rondel.tree import from_bytes, to_bytes


def drawn(seed: int, size: int = 200) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 2, (size,), generator=draw)
    scores = torch.randn(size, generator=draw) + labels
    return scores, labels


@pytest.mark.parametrize("digits", [0, 1, 6])
def test_roc_auc_is_scikit_learns_with_ties(digits: int) -> None:
    scores, labels = drawn(digits)
    scores = (scores * 10**digits).round()
    expected = oracle.roc_auc_score(labels.numpy(), scores.numpy())
    assert Scores().update(scores, labels).compute() == pytest.approx(expected, abs=1e-12)


def test_roc_auc_without_an_answer_is_nan() -> None:
    assert math.isnan(roc_auc(torch.rand(3), torch.ones(3, dtype=torch.bool)))
    assert math.isnan(Scores().compute())
    broken = torch.tensor([0.1, math.nan, 0.3])  # a NaN sorts above every number
    assert math.isnan(roc_auc(broken, torch.tensor([False, True, False])))


@pytest.mark.parametrize("seed", range(3))
def test_confusions_are_scikit_learns(seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 4, (90,), generator=draw)
    predicted = torch.where(torch.rand(90, generator=draw) < 0.6, labels, 2)
    metric = ConfusionMatrix(6)  # two classes never occur
    metric.update(predicted[:31], labels[:31]).update(predicted[31:], labels[31:])
    values = metric.compute()
    y, p = labels.numpy(), predicted.numpy()
    assert values["accuracy"] == pytest.approx(oracle.accuracy_score(y, p), abs=1e-12)
    assert values["f1"] == pytest.approx(oracle.f1_score(y, p, average="macro"), abs=1e-12)
    assert values["mcc"] == pytest.approx(oracle.matthews_corrcoef(y, p), abs=1e-12)
    assert metric["matrix"][:4, :4].tolist() == oracle.confusion_matrix(y, p).tolist()


def test_a_constant_guess_has_no_correlation() -> None:
    metric = ConfusionMatrix(2).update(torch.zeros(4), torch.tensor([0, 1, 0, 1]))
    assert metric.compute()["mcc"] == 0.0
    assert math.isnan(ConfusionMatrix(2).compute()["f1"])


@pytest.mark.parametrize("offset", [0.0, 2.0e3, 1.7e9])
def test_regression_errors_are_scikit_learns(offset: float) -> None:
    draw = torch.Generator().manual_seed(0)
    targets = torch.randn(500, generator=draw, dtype=torch.float64) + offset
    predictions = targets + 0.3 * torch.randn(500, generator=draw, dtype=torch.float64)
    metric = RegressionErrors()
    for start in range(0, 500, 64):
        metric.update(predictions[start : start + 64], targets[start : start + 64])
    metric.update(predictions[:0], targets[:0])
    values, y, p = metric.compute(), targets.numpy(), predictions.numpy()
    assert values["rmse"] == pytest.approx(oracle.root_mean_squared_error(y, p), rel=1e-9)
    assert values["mae"] == pytest.approx(oracle.mean_absolute_error(y, p), rel=1e-9)
    assert values["r2"] == pytest.approx(oracle.r2_score(y, p), rel=1e-6)


def weighted(seed: int, size: int = 200) -> tuple[Tensor, Tensor, Tensor]:
    """Scores, labels and weights between 0 and 2, a tenth of them 0."""
    scores, labels = drawn(seed, size)
    weights = 2 * torch.rand(
        size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )
    return scores, labels, weights * (weights > 0.2)


@pytest.mark.parametrize("digits", [0, 6])
def test_weights_count_as_in_scikit_learn(digits: int) -> None:
    scores, labels, weights = weighted(digits)
    scores = (scores * 10**digits).round()
    y, p, w = labels.numpy(), (scores > 0).long().numpy(), weights.numpy()
    area = Scores()
    matrix, errors, mean = ConfusionMatrix(2), RegressionErrors(), MeanMetric()
    for start in range(0, 200, 64):
        rows = slice(start, start + 64)
        area.update(scores[rows], labels[rows], weights[rows])
        matrix.update(scores[rows] > 0, labels[rows], weights[rows])
        errors.update(scores[rows], labels[rows].float(), weights[rows])
        mean.update(scores[rows], weights[rows])
    expected = oracle.roc_auc_score(y, scores.numpy(), sample_weight=w)
    assert area.compute() == pytest.approx(expected, abs=1e-12)
    assert mean.compute() == pytest.approx(np.average(scores.numpy(), weights=w), rel=1e-12)
    assert matrix.compute() == pytest.approx(
        {
            "accuracy": oracle.accuracy_score(y, p, sample_weight=w),
            "f1": oracle.f1_score(y, p, average="macro", sample_weight=w),
            "mcc": oracle.matthews_corrcoef(y, p, sample_weight=w),
        },
        abs=1e-12,
    )
    assert errors.compute() == pytest.approx(
        {
            "rmse": oracle.root_mean_squared_error(y, scores.numpy(), sample_weight=w),
            "mae": oracle.mean_absolute_error(y, scores.numpy(), sample_weight=w),
            "r2": oracle.r2_score(y, scores.numpy(), sample_weight=w),
        },
        rel=1e-9,
    )


def test_small_weights_are_worth_what_large_ones_are() -> None:
    scores, labels, weights = weighted(1)

    def measured(factor: float) -> dict[str, float]:
        matrix, area, errors = ConfusionMatrix(2), Scores(), RegressionErrors()
        for rows in (slice(0, 90), slice(90, 200)):
            counts = weights[rows] * factor
            matrix.update(scores[rows] > 0, labels[rows], counts)
            area.update(scores[rows], labels[rows], counts)
            errors.update(scores[rows], labels[rows] + 0.01 * scores[rows], counts)
        return merged({"": matrix, "auc": area, "errors": errors}, [])

    large, small = measured(1.0), measured(1e-6)
    assert small == pytest.approx(large, rel=1e-9)


def test_equal_weights_leave_the_interval_of_a_mean_as_it_is() -> None:
    values = torch.randn(50, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    plain = MeanMetric().update(values).interval()
    assert MeanMetric().update(values, torch.full((50,), 3.0)).interval() == pytest.approx(plain)
    uneven = torch.tensor([100.0] + [1.0] * 49)
    low, high = MeanMetric().update(values, uneven).interval()
    assert high - low > 2 * (plain[1] - plain[0])


def test_a_weight_for_each_sample_is_asked_for() -> None:
    with pytest.raises(UsageError) as caught:
        MeanMetric().update(torch.ones(4), torch.ones(1))
    assert str(caught.value) == (
        "a metric got weights of shape (1,) for samples of shape (4,). "
        "Give one weight for each sample."
    )


def test_constant_targets_have_no_r2() -> None:
    targets = torch.full((30,), 0.1)
    values = RegressionErrors().update(targets[:7] + 1, targets[:7]).update(targets, targets)
    assert math.isnan(values.compute()["r2"])
    assert math.isnan(RegressionErrors().compute()["rmse"])


def test_accuracy_is_scikit_learns_and_nan_is_never_right() -> None:
    logits = torch.randn(50, 3, generator=torch.Generator().manual_seed(0))
    labels = torch.randint(0, 3, (50,), generator=torch.Generator().manual_seed(1))
    expected = oracle.accuracy_score(labels, logits.argmax(1))
    assert Accuracy().update(logits, labels).compute() == pytest.approx(expected, abs=1e-12)
    broken = torch.full((50, 3), math.nan)
    assert Accuracy().update(broken, torch.zeros(50, dtype=torch.long)).compute() == 0.0


def test_a_mean_of_many_float32_values_keeps_its_digits() -> None:
    metric, batch = MeanMetric(), torch.full((100_000,), 0.1)
    for _ in range(50):
        metric.update(batch)
    assert metric.compute() == pytest.approx(float(torch.tensor(0.1)), rel=1e-12)
    low, high = metric.interval()
    assert high - low < 1e-6


def test_the_interval_of_a_mean_covers_what_it_promises() -> None:
    covered = 0
    for seed in range(300):
        draw = torch.randn(40, generator=torch.Generator().manual_seed(seed)) + 3
        low, high = MeanMetric().update(draw).interval()
        covered += low <= 3 <= high
    assert 0.90 <= covered / 300 <= 0.98


def test_an_empty_mean_is_nan() -> None:
    assert math.isnan(MeanMetric().compute())
    assert all(map(math.isnan, MeanMetric().update(torch.ones(1)).interval()))


def test_the_interval_of_roc_auc_is_reproducible_and_around_it() -> None:
    metric = Scores().update(*drawn(3))
    low, high = metric.interval()
    assert low < metric.compute() < high
    assert (low, high) == metric.interval()
    wide = Scores().update(*drawn(3, 40)).interval()
    assert wide[1] - wide[0] > high - low


def test_the_bootstrap_agrees_with_the_normal_interval() -> None:
    values = torch.randn(400, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    ours = bootstrap(lambda rows: values[rows].mean().item(), 400, resamples=1000)
    normal = MeanMetric().update(values).interval()
    assert ours == pytest.approx(normal, abs=0.02)
    assert all(map(math.isnan, bootstrap(lambda rows: 0.0, 0)))


def regression(rows: slice) -> RegressionErrors:
    x, y = drawn(1)
    return RegressionErrors().update(x[rows], y[rows].float())


SHARED: dict[str, Callable[[slice], Any]] = {
    "mean": lambda rows: MeanMetric().update(drawn(1)[0][rows]),
    "confusion": lambda rows: ConfusionMatrix(2).update(drawn(1)[0][rows] > 0, drawn(1)[1][rows]),
    "scores": lambda rows: Scores().update(drawn(1)[0][rows], drawn(1)[1][rows]),
    "regression": regression,
    "weighted mean": lambda rows: MeanMetric().update(weighted(1)[0][rows], weighted(1)[2][rows]),
    "weighted scores": lambda rows: Scores().update(*(column[rows] for column in weighted(1))),
    "weighted errors": lambda rows: RegressionErrors().update(*(c[rows] for c in weighted(1))),
}


@pytest.mark.parametrize("kind", SHARED)
def test_shares_of_three_processes_make_the_whole(kind: str) -> None:
    make = SHARED[kind]
    whole = merged({"m": make(slice(0, 200))}, [])
    shares = [make(slice(0, 150)), make(slice(150, 200)), make(slice(200, 200))]
    states = [from_bytes(to_bytes({"m": share.state_dict()})) for share in shares]
    for rank, share in enumerate(shares):
        others = [state for other, state in enumerate(states) if other != rank]
        assert merged({"m": share}, others) == pytest.approx(whole, rel=1e-12)


def test_several_values_of_a_metric_get_names() -> None:
    matrix = ConfusionMatrix(2).update(torch.tensor([1]), torch.tensor([1]))
    values = merged({"valid": matrix, "": matrix, "loss": torch.tensor(0.5), "n": np.int64(3)}, [])
    assert list(values)[:4] == ["valid.accuracy", "valid.f1", "valid.mcc", "accuracy"]
    assert (values["loss"], values["n"]) == (0.5, 3.0)


@pytest.mark.parametrize(
    ("metric", "outputs"),
    [
        (RegressionErrors(), torch.zeros(4, 1)),
        (Scores(), torch.zeros(4, 1)),
        (ConfusionMatrix(2), torch.zeros(4, 1)),
        (Accuracy(), torch.zeros(4, 1, 2)),
    ],
)
def test_shapes_that_would_broadcast_are_refused(metric: Any, outputs: Tensor) -> None:
    with pytest.raises(UsageError) as caught:
        metric.update(outputs, torch.zeros(4))
    assert str(caught.value) == (
        "a metric got outputs of shape (4, 1) and targets of shape (4,). "
        "Squeeze one of them, so that each output has its target."
    )
