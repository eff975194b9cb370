"""Spearman and Pearson against scipy."""

from __future__ import annotations

import math

import pytest
import torch
from scipy import stats as oracle
from torch import Tensor

from rondel.errors import UsageError
from rondel_text.metrics.correlation import Pearson, Spearman, mean_ranks


def drawn(seed: int, size: int = 200) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(seed)
    targets = torch.randn(size, generator=draw, dtype=torch.float64)
    return targets + torch.randn(size, generator=draw, dtype=torch.float64), targets


def streamed(metric: Pearson | Spearman, x: Tensor, y: Tensor) -> float:
    for start in range(0, len(x), 64):
        metric.update(x[start : start + 64], y[start : start + 64])
    return metric.update(x[:0], y[:0]).compute()


@pytest.mark.parametrize("digits", [0, 1, 9])
def test_spearman_is_scipys_with_ties(digits: int) -> None:
    x, y = (side.mul(10**digits).round() for side in drawn(digits))
    expected = oracle.spearmanr(x, y).statistic
    assert streamed(Spearman(), x, y) == pytest.approx(expected, abs=1e-12)
    assert mean_ranks(x).tolist() == oracle.rankdata(x).tolist()


@pytest.mark.parametrize("offset", [0.0, 1e3, 1e6])
def test_pearson_is_scipys_far_from_zero_too(offset: float) -> None:
    x, y = (side + offset for side in drawn(1))
    expected = oracle.pearsonr(x, y).statistic
    assert streamed(Pearson(), x, y) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("metric", [Pearson, Spearman])
def test_a_perfect_relation_is_one(metric: type[Pearson | Spearman]) -> None:
    x = drawn(2)[0]
    assert metric().update(x, 3 * x - 7).compute() == pytest.approx(1.0, abs=1e-12)
    assert metric().update(x, -x).compute() == pytest.approx(-1.0, abs=1e-12)
    assert metric().update(x, 3 * x).compute() <= 1.0


def test_spearman_asks_for_order_alone() -> None:
    x = drawn(2)[0]
    assert Spearman().update(x, x.exp()).compute() == pytest.approx(1.0, abs=1e-12)
    assert Pearson().update(x, x.exp()).compute() < 0.9


@pytest.mark.parametrize("metric", [Pearson, Spearman])
def test_there_is_no_correlation_with_a_constant_or_nan(metric: type[Pearson | Spearman]) -> None:
    x, constant = drawn(3)[0], torch.full((200,), 0.1, dtype=torch.float64)
    assert math.isnan(streamed(metric(), x, constant))
    assert math.isnan(metric().update(x[:1], x[:1]).compute())
    broken = x.clone()
    broken[5] = math.nan
    assert math.isnan(metric().update(broken, x).compute())
    assert math.isnan(metric().update(x, broken).compute())


@pytest.mark.parametrize("metric", [Pearson(), Spearman()])
def test_shapes_that_would_broadcast_are_refused(metric: Pearson | Spearman) -> None:
    with pytest.raises(UsageError) as caught:
        metric.update(torch.zeros(4, 1), torch.zeros(4))
    assert str(caught.value) == (
        "a metric got outputs of shape (4, 1) and targets of shape (4,). "
        "Squeeze one of them, so that each output has its target."
    )


def test_digits_of_half_precision_predictions_do_not_cost_those_of_targets() -> None:
    x, y = drawn(4)
    expected = oracle.spearmanr(x.half().double(), y).statistic
    assert Spearman().update(x.half(), y).compute() == pytest.approx(expected, abs=1e-12)
