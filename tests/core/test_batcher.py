"""Batchers: pure, complete, within their budgets."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from rondel.batcher import (
    Batcher,
    ClassBalanced,
    FixedSize,
    LengthBuckets,
    Packed,
    TokenBudget,
)
from rondel.errors import UsageError

LENGTHS = st.lists(st.integers(0, 30), min_size=0, max_size=80)
COMPLETE: dict[str, Callable[[Tensor], Batcher]] = {
    "fixed": lambda _: FixedSize(7),
    "buckets": lambda lengths: LengthBuckets(lengths, 4, bucket=3),
    "budget": lambda lengths: TokenBudget(lengths, budget=60, bucket=20),
    "packed": lambda lengths: Packed(lengths, capacity=30, bucket=25),
}


def seeded(seed: int | None) -> torch.Generator | None:
    return None if seed is None else torch.Generator().manual_seed(seed)


def listed(batcher: Batcher, size: int, seed: int | None) -> list[list[int]]:
    return [batch.tolist() for batch in batcher.plan(size, seeded(seed))]


@pytest.mark.parametrize("kind", COMPLETE)
@settings(max_examples=40, deadline=None)
@given(lengths=LENGTHS, seed=st.one_of(st.none(), st.integers(0, 99)))
def test_each_sample_comes_once_and_the_plan_is_pure(
    kind: str, lengths: list[int], seed: int | None
) -> None:
    batcher = COMPLETE[kind](torch.tensor(lengths, dtype=torch.long))
    torch.manual_seed(1)
    plan = listed(batcher, len(lengths), seed)
    assert sorted(i for batch in plan for i in batch) == list(range(len(lengths)))
    assert all(plan), "no batch is empty"
    torch.manual_seed(2)
    before = torch.default_generator.get_state()
    assert listed(batcher, len(lengths), seed) == plan
    assert torch.equal(torch.default_generator.get_state(), before)


@settings(max_examples=40, deadline=None)
@given(lengths=LENGTHS, seed=st.integers(0, 99))
def test_budgets_are_kept(lengths: list[int], seed: int) -> None:
    tensor = torch.tensor(lengths, dtype=torch.long)
    for batch in listed(COMPLETE["budget"](tensor), len(lengths), seed):
        assert len(batch) == 1 or len(batch) * max(lengths[i] for i in batch) <= 60
    for batch in listed(COMPLETE["packed"](tensor), len(lengths), seed):
        assert len(batch) == 1 or sum(lengths[i] for i in batch) <= 30
    for batch in listed(COMPLETE["buckets"](tensor), len(lengths), seed):
        assert len(batch) <= 4


@pytest.mark.parametrize("kind", COMPLETE)
def test_another_seed_is_another_order(kind: str) -> None:
    lengths = torch.arange(60) % 29 + 1
    batcher = COMPLETE[kind](lengths)
    assert listed(batcher, 60, 1) != listed(batcher, 60, 2)


def test_a_fixed_size_cuts_the_order_and_may_drop_the_rest() -> None:
    assert listed(FixedSize(4), 10, None) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert listed(FixedSize(4, drop_last=True), 10, None) == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert len(listed(FixedSize(5, drop_last=True), 10, 1)) == 2


def test_buckets_waste_less_padding_than_chance() -> None:
    lengths = torch.randint(1, 100, (640,), generator=seeded(1))

    def padding(plan: list[list[int]]) -> int:
        return sum(int(lengths[b].max()) * len(b) - int(lengths[b].sum()) for b in plan)

    tight = padding(listed(LengthBuckets(lengths, 16, bucket=10), 640, 1))
    assert tight < 0.2 * padding(listed(FixedSize(16), 640, 1))


def test_packing_is_tighter_than_next_fit() -> None:
    lengths = torch.randint(1, 50, (300,), generator=seeded(1))
    rows = len(listed(Packed(lengths, capacity=100), 300, 1))
    assert rows <= int(lengths.sum()) / 100 * 1.05 + 1


def test_a_sample_beyond_the_budget_is_named() -> None:
    with pytest.raises(UsageError) as caught:
        TokenBudget(torch.tensor([3, 90, 5]), budget=64).plan(3, None)
    assert str(caught.value) == (
        "sample 1 has 90 tokens, the budget is 64. Raise the budget or truncate the samples."
    )


@pytest.mark.parametrize("seed", [None, 3])
def test_classes_are_drawn_equally_often(seed: int | None) -> None:
    labels = torch.tensor([0] * 900 + [2] * 90 + [3] * 10)
    torch.manual_seed(7)
    before = torch.default_generator.get_state()
    plan = listed(ClassBalanced(labels, 10), 1000, seed)
    assert torch.equal(torch.default_generator.get_state(), before)
    assert plan == listed(ClassBalanced(labels, 10), 1000, seed)
    drawn = torch.bincount(labels[[i for batch in plan for i in batch]], minlength=4)
    assert sum(len(batch) for batch in plan) == 1000
    assert drawn[1] == 0
    # binomial with p = 1/3: five standard deviations are 75
    assert all(abs(int(drawn[c]) - 1000 / 3) < 75 for c in (0, 2, 3))


@pytest.mark.parametrize(
    "batcher",
    [
        LengthBuckets(torch.ones(5, dtype=torch.long), 2),
        TokenBudget(torch.ones(5, dtype=torch.long), 9),
        Packed(torch.ones(5, dtype=torch.long), 9),
    ],
)
def test_lengths_of_other_data_are_refused(batcher: Batcher) -> None:
    with pytest.raises(UsageError, match=r"the batcher has 5 lengths for 6 samples\. Give one per"):
        batcher.plan(6, None)


def test_labels_of_other_data_are_refused() -> None:
    with pytest.raises(UsageError, match="the batcher has 3 labels for 2 samples"):
        ClassBalanced(torch.tensor([0, 1, 1]), 2).plan(2, None)
