"""Neighbours against prdc and scikit-learn; memorisation and diversity against SciPy."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.spatial.distance
import torch
from prdc import compute_prdc
from sklearn.neighbors import NearestNeighbors

from rondel.errors import DataError, UsageError
from rondel_gan.metrics import distances, precision_recall
from rondel_gan.metrics.distances import distance_blocks, mean_distance, nearest
from rondel_gan.metrics.diversity import diversity
from rondel_gan.metrics.memorisation import TrainingSet
from rondel_gan.metrics.neighbours import Manifold, neighbourhood

DOUBLE = torch.float64


def features(rows: int, columns: int, *, seed: int, shift: float = 0.0) -> torch.Tensor:
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(rows, columns, generator=draw, dtype=DOUBLE) + shift


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a block hold hardly more than one row."""
    monkeypatch.setattr(distances, "ENTRIES", 130)


@pytest.mark.parametrize("neighbours", [1, 3, 5])
@pytest.mark.parametrize(("real", "fake"), [(120, 120), (150, 60), (60, 150)])
def test_all_four_numbers_are_prdcs(real: int, fake: int, neighbours: int) -> None:
    sets = features(real, 5, seed=real), features(fake, 5, seed=fake + 1, shift=0.3)
    expected = compute_prdc(*(rows.numpy() for rows in sets), nearest_k=neighbours)
    found = neighbourhood(*(Manifold.of(rows, neighbours) for rows in sets))
    assert vars(found) == pytest.approx(expected, rel=1e-12)


@pytest.mark.usefixtures("small_blocks")
def test_all_four_numbers_are_prdcs_in_small_blocks() -> None:
    sets = features(70, 5, seed=0), features(60, 5, seed=1)
    expected = compute_prdc(*(rows.numpy() for rows in sets), nearest_k=3)
    found = neighbourhood(*(Manifold.of(rows, 3) for rows in sets))
    assert vars(found) == pytest.approx(expected, rel=1e-12)


def test_precision_and_recall_equal_scikit_learns_neighbours() -> None:
    real, fake = features(80, 5, seed=7), features(80, 5, seed=8)

    def share_inside(members: np.ndarray, queries: np.ndarray) -> float:
        index = NearestNeighbors(n_neighbors=4).fit(members)  # 3, beside the member itself
        radius = index.kneighbors(members)[0][:, -1]
        apart = np.linalg.norm(queries[:, None] - members[None], axis=-1)
        return float((apart <= radius).any(axis=1).mean())

    precision, recall = precision_recall(real, fake, neighbours=3)
    assert precision == share_inside(real.numpy(), fake.numpy())
    assert recall == share_inside(fake.numpy(), real.numpy())


def test_a_collapsed_generator_has_precision_but_neither_recall_nor_coverage() -> None:
    real = features(200, 5, seed=9)
    fake = real[:1] + 1e-6 * features(200, 5, seed=10)
    found = neighbourhood(Manifold.of(real, 3), Manifold.of(fake, 3))
    assert found.precision > 0.9
    assert found.recall <= 0.01
    assert found.coverage < 0.1


def test_a_set_that_is_sorted_by_class_is_cut_evenly() -> None:
    clusters = [features(100, 2, seed=number, shift=100.0 * number) for number in range(4)]
    real = torch.cat(clusters)
    fake = torch.cat([rows[50:] for rows in clusters])[:200]
    precision, recall = precision_recall(real, fake, neighbours=3)
    assert precision > 0.6  # the first 200 real rows have two of four clusters, and at most half
    assert recall > 0.6


def test_rows_without_enough_neighbours_are_refused() -> None:
    with pytest.raises(UsageError) as caught:
        precision_recall(features(3, 2, seed=0), features(9, 2, seed=1), neighbours=3)
    assert str(caught.value) == (
        "3 rows have no neighbour number 3. Give more images, or take fewer neighbours."
    )


def test_a_block_never_has_more_than_its_entries() -> None:
    first, second = features(10_000, 1, seed=2), features(10_000, 1, seed=3)
    blocks = distance_blocks(first, second)
    assert all(block.numel() <= distances.ENTRIES for _, block in blocks)
    assert 8 * distances.ENTRIES <= 2**25  # bytes


