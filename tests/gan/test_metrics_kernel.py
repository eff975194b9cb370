"""The kernel distance and the inception score against torch-fidelity."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch_fidelity.metric_isc import isc_features_to_metric
from torch_fidelity.metric_kid import kid_features_to_metric

from rondel.errors import UsageError
from rondel_gan.metrics import kernel as kernel_file
from rondel_gan.metrics.inception_score import inception_score
from rondel_gan.metrics.kernel import kernel_distance, unbiased_discrepancy

DOUBLE = torch.float64


def features(rows: int, columns: int, *, seed: int, shift: float = 0.0) -> torch.Tensor:
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(rows, columns, generator=draw, dtype=DOUBLE) + shift


def torch_fidelitys(
    first: torch.Tensor, second: torch.Tensor, **settings: Any
) -> tuple[float, ...]:
    found = kid_features_to_metric(first, second, verbose=False, **settings)
    return found["kernel_inception_distance_mean"], found["kernel_inception_distance_std"]


@pytest.mark.parametrize(("rows", "columns"), [(20, 3), (200, 64)])
def test_a_subset_of_all_rows_has_torch_fidelitys_distance(rows: int, columns: int) -> None:
    first, second = features(rows, columns, seed=0), features(rows, columns, seed=1, shift=0.3)
    expected, _ = torch_fidelitys(first, second, kid_subsets=1, kid_subset_size=rows)
    found = kernel_distance(first, second, subsets=1, size=rows)
    assert found.mean == pytest.approx(expected, rel=1e-9)


def test_mean_and_deviation_are_torch_fidelitys_over_the_same_subsets(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    drawn: list[tuple[torch.Tensor, torch.Tensor]] = []

    def spy(first: torch.Tensor, second: torch.Tensor) -> float:
        drawn.append((first, second))
        return unbiased_discrepancy(first, second)

    monkeypatch.setattr(kernel_file, "unbiased_discrepancy", spy)
    real, fake = features(100, 8, seed=2), features(90, 8, seed=3, shift=0.2)
    found = kernel_distance(real, fake, subsets=7, size=30)
    each = [torch_fidelitys(*pair, kid_subsets=1, kid_subset_size=30)[0] for pair in drawn]
    assert len(each) == 7
    assert found.mean == pytest.approx(np.mean(each), rel=1e-9)
    assert found.deviation == pytest.approx(np.std(each), rel=1e-9)
    for first, second in drawn:
        assert_drawn_without_replacement(first, real)
        assert_drawn_without_replacement(second, fake)


def assert_drawn_without_replacement(subset: torch.Tensor, rows: torch.Tensor) -> None:
    source = torch.cdist(subset, rows, compute_mode="donot_use_mm_for_euclid_dist").min(dim=1)
    assert not source.values.any()
    assert len(set(source.indices.tolist())) == len(subset)


def test_it_is_unbiased_where_both_sets_are_alike() -> None:
    found = torch.tensor(
        [
            unbiased_discrepancy(features(10, 4, seed=seed), features(10, 4, seed=seed + 10_000))
            for seed in range(2000)
        ]
    )
    standard_error = float(found.std() / len(found) ** 0.5)
    assert abs(float(found.mean())) < 4 * standard_error
    # with the diagonal, which is far from 0 and positive, the mean would stand out
    assert standard_error < 0.1


def test_it_depends_on_the_seed_and_on_no_other_randomness() -> None:
    real, fake = features(100, 8, seed=4), features(100, 8, seed=5)
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = kernel_distance(real, fake, subsets=3, size=20, seed=1)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    assert kernel_distance(real, fake, subsets=3, size=20, seed=1) == first
    assert kernel_distance(real, fake, subsets=3, size=20, seed=2) != first


@pytest.mark.parametrize("size", [1, 21])
def test_subsets_that_cannot_be_drawn_are_refused(size: int) -> None:
    with pytest.raises(UsageError) as caught:
        kernel_distance(features(30, 2, seed=6), features(20, 2, seed=7), size=size)
    assert str(caught.value) == (
        f"subsets of {size} rows cannot be drawn from sets of 30 and 20. Take a size from 2 to 20."
    )


@pytest.mark.parametrize("splits", [1, 3, 10])
def test_the_inception_score_is_torch_fidelitys(splits: int) -> None:
    logits = 3 * features(101, 7, seed=8)
    expected = isc_features_to_metric(logits, splits, shuffle=False)
    found = inception_score(logits.softmax(dim=1), splits=splits)
    assert found.mean == pytest.approx(expected["inception_score_mean"], rel=1e-12)
    assert found.deviation == pytest.approx(expected["inception_score_std"], rel=1e-9, abs=1e-12)


def test_the_inception_score_goes_from_one_to_the_number_of_classes() -> None:
    sure = torch.eye(5, dtype=DOUBLE)
    assert inception_score(sure.repeat(4, 1), splits=2).mean == pytest.approx(5.0, rel=1e-12)
    assert inception_score(sure[:1].repeat(20, 1), splits=2).mean == pytest.approx(1.0, rel=1e-12)
    unsure = torch.full((20, 5), 0.2, dtype=DOUBLE)
    assert inception_score(unsure, splits=2).mean == pytest.approx(1.0, rel=1e-12)


@pytest.mark.parametrize("splits", [0, 5])
def test_more_splits_than_rows_are_refused(splits: int) -> None:
    with pytest.raises(UsageError) as caught:
        inception_score(torch.full((4, 2), 0.5), splits=splits)
    assert str(caught.value) == (
        f"4 rows cannot be cut into {splits} splits. Take from 1 to 4 splits."
    )
