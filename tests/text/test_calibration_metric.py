"""Expected calibration error against scikit-learn's calibration curve and by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.calibration import calibration_curve
from torch import Tensor

from rondel.errors import UsageError
from rondel_text.metrics.calibration import CalibrationError, ReliabilityBin


def drawn(seed: int, size: int = 300) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 3, (size,), generator=draw)
    logits = 2 * torch.randn(size, 3, generator=draw)
    logits[torch.arange(size), labels] += 1.0
    return logits, labels


def logits_of(confidence: list[float]) -> Tensor:
    first = torch.tensor(confidence, dtype=torch.float64)
    return torch.stack([first, 1 - first], dim=1).log()


@pytest.mark.parametrize("bins", [1, 7, 15])
def test_the_table_is_scikit_learns_calibration_curve(bins: int) -> None:
    logits, labels = drawn(bins)
    metric = CalibrationError(3, bins=bins).update(logits[:99], labels[:99])
    table = metric.update(logits[99:], labels[99:]).table()
    confidence = logits.double().softmax(1).amax(1).numpy()
    hits = (logits.argmax(1) == labels).numpy()
    accuracies, confidences = calibration_curve(hits, confidence, n_bins=bins)
    filled = [row for row in table if row.count]
    np.testing.assert_allclose([row.accuracy for row in filled], accuracies, atol=1e-12)
    np.testing.assert_allclose([row.confidence for row in filled], confidences, atol=1e-12)
    shares = np.array([row.count for row in filled]) / len(labels)
    assert metric.compute() == pytest.approx(
        float((shares * np.abs(accuracies - confidences)).sum()), abs=1e-12
    )


def test_the_error_of_a_small_example() -> None:
    labels = torch.tensor([0, 1, 0, 0])  # three of the four answers are right
    metric = CalibrationError(2, bins=2).update(logits_of([0.9, 0.9, 0.7, 0.7]), labels)
    low, high = metric.table()
    assert (low.low, low.high, low.count, high.low, high.high, high.count) == (0, 0.5, 0, 0.5, 1, 4)
    assert math.isnan(low.confidence)
    assert math.isnan(low.accuracy)
    assert (high.confidence, high.accuracy) == pytest.approx((0.8, 0.75), abs=1e-12)
    assert metric.compute() == pytest.approx(0.05, abs=1e-12)


def test_opposite_errors_of_two_bins_do_not_cancel() -> None:
    logits, labels = logits_of([0.6, 0.9]), torch.tensor([0, 1])
    assert CalibrationError(2, bins=4).update(logits, labels).compute() == pytest.approx(0.65)
    assert CalibrationError(2, bins=1).update(logits, labels).compute() == pytest.approx(0.25)


def test_an_edge_belongs_to_the_bin_below() -> None:
    metric = CalibrationError(2, bins=2).update(torch.zeros(3, 2), torch.zeros(3).long())
    assert [row.count for row in metric.table()] == [3, 0]


def test_nan_counts_as_sure_and_wrong() -> None:
    logits = torch.full((4, 2), math.nan)
    metric = CalibrationError(2, bins=5).update(logits, torch.tensor([0, 1, 0, 1]))
    assert metric.compute() == 1.0
    assert metric.table()[-1] == ReliabilityBin(0.8, 1.0, 4, 1.0, 0.0)


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(UsageError) as caught:
        CalibrationError(3).update(torch.zeros(4, 2), torch.zeros(4))
    assert str(caught.value) == (
        "a metric got the shapes logits (4, 2). It takes logits (N, 3), one column per class."
    )
    with pytest.raises(UsageError, match=r"targets of shape \(4, 1\)"):
        CalibrationError(2).update(torch.zeros(4, 2), torch.zeros(4, 1))
