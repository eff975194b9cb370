"""The embedded sets: the same everywhere, labelled exactly, training and validation apart."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from numpy.random import RandomState
from PIL import Image

from rondel.errors import UsageError
from rondel_detection.data.formats.format import read
from rondel_detection.data.table import Annotations
from rondel_detection.demo import CANVAS, EmbeddedSet, digits, embedded, sets, shapes, write_set
from rondel_detection.demo.shapes import Shape, draw_shape, draw_shapes, overlap

GOLDEN = {
    "digits": "af5520cf7055b2af",
    "shapes": "375d84a3c312a57b",
}
"""Of boxes in hundredths of a pixel, labels and images: as on every machine."""


@pytest.fixture(params=["digits", "shapes"])
def made(request: pytest.FixtureRequest) -> EmbeddedSet:
    return embedded(request.param)


def geometry(annotations: Annotations) -> str:
    boxes = annotations.boxes
    hundredths = np.rint(boxes.xyxy * 100).astype("<i8")
    columns = (boxes.image.astype("<i8")[:, None], boxes.label.astype("<i8")[:, None], hundredths)
    return hashlib.sha256(np.hstack(columns).tobytes()).hexdigest()[:16]


def test_the_labels_are_the_same_on_every_machine(made: EmbeddedSet) -> None:
    assert geometry(made.annotations) == GOLDEN[made.name]


def test_a_set_is_made_once_and_every_picture_is_a_function_of_its_seed(made: EmbeddedSet) -> None:
    assert embedded(made.name) is made
    recipe = sets.RECIPES[made.name]
    np.random.seed(3)
    for row in (5, 0):
        again = recipe.draw(recipe.splits[0][1][row], "train")
        assert np.array_equal(made.pictures[row].permute(1, 2, 0).numpy(), again.pixels)
        boxes = made.annotations.boxes
        assert boxes.xyxy[boxes.image == row].tolist() == [list(box) for box in again.boxes]


def test_images_and_pictures_are_in_the_same_order(made: EmbeddedSet) -> None:
    images = made.annotations.images
    counts = {split: len(seeds) for split, seeds in sets.RECIPES[made.name].splits}
    assert made.pictures.shape == (sum(counts.values()), 3, CANVAS, CANVAS)
    assert made.pictures.dtype.is_floating_point is False
    assert {split: int((images.split == split).sum()) for split in counts} == counts
    assert images.file[0] == f"{made.name}/train-0000.png"
    assert images.file[-1] == f"{made.name}/val-{counts['val'] - 1:04}.png"
    assert len(set(images.file)) == len(images)
    row = counts["train"] + 7
    recipe = sets.RECIPES[made.name]
    drawn = recipe.draw(recipe.splits[1][1][7], "val").pixels
    assert np.array_equal(made.pictures[row].permute(1, 2, 0).numpy(), drawn)


def test_no_picture_occurs_twice(made: EmbeddedSet) -> None:
    assert len({picture.numpy().tobytes() for picture in made.pictures}) == len(made.pictures)


def test_every_picture_has_objects_and_every_class_many(made: EmbeddedSet) -> None:
    boxes = made.annotations.boxes
    counts = np.bincount(boxes.image, minlength=len(made.pictures))
    assert counts.min() >= 1
    assert counts.max() == {"digits": digits.MOST, "shapes": shapes.MOST}[made.name]
    validated = made.annotations.images.split[boxes.image] == "val"
    of_class = np.bincount(boxes.label[validated], minlength=len(made.annotations.labels))
    assert of_class.min() >= 30


def test_boxes_are_inside_and_hardly_overlap(made: EmbeddedSet) -> None:
    boxes = made.annotations.boxes.xyxy
    assert boxes.min() >= 0
    assert boxes.max() <= CANVAS
    assert (boxes[:, 2:] > boxes[:, :2]).all()
    limit = {"digits": digits.OVERLAP * 4, "shapes": shapes.OVERLAP}[made.name]
    for rows in made.annotations.boxes_of()[:100]:
        for one, other in zip(*np.triu_indices(len(rows), 1), strict=True):
            first, second = tuple(boxes[rows[one]]), tuple(boxes[rows[other]])
            assert overlap(first, second) <= limit + 1e-9


# shapes


@pytest.mark.parametrize("label", range(3))
def test_the_box_of_a_shape_is_that_of_its_pixels(label: int) -> None:
    for seed in range(12):
        random = RandomState(seed)
        where = tuple(random.uniform(40, 88, size=2))
        shape = Shape(label, where, random.uniform(10, 35), random.uniform(0, 7))  # type: ignore[arg-type]
        image = Image.new("RGB", (256, 256), (255, 0, 255))
        draw_shape(image, shape, random)
        drawn = (np.asarray(image) != (255, 0, 255)).any(-1)
        rows, columns = np.flatnonzero(drawn.any(1)), np.flatnonzero(drawn.any(0))
        pixels = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
        # pictures are drawn twice as large, and a corner may miss the middle of its pixel
        assert np.allclose(np.array(shape.box()) * 2, pixels, atol=1.5), (seed, shape)


def test_shapes_can_be_drawn_on_other_canvases_and_in_other_sizes() -> None:
    picture = draw_shapes(3, side=256, sizes=(100.0, 120.0))
    assert picture.pixels.shape == (256, 256, 3)
    sides = [max(box[2] - box[0], box[3] - box[1]) for box in picture.boxes]
    assert min(sides) >= 86  # the height of a triangle
    assert max(sides) <= 120 * 2**0.5 + 0.01


# digits


def test_training_and_validation_share_no_digit_and_no_piece_of_a_photograph(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Pictures are made of numbered digits and of photographs whose pixels say their column."""
    used: dict[str, set[int]] = {"train": set(), "val": set()}
    columns: dict[str, set[int]] = {"train": set(), "val": set()}
    numbered = np.arange(1797)[:, None, None] + np.zeros((8, 8))
    monkeypatch.setattr(digits, "read_digits", lambda: (numbered, np.zeros(1797, dtype=np.int64)))
    photo = np.zeros((427, 640, 3), dtype=np.uint8)
    photo[..., 0], photo[..., 1] = np.arange(640) // 256, np.arange(640) % 256
    monkeypatch.setattr(digits, "read_photos", lambda: (photo, photo))
    monkeypatch.setattr(digits, "ink_box", lambda digit, place: place)
    for split in ("train", "val"):
        monkeypatch.setattr(
            digits, "paste", lambda _c, digit, _p, _r, s=split: used[s].add(int(digit[0, 0]))
        )
        for seed in range(200):
            digits.draw_digits(seed, split)
        high, low = digits.photo_half(photo, split)[0, :, :2].astype(int).T
        columns[split] |= set((high * 256 + low).tolist())
    assert len(used["train"]) > 200
    assert len(used["val"]) > 100
    assert not used["train"] & used["val"]
    assert not columns["train"] & columns["val"]


