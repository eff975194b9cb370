"""Losses: a sum and a count, so that pieces add up to the whole."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from rondel.errors import LossError
from rondel.loss import Loss, as_loss, counted, counts_of, divisor


def leaf(value: float) -> Tensor:
    return torch.tensor(value, dtype=torch.float64, requires_grad=True)


def test_the_mean_is_the_sum_over_the_count() -> None:
    loss = Loss(leaf(12.0), 8)
    assert loss.mean.item() == 1.5
    assert loss.mean.requires_grad


def test_a_mean_knows_its_sum() -> None:
    loss = Loss.of_mean(leaf(1.5), 8, parts={"box": torch.tensor(0.5)})
    assert loss.sum.item() == 12.0
    assert loss.part_sums()["box"] == (torch.tensor(4.0), 8)


@pytest.mark.parametrize("count", [0, torch.tensor(0), torch.tensor(0.0)])
def test_an_empty_count_gives_zero_and_a_graph(count: int | Tensor) -> None:
    loss = Loss(leaf(0.0), count)
    assert loss.mean.item() == 0.0
    assert loss.mean.requires_grad


@pytest.mark.parametrize("count", [torch.tensor(0.25), torch.tensor(0.25, dtype=torch.float64)])
def test_sums_of_weights_below_one_are_divided_by(count: Tensor) -> None:
    assert Loss(leaf(1.0), count).mean.item() == 4.0
    assert float(divisor(count)) == 0.25


def test_weighted_terms_are_means_over_what_each_counts() -> None:
    terms = {"box": Loss(leaf(6.0), 3), "class": Loss(leaf(8.0), torch.tensor(16))}
    loss = Loss.weighted(terms, {"box": 10.0})
    assert loss.mean.item() == pytest.approx(10 * 6 / 3 + 8 / 16, rel=1e-12)
    assert loss.weighed({"box": 6, "class": 32}).item() == pytest.approx(10.0 + 0.25, rel=1e-12)
    box, boxes = loss.part_sums()["box"]
    assert (box.item(), boxes, box.requires_grad) == (6.0, 3, False)


def test_terms_of_different_precision_add_up() -> None:
    terms = {
        "a": Loss(torch.tensor(2.0, dtype=torch.bfloat16, requires_grad=True), 1),
        "b": Loss(torch.tensor(1.0, requires_grad=True), 4),
    }
    assert Loss.weighted(terms, {}).mean.item() == 2.25


def test_counts_that_lack_a_term_are_named() -> None:
    loss = Loss.weighted({"box": Loss(leaf(1.0), 1)}, {})
    with pytest.raises(
        LossError, match=r"the counts of the loss lack 'box'; they have \['boxes'\]"
    ):
        loss.weighed({"boxes": 3})


def test_a_function_can_declare_its_counts() -> None:
    @counted(lambda images, targets: {"box": int(targets.sum()), "object": len(images)})
    def loss(images: Tensor, targets: Tensor) -> Loss:
        raise AssertionError

    inputs = (torch.zeros(3, 2), torch.tensor([1, 0, 4]))
    assert counts_of(loss, inputs) == {"box": 5, "object": 3}
    assert counts_of(lambda x: x, inputs[:1]) is None


def test_a_plain_mean_is_enough_for_one_piece_only() -> None:
    mean = leaf(0.5)
    assert as_loss(mean, update="model", whole=True).mean is mean
    with pytest.raises(LossError) as caught:
        as_loss(mean, update="model", whole=False)
    assert str(caught.value) == (
        "update 'model': the loss function returned a mean without its count. Several pieces or "
        "processes need rondel.Loss(sum, count) or rondel.Loss.of_mean(mean, count): a mean of "
        "means is not the mean."
    )


@pytest.mark.parametrize(
    ("returned", "said"),
    [
        (torch.zeros(4), "a tensor of shape (4,)"),
        (None, "NoneType"),
        (0.25, "float"),
        ((torch.zeros(()), torch.zeros(())), "tuple"),
    ],
)
def test_what_is_no_loss_is_refused(returned: object, said: str) -> None:
    with pytest.raises(LossError) as caught:
        as_loss(returned, update="model", whole=True)
    assert f"update 'model': the loss function returned {said}. Return rondel.Loss(sum" in str(
        caught.value
    )


def test_a_nan_is_no_empty_count() -> None:
    assert math.isnan(Loss(leaf(math.nan), 0).mean.item())


def test_a_scaled_loss_keeps_its_counts() -> None:
    plain = Loss(leaf(6.0), 3, parts={"a": leaf(6.0)}).scaled(0.5)
    assert (plain.mean.item(), plain.count) == (1.0, 3)
    assert plain.part_sums()["a"][0].item() == 6.0
    weighted = Loss.weighted({"box": Loss(leaf(6.0), 3), "heat": Loss(leaf(1.0), 4)}, {"box": 2.0})
    assert weighted.scaled(0.5).mean.item() == 0.5 * (2 * 2.0 + 0.25)
    assert weighted.scaled(0.5).weighed({"box": 6, "heat": 8}).item() == 0.5 * (2 * 1.0 + 0.125)
