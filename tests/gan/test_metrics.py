"""The numbers against formulas that others wrote, or that are worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.neighbors import NearestNeighbors

from rondel_gan.metrics import covered, frechet_distance, precision_recall


def features(rows: int, columns: int, *, seed: int, shift: float = 0.0) -> torch.Tensor:
    draw = torch.Generator().manual_seed(seed)
    mixing = torch.randn(columns, columns, generator=draw, dtype=torch.float64)
    return torch.randn(rows, columns, generator=draw, dtype=torch.float64) @ mixing + shift


def frechet_by_matrix_root(first: np.ndarray, second: np.ndarray) -> float:
    """The textbook formula, with the root of the unsymmetric product as the usual packages have."""
    one, two = np.cov(first, rowvar=False), np.cov(second, rowvar=False)
    root_trace = np.sqrt(np.linalg.eigvals(one @ two).astype(complex)).real.sum()
    difference = first.mean(axis=0) - second.mean(axis=0)
    return float(difference @ difference + np.trace(one) + np.trace(two) - 2 * root_trace)


def test_frechet_equals_the_textbook_formula() -> None:
    first, second = features(300, 16, seed=0), features(250, 16, seed=1, shift=0.5)
    expected = frechet_by_matrix_root(first.numpy(), second.numpy())
    assert frechet_distance(first, second) == pytest.approx(expected, rel=1e-9)


def test_frechet_equals_scipys_matrix_root() -> None:
    linalg = pytest.importorskip("scipy.linalg")
    first, second = features(300, 16, seed=2), features(250, 16, seed=3)
    one, two = np.cov(first.numpy().T), np.cov(second.numpy().T)
    root = linalg.sqrtm(one @ two).real
    difference = (first.mean(0) - second.mean(0)).numpy()
    expected = difference @ difference + np.trace(one + two - 2 * root)
    assert frechet_distance(first, second) == pytest.approx(expected, rel=1e-8)


def test_frechet_of_two_normals_in_one_dimension_is_the_closed_form() -> None:
    first = torch.tensor([[-1.0], [1.0]], dtype=torch.float64)  # mean 0, deviation sqrt(2)
    second = torch.tensor([[1.0], [5.0]], dtype=torch.float64)  # mean 3, deviation sqrt(8)
    expected = 3.0**2 + (8**0.5 - 2**0.5) ** 2
    assert frechet_distance(first, second) == pytest.approx(expected, rel=1e-12)


def test_frechet_of_a_set_with_itself_is_zero_even_if_its_covariance_is_singular() -> None:
    few = features(10, 64, seed=4)
    assert frechet_distance(few, few) == pytest.approx(0.0, abs=1e-4 * few.var().item() * 64)


def test_frechet_of_singular_covariances_is_symmetric() -> None:
    few, many = features(20, 64, seed=5), features(500, 64, seed=6)
    assert frechet_distance(few, many) == pytest.approx(frechet_distance(many, few), rel=1e-6)


def test_precision_and_recall_equal_scikit_learns_neighbours() -> None:
    real, fake = features(80, 5, seed=7), features(80, 5, seed=8)

    def share_inside(members: np.ndarray, queries: np.ndarray) -> float:
        index = NearestNeighbors(n_neighbors=4).fit(members)  # 3, beside the member itself
        radius = index.kneighbors(members)[0][:, -1]
        distances = np.linalg.norm(queries[:, None] - members[None], axis=-1)
        return float((distances <= radius).any(axis=1).mean())

    precision, recall = precision_recall(real, fake, neighbours=3)
    assert precision == share_inside(real.numpy(), fake.numpy())
    assert recall == share_inside(fake.numpy(), real.numpy())


def test_a_collapsed_generator_has_precision_but_no_recall() -> None:
    real = features(200, 5, seed=9)
    fake = real[:1] + 1e-6 * features(200, 5, seed=10)
    precision, recall = precision_recall(real, fake, neighbours=3)
    assert precision > 0.9
    assert recall <= 0.01


def test_a_class_is_covered_by_a_tenth_of_its_share() -> None:
    predicted = torch.tensor([0] * 900 + [1] * 90 + [2] * 10)
    assert covered(predicted, 4) == 2  # a tenth of a fourth of 1,000 is 25
