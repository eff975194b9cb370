"""Splits keep classes in proportion and equal images together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rondel.errors import DataError, UsageError
from rondel_detection.data.labels import LabelMap
from rondel_detection.data.split import split
from rondel_detection.data.stratification import FREE, Contents, stratify
from rondel_detection.data.table import Annotations, Status, TableBuilder

SHARES = {"train": 0.8, "val": 0.2}


def labelled(count: int = 300, classes: int = 10, seed: int = 0) -> Annotations:
    """Images with classes of very different frequency, some of them empty."""
    random = np.random.default_rng(seed)
    chance = 0.5 / np.arange(1, classes + 1) ** 1.3
    builder = TableBuilder(Path("nowhere"), "coco")
    for row in range(count):
        builder.add_image(f"{row}.jpg", width=64, height=48)
        for label in np.flatnonzero(random.random(classes) < chance).tolist():
            for _ in range(int(random.integers(1, 4))):
                builder.add_box(row, (1, 1, 9, 9), label)
    return builder.build(LabelMap(tuple(map(str, range(classes)))))


def shown(annotations: Annotations, name: str) -> np.ndarray:
    """Return how many images of a split show each class, and how many show nothing."""
    chosen = np.flatnonzero(annotations.images.split == name)
    seen = {
        (image, label)
        for image, label in zip(annotations.boxes.image, annotations.boxes.label, strict=True)
        if annotations.images.split[image] == name
    }
    counts = np.bincount([label for _, label in seen], minlength=len(annotations.labels))
    return np.append(counts, len(chosen) - len({image for image, _ in seen}))


@pytest.mark.parametrize("seed", range(3))
def test_every_class_is_in_proportion_even_the_rare_ones(seed: int) -> None:
    before = labelled(seed=seed)
    after = split(before, {"train": 0.7, "val": 0.2, "test": 0.1}, seed)
    total = shown(split(before, {"all": 1.0}, 0), "all")
    for name, share in (("train", 0.7), ("val", 0.2), ("test", 0.1)):
        off = np.abs(shown(after, name) - share * total)
        assert (off <= 1 + 0.02 * total).all(), (name, off, total)
        assert abs((after.images.split == name).sum() - 300 * share) <= 6


def test_a_random_split_would_not_pass() -> None:
    before = labelled()
    random = np.random.default_rng(0).random(300) < 0.2
    before.images.split[:] = np.where(random, "val", "train")
    total = shown(before, "val") + shown(before, "train")
    off = np.abs(shown(before, "val") - 0.2 * total)
    assert not (off <= 1 + 0.02 * total).all()


def test_a_split_is_a_function_of_its_seed() -> None:
    one, same, other = (split(labelled(), SHARES, seed).images.split for seed in (0, 0, 1))
    assert (one == same).all()
    assert (one != other).any()


def test_the_given_annotations_are_not_changed() -> None:
    before = labelled(20)
    split(before, SHARES, 0)
    assert set(before.images.split) == {""}


def test_equal_and_almost_equal_images_stay_together(tmp_path: Path) -> None:
    builder = TableBuilder(tmp_path, "coco")
    for row in range(24):
        noise = np.random.default_rng(row // 3).integers(0, 255, (6, 8, 3), dtype=np.uint8)
        picture = Image.fromarray(noise).resize((64, 48), Image.Resampling.BICUBIC)
        if row % 3 == 2:
            picture = picture.resize((40, 30)).resize((64, 48))
        picture.save(tmp_path / f"{row}.png")
        builder.add_image(f"{row}.png", width=64, height=48)
        builder.add_box(row, (1, 1, 9, 9), 0)
    annotations = builder.build(LabelMap(("cat",)))
    chosen = split(annotations, {"train": 0.5, "val": 0.5}, 0).images.split.reshape(-1, 3)
    assert (chosen == chosen[:, :1]).all()
    apart = split(annotations, {"train": 0.5, "val": 0.5}, 0, files=False).images.split
    assert not (apart.reshape(-1, 3) == apart.reshape(-1, 3)[:, :1]).all()


def test_groups_stay_together_and_balance_by_their_images() -> None:
    before = labelled(300)
    patients = [None if row % 7 == 0 else row // 10 for row in range(300)]
    after = split(before, SHARES, 0, groups=patients)
    for patient in range(30):
        rows = [row for row in range(300) if patients[row] == patient]
        assert len(set(after.images.split[rows])) == 1
    assert abs((after.images.split == "val").sum() - 60) <= 10


def test_existing_splits_are_kept_and_filled_up_around() -> None:
    before = labelled(100)
    before.images.split[:30] = "train"
    before.images.split[30:35] = "val"
    before.images.split[35:45] = "test"
    after = split(before, SHARES, 0)
    assert (after.images.split[:45] == before.images.split[:45]).all()
    # of the 90 that are no test images
    assert abs((after.images.split == "val").sum() - 18) <= 2
    again = split(before, SHARES, 0, keep=False)
    assert set(again.images.split) == {"train", "val"}


def test_a_new_image_follows_its_twin_into_the_split_that_it_has() -> None:
    before = labelled(50)
    before.images.split[7] = "val"
    before.images.file[9] = before.images.file[7]
    assert split(before, SHARES, 0).images.split[9] == "val"


def test_unlabelled_images_are_for_training_and_ignored_ones_for_nothing() -> None:
    before = labelled(60)
    before.images.status[:5] = Status.UNLABELLED
    before.images.status[5] = Status.IGNORED
    groups = [row if row > 1 else 59 for row in range(60)]
    before.images.split[59] = "val"
    after = split(before, SHARES, 0, groups=groups).images.split
    # the first two are of a scene that is evaluated on
    assert after[:6].tolist() == ["", "", "train", "train", "train", ""]
    assert (after[6:] != "").all()


def test_every_split_gets_an_image_where_there_are_few() -> None:
    after = split(labelled(3), {"train": 0.9, "val": 0.05, "test": 0.05}, 0)
    assert sorted(after.images.split) == ["test", "train", "val"]


def test_too_few_images_are_an_error() -> None:
    with pytest.raises(DataError, match=r"nowhere: no image is left for the split 'val': of 1 lab"):
        split(labelled(1), SHARES, 0)
    before = labelled(10)
    before.images.split[:] = "train"
    with pytest.raises(DataError, match=r"of 10 labelled images 0 have no split yet.*--reassign"):
        split(before, SHARES, 0)


@pytest.mark.parametrize(
    ("shares", "text"),
    [
        ({"train": 0.8, "val": 0.3}, r"the shares of the splits add up to 1\.1: train 0\.8 \+ val"),
        ({"train": 1.0, "val": 0.0}, r"the share of the split 'val' is 0\.0, but must be above 0"),
        ({"": 1.0}, "the share of the split '' is"),
        ({"train": float("nan")}, "the share of the split 'train' is nan"),
        ({}, "add up to 0: nothing"),
    ],
)
def test_shares_that_are_none_are_refused(shares: dict[str, float], text: str) -> None:
    with pytest.raises(UsageError, match=text):
        split(labelled(10), shares, 0)


def test_labels_with_one_group_go_to_the_largest_split() -> None:
    size = np.ones(10, dtype=np.int64)
    contents = Contents.of(size, np.arange(10), np.arange(10))
    given = stratify(contents, np.array([0.9, 0.1]), np.full(10, FREE), np.random.default_rng(0))
    assert np.bincount(given).tolist() == [9, 1]


def test_groups_without_examples_are_not_dealt_out() -> None:
    contents = Contents.of(np.array([1, 0, 1]), np.array([0, 2]), np.array([0, 0]))
    given = stratify(contents, np.array([0.5, 0.5]), np.full(3, FREE), np.random.default_rng(0))
    assert given[1] == FREE
    assert sorted(given[[0, 2]].tolist()) == [0, 1]


def test_what_is_equally_good_is_decided_by_the_seed() -> None:
    contents = Contents.of(np.array([1]), np.array([0]), np.array([0]))
    halves = np.array([0.5, 0.5])
    given = {
        int(stratify(contents, halves, np.array([FREE]), np.random.default_rng(seed))[0])
        for seed in range(10)
    }
    assert given == {0, 1}