def test_the_box_of_a_digit_holds_its_ink() -> None:
    digit = np.zeros((8, 8))
    digit[1:7, 3:5] = 1.0
    digit[0, 0] = 3 / 16  # too faint to count
    assert digits.ink_box(digit, (10, 20, 26, 52)) == (16.0, 24.0, 20.0, 48.0)


def test_the_ink_stands_out_from_what_is_below_it() -> None:
    for seed in range(200):
        random = RandomState(seed)
        below = random.uniform(0, 256)
        assert abs(digits.random_ink(random, below).mean() - below) > digits.CONTRAST * 0.6


# names and files


def test_an_unknown_set_is_answered_with_the_nearest_name() -> None:
    with pytest.raises(UsageError) as error:
        embedded("digit")
    assert "there is no embedded set 'digit'" in str(error.value)
    assert "Did you mean 'digits'?" in str(error.value)
    with pytest.raises(UsageError, match="Known are digits, shapes"):
        embedded("xyz")


@pytest.mark.parametrize("format_name", ["coco", "yolo", "labelme"])
def test_a_set_written_to_a_folder_is_read_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format_name: str
) -> None:
    splits = (("train", range(5)), ("val", range(5, 8)))
    small = sets.Recipe(shapes.CLASSES, lambda seed, _: draw_shapes(seed), splits)
    monkeypatch.setattr(sets, "embedded", lambda name: sets.make_set(name, small))
    written = write_set("tiny", tmp_path, format_name)
    back = read(tmp_path)
    assert back.format == format_name
    assert sorted(back.labels.names) == sorted(shapes.CLASSES)
    assert len(back.images) == 8
    assert len(back.boxes) == len(written.boxes)
    with Image.open(tmp_path / written.images.file[0]) as image:
        assert np.array_equal(np.asarray(image), draw_shapes(0).pixels)


def test_an_unknown_format_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no label format 'cocoa'"):
        write_set("shapes", tmp_path, "cocoa")
    assert not list(tmp_path.iterdir())
