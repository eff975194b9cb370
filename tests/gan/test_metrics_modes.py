"""Modes of classes and mixtures, counted by hand."""

from __future__ import annotations

import math

import pytest
import scipy.stats
import torch

from rondel.errors import UsageError
from rondel_gan.metrics import ModeQuality, covered
from rondel_gan.metrics.modes import modes_of

SQUARE = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0], [10.0, 10.0]])


def at(*counts: int, offset: tuple[float, float] = (0.0, 0.0)) -> torch.Tensor:
    """So many points beside each centre of the square."""
    return SQUARE.repeat_interleave(torch.tensor(counts), dim=0) + torch.tensor(offset)


def test_a_class_is_covered_by_a_tenth_of_its_share() -> None:
    predicted = torch.tensor([0] * 951 + [1] * 25 + [2] * 24)
    assert covered(predicted, 4) == 2  # a tenth of a fourth of 1,000 is 25


def test_a_mode_is_covered_by_a_tenth_of_its_share() -> None:
    assert modes_of(at(950, 25, 25, 0), SQUARE, 1.0).covered == 3  # a tenth of a fourth is 25
    assert modes_of(at(951, 25, 24, 0), SQUARE, 1.0).covered == 2


def test_the_share_is_one_of_all_points_and_not_of_the_good_ones() -> None:
    points = torch.cat([at(24, 26, 0, 0), torch.full((950, 2), 5.0)])
    found = modes_of(points, SQUARE, 1.0)
    assert found.covered == 1
    assert found.high_quality == 0.05


def test_three_deviations_are_a_circle_and_belong_to_it() -> None:
    assert modes_of(at(5, 5, 5, 5, offset=(3.0, 0.0)), SQUARE, 1.0).high_quality == 1.0
    assert modes_of(at(5, 5, 5, 5, offset=(3.001, 0.0)), SQUARE, 1.0).high_quality == 0.0
    assert modes_of(at(5, 5, 5, 5, offset=(2.5, 2.5)), SQUARE, 1.0).high_quality == 0.0


def test_a_point_within_reach_of_several_centres_belongs_to_the_nearest() -> None:
    found = modes_of(at(50, 50, 50, 50, offset=(0.1, 0.1)), SQUARE, 5.0)
    assert found.covered == 4
    assert found.divergence == pytest.approx(0.0, abs=1e-12)


def test_the_divergence_is_scipys_and_leaves_out_bad_points() -> None:
    points = torch.cat([at(40, 30, 20, 10), torch.full((77, 2), 5.0)])
    expected = scipy.stats.entropy([0.4, 0.3, 0.2, 0.1], [0.25] * 4)
    assert modes_of(points, SQUARE, 1.0).divergence == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("points", [at(9, 0, 0, 0), torch.full((9, 2), 5.0)])
def test_a_single_mode_and_none_at_all_diverge_most(points: torch.Tensor) -> None:
    assert modes_of(points, SQUARE, 1.0).divergence == pytest.approx(math.log(4), rel=1e-12)


def test_the_mixture_itself_is_nearly_perfect() -> None:
    draw = torch.Generator().manual_seed(0)
    points = at(500, 500, 500, 500) + 0.5 * torch.randn(2000, 2, generator=draw)
    quality = ModeQuality(SQUARE, 0.5)
    values = quality.measure(points)
    assert values["modes"] == 4.0
    # within 3 deviations of a Gaussian in the plane: 1 - exp(-9 / 2)
    assert values["high_quality"] == pytest.approx(1 - math.exp(-4.5), abs=0.006)
    assert values["divergence"] < 0.001
    assert quality.protocol(2000) == (
        "modes[4 Gaussians,3 deviations,n=2000]: a mode counts with a tenth of its fair share of "
        "the points within 3 x 0.5"
    )


def test_points_of_another_dimension_are_refused() -> None:
    with pytest.raises(UsageError, match="sets of 3 and of 2 features cannot be compared"):
        ModeQuality(SQUARE, 0.5).measure(torch.zeros(5, 3))
