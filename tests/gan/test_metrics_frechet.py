"""The Frechet distance against torch-fidelity, SciPy, and closed forms."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import scipy.linalg
import torch
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

from rondel.errors import UsageError
from rondel_gan.metrics import frechet_distance
from rondel_gan.metrics.frechet import FrechetReference, Moments, bias_remark

DOUBLE = torch.float64


def features(rows: int, columns: int, *, seed: int, shift: float = 0.0) -> torch.Tensor:
    draw = torch.Generator().manual_seed(seed)
    mixing = torch.randn(columns, columns, generator=draw, dtype=DOUBLE)
    return torch.randn(rows, columns, generator=draw, dtype=DOUBLE) @ mixing + shift


def like_inception(rows: int, columns: int, *, seed: int) -> torch.Tensor:
    """Features with the long tail of small variances that those of Inception have."""
    draw = torch.Generator().manual_seed(seed)
    deviation = torch.arange(1, columns + 1, dtype=DOUBLE) ** -0.5
    plain = torch.randn(rows, columns, generator=draw, dtype=DOUBLE) * deviation
    basis = torch.linalg.qr(torch.randn(columns, columns, generator=draw, dtype=DOUBLE))[0]
    mixed: torch.Tensor = plain @ basis + 0.01 * seed
    return mixed


def torch_fidelitys(first: torch.Tensor, second: torch.Tensor) -> float:
    one, two = fid_features_to_statistics(first), fid_features_to_statistics(second)
    return float(fid_statistics_to_metric(one, two, False)["frechet_inception_distance"])


def of_spectrum(deviations: torch.Tensor, *, rows: int, seed: int) -> torch.Tensor:
    """Rows of mean 0 whose covariance has exactly these deviations along the first axes."""
    draw = torch.Generator().manual_seed(seed)
    random = torch.randn(rows, len(deviations), generator=draw, dtype=DOUBLE)
    ones = torch.ones(rows, 1, dtype=DOUBLE)
    basis = torch.linalg.qr(torch.cat([ones, random], dim=1))[0][:, 1:]  # orthogonal to the mean
    scaled: torch.Tensor = basis * deviations * (rows - 1) ** 0.5
    return scaled


def test_it_equals_torch_fidelitys_at_the_width_of_inception() -> None:
    first, second = like_inception(2600, 2048, seed=0), like_inception(2500, 2048, seed=1)
    expected = torch_fidelitys(first, second)
    assert frechet_distance(first, second) == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize("columns", [1, 2, 16, 64])
def test_it_equals_torch_fidelitys_at_other_widths(columns: int) -> None:
    first, second = features(300, columns + 1, seed=0), features(250, columns + 1, seed=1)
    expected = torch_fidelitys(first, second)
    assert frechet_distance(first, second) == pytest.approx(expected, rel=1e-9)


def test_it_equals_scipys_matrix_root() -> None:
    first, second = features(300, 16, seed=2), features(250, 16, seed=3, shift=0.5)
    one, two = np.cov(first.numpy().T), np.cov(second.numpy().T)
    difference = (first.mean(0) - second.mean(0)).numpy()
    root = scipy.linalg.sqrtm(one @ two).real
    expected = difference @ difference + np.trace(one + two - 2 * root)
    assert frechet_distance(first, second) == pytest.approx(expected, rel=1e-8)


def test_of_two_normals_in_one_dimension_it_is_the_closed_form() -> None:
    first = torch.tensor([[-1.0], [1.0]], dtype=DOUBLE)  # mean 0, deviation sqrt(2)
    second = torch.tensor([[1.0], [5.0]], dtype=DOUBLE)  # mean 3, deviation sqrt(8)
    expected = 3.0**2 + (8**0.5 - 2**0.5) ** 2
    assert frechet_distance(first, second) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("rows", "others"), [(20, 20), (20, 500), (500, 20)])
def test_of_few_rows_it_is_the_closed_form(rows: int, others: int) -> None:
    one = torch.linspace(0.5, 2.0, 10, dtype=DOUBLE)
    two = torch.linspace(3.0, 1.0, 10, dtype=DOUBLE)
    first, second = of_spectrum(one, rows=rows, seed=4), of_spectrum(two, rows=others, seed=5)
    wide = torch.nn.functional.pad(first, (0, 90)), torch.nn.functional.pad(second, (0, 90))
    expected = (one - two).square().sum().item()
    assert frechet_distance(*wide) == pytest.approx(expected, rel=1e-12)


def test_of_few_rows_it_is_symmetric_and_near_torch_fidelitys() -> None:
    few, many = features(20, 64, seed=5), features(500, 64, seed=6)
    assert frechet_distance(few, many) == pytest.approx(frechet_distance(many, few), rel=1e-12)
    assert frechet_distance(few, many) == pytest.approx(torch_fidelitys(few, many), rel=1e-4)


def test_a_dead_feature_changes_nothing() -> None:
    first, second = features(300, 16, seed=7), features(250, 16, seed=8)
    dead = torch.zeros(300, 1, dtype=DOUBLE), torch.zeros(250, 1, dtype=DOUBLE)
    wider = (
        torch.cat([zeros, rows], dim=1) for rows, zeros in zip((first, second), dead, strict=True)
    )
    expected = frechet_distance(first, second)
    assert frechet_distance(*wider) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("rows", [10, 500])
def test_of_a_set_with_itself_it_is_zero(rows: int) -> None:
    same = features(rows, 64, seed=9)
    size = float(same.square().sum(dim=1).mean())
    assert frechet_distance(same, same) == pytest.approx(0.0, abs=1e-9 * size)


@pytest.mark.parametrize("rows", [10, 300])
def test_single_precision_is_widened_before_anything_is_summed(rows: int) -> None:
    first, second = (features(rows, 16, seed=seed).float() for seed in (10, 11))
    assert frechet_distance(first, second) == frechet_distance(first.double(), second.double())


def test_a_reference_gives_the_same_numbers_again_and_again() -> None:
    real = features(300, 16, seed=12)
    reference = FrechetReference(real)
    for seed in (13, 14):
        samples = features(100, 16, seed=seed)
        assert reference.distance(samples) == frechet_distance(real, samples)


def test_moments_of_pieces_and_of_merged_halves_are_those_of_the_whole() -> None:
    rows = features(1000, 8, seed=15)
    pieces, half = Moments(8), Moments(8)
    for piece in torch.split(rows[:600], 128):
        pieces.update(piece)
    half.update(rows[600:])
    half.update(rows[:0])
    pieces.merge(half)
    pieces.merge(Moments(8))
    assert pieces.count == 1000
    torch.testing.assert_close(pieces.mean, rows.mean(dim=0), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(pieces.covariance, torch.cov(rows.T), rtol=1e-12, atol=1e-12)


def test_moments_survive_a_mean_much_larger_than_the_deviation() -> None:
    rows = features(1000, 4, seed=16)
    far = Moments(4)
    for piece in torch.split(rows + 1e7, 100):
        far.update(piece)
    # raw sums of squares would be off by a hundredth
    torch.testing.assert_close(far.covariance, torch.cov(rows.T), rtol=1e-7, atol=1e-7)


def test_few_rows_come_with_a_remark_on_the_bias() -> None:
    assert bias_remark(2049, 2048) == ""
    assert bias_remark(500, 2048) == (
        "the Frechet distance of 500 rows of 2048 features is biased, it comes out too high: "
        "go by kid, which is not"
    )


def test_the_bias_of_few_rows_is_upwards_as_the_remark_says() -> None:
    enough = [frechet_distance(*torch.randn(2, 400, 32, dtype=DOUBLE)) for _ in range(5)]
    few = [frechet_distance(*torch.randn(2, 20, 32, dtype=DOUBLE)) for _ in range(5)]
    assert min(few) > 5 * max(enough)


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        (
            torch.zeros(4, 2),
            torch.zeros(4, 3),
            "sets of 2 and of 3 features cannot be compared. Take both from the same extractor.",
        ),
        (
            torch.zeros(4, 2),
            torch.zeros(1, 2),
            "1 rows of features are too few. Give at least 2.",
        ),
        (
            torch.zeros(4, 2, 2),
            torch.zeros(4, 2),
            "features of shape (4, 2, 2) are no rows. Give (N, F).",
        ),
        (
            torch.zeros(3, 2),
            torch.tensor([[0.0, 1.0], [float("nan"), 1.0], [float("inf"), 1.0]]),
            (
                "2 rows of features are not finite, the first is row 1. "
                "Look at the samples: the generator or the extractor has diverged."
            ),
        ),
    ],
)
def test_features_that_cannot_be_compared_are_refused(
    first: torch.Tensor, second: torch.Tensor, message: str
) -> None:
    with pytest.raises(UsageError) as caught:
        frechet_distance(first, second)
    assert str(caught.value) == message


def test_it_needs_no_scipy() -> None:
    code = (
        "import sys; sys.modules['scipy'] = None\n"
        "import torch; from rondel_gan.metrics import frechet_distance\n"
        "for rows in (5, 50): print(frechet_distance(*torch.randn(2, rows, 10)) > 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "True"]