@pytest.mark.usefixtures("small_blocks")
def test_blocks_together_are_all_distances() -> None:
    first, second = features(31, 4, seed=4), features(50, 4, seed=5)
    blocks = list(distance_blocks(first, second))
    assert len(blocks) > 10
    found = torch.cat([block for _, block in blocks])
    expected = scipy.spatial.distance.cdist(first.numpy(), second.numpy())
    torch.testing.assert_close(found, torch.from_numpy(expected), rtol=1e-12, atol=1e-12)
    assert torch.equal(torch.cat([first[rows] for rows, _ in blocks]), first)


@pytest.mark.usefixtures("small_blocks")
def test_the_nearest_are_scikit_learns() -> None:
    queries, references = features(40, 4, seed=6), features(60, 4, seed=7)
    index = NearestNeighbors(n_neighbors=1).fit(references.numpy())
    apart, indices = index.kneighbors(queries.numpy())
    found = nearest(queries, references)
    torch.testing.assert_close(found[0], torch.from_numpy(apart[:, 0]), rtol=1e-9, atol=1e-9)
    assert found[1].tolist() == indices[:, 0].tolist()


@pytest.mark.usefixtures("small_blocks")
def test_the_mean_distance_is_scipys() -> None:
    rows = features(40, 4, seed=8)
    expected = scipy.spatial.distance.pdist(rows.numpy()).mean()
    assert mean_distance(rows) == pytest.approx(expected, rel=1e-7)


def test_diversity_is_the_ratio_of_mean_distances() -> None:
    real, fake = features(50, 3, seed=9), 0.25 * features(70, 3, seed=10)
    apart = [scipy.spatial.distance.pdist(rows.numpy()).mean() for rows in (real, fake)]
    assert diversity(real, fake) == pytest.approx(apart[1] / apart[0], rel=1e-6)
    assert diversity(real, real) == 1.0
    assert diversity(real, real[:1].expand(20, -1)) == pytest.approx(0.0, abs=1e-6)


def test_real_images_that_are_all_the_same_are_refused() -> None:
    with pytest.raises(DataError) as caught:
        diversity(torch.ones(5, 3), features(5, 3, seed=0))
    assert str(caught.value) == (
        "all 5 real images have the same features. Give images that differ."
    )


def test_copies_of_training_images_have_no_novelty_and_name_their_sources() -> None:
    train, held_out = features(100, 6, seed=11), features(50, 6, seed=12)
    sources = torch.tensor([3, 99, 3, 0, 42])
    found = TrainingSet(train, held_out).memorisation(train[sources] + 1e-9)
    assert found.novelty == pytest.approx(0.0, abs=1e-6)
    assert found.nearest.tolist() == sources.tolist()
    assert found.distances.max() < 1e-6


def test_fresh_samples_are_as_new_as_held_out_images() -> None:
    train, held_out = features(300, 6, seed=13), features(400, 6, seed=14)
    training = TrainingSet(train, held_out)
    assert training.memorisation(held_out).novelty == 1.0
    fresh = training.memorisation(features(400, 6, seed=15)).novelty
    assert fresh == pytest.approx(1.0, abs=0.1)


def test_novelty_is_a_ratio_of_medians() -> None:
    train = torch.tensor([[0.0], [100.0]])
    held_out = torch.tensor([[1.0], [102.0], [97.0]])  # 1, 2, 3 away
    samples = torch.tensor([[0.0], [1.0], [-50.0]])  # 0, 1, 50 away
    found = TrainingSet(train, held_out).memorisation(samples)
    assert found.novelty == pytest.approx(0.5, rel=1e-12)


def test_there_is_no_novelty_if_held_out_images_are_in_the_training_set() -> None:
    train = features(60, 64, seed=16, shift=100.3)
    training = TrainingSet(train, train[:40] + 1e-6)
    assert training.usual_distance > 0  # rounding, that must not be taken for a distance
    found = training.memorisation(features(5, 64, seed=17))
    assert found.novelty is None
    assert len(found.nearest) == 5
