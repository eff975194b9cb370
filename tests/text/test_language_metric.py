"""Perplexity and bits per byte against cross-entropy and models of which both are known."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from rondel.errors import UsageError
from rondel_text.metrics.language import Perplexity


def test_a_uniform_guess_over_bytes_costs_eight_bits_per_byte() -> None:
    losses, counted = torch.full((3, 5), math.log(256), dtype=torch.float64), torch.ones(3, 5)
    values = Perplexity().update(losses, counted, size_bytes=torch.tensor([5, 5, 5])).compute()
    assert values == pytest.approx({"perplexity": 256.0, "bits_per_byte": 8.0}, rel=1e-12)


def test_it_is_the_exponential_of_the_cross_entropy() -> None:
    draw = torch.Generator().manual_seed(0)
    logits = torch.randn(4, 6, 11, generator=draw, dtype=torch.float64)
    targets = torch.randint(0, 11, (4, 6), generator=draw)
    targets[1, 3:] = -100  # ignored by the oracle
    flat = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none")
    expected = F.cross_entropy(logits.flatten(0, 1), targets.flatten())
    metric, losses = Perplexity(), flat.reshape(4, 6)
    for row in range(4):  # batches of texts of unlike length
        some = slice(row, row + 1)
        size = torch.tensor([7])
        metric.update(losses[some], targets[some] != -100, size_bytes=size)
    values = metric.compute()
    assert values["perplexity"] == pytest.approx(expected.exp().item(), rel=1e-12)
    assert values["bits_per_byte"] == pytest.approx(
        expected.item() * 21 / 28 / math.log(2), rel=1e-12
    )


def test_padding_may_hold_anything_and_a_counted_nan_shows() -> None:
    losses = torch.tensor([[1.0, math.nan], [1.0, math.inf]])
    counted, size = torch.tensor([[True, False], [True, False]]), torch.tensor([1, 1])
    values = Perplexity().update(losses, counted, size_bytes=size).compute()
    assert values["perplexity"] == pytest.approx(math.e, rel=1e-12)
    values = Perplexity().update(losses, torch.ones(2, 2), size_bytes=size).compute()
    assert all(map(math.isnan, values.values()))


def test_a_hopeless_model_has_infinite_perplexity() -> None:
    losses = torch.full((1, 1), 1e4)
    values = Perplexity().update(losses, torch.ones(1, 1), size_bytes=torch.ones(1).long())
    assert values.compute()["perplexity"] == math.inf


@pytest.mark.parametrize(
    "shapes", [((2, 3), (2, 1), (2,)), ((2, 3), (2, 3), (3,)), ((2,), (2,), ())]
)
def test_shapes_that_do_not_fit_are_refused(shapes: tuple[tuple[int, ...], ...]) -> None:
    losses, counted, size = (torch.ones(shape) for shape in shapes)
    with pytest.raises(UsageError) as caught:
        Perplexity().update(losses, counted, size_bytes=size)
    assert str(caught.value) == (
        f"a metric got the shapes losses {shapes[0]}, counted {shapes[1]}, size_bytes {shapes[2]}. "
        "It takes losses (N, T), counted (N, T), size_bytes (N,)."
    )
