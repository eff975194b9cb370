"""Images that show the same are found, and others are not."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_images

from rondel_detection.data.duplicates import (
    Look,
    identical_files,
    image_paths,
    joined,
    likeness,
    look_of,
    looks,
    near_pairs,
)
from rondel_detection.data.labels import LabelMap
from rondel_detection.data.table import Annotations, TableBuilder

PARTS = 150


@pytest.fixture(scope="module")
def parts() -> list[Image.Image]:
    """Square parts of two photographs, anywhere, of sides from 60 to 240 pixels."""
    photos = [Image.fromarray(picture) for picture in load_sample_images().images]
    random = np.random.default_rng(0)
    cut = []
    for number in range(PARTS):
        photo, side = photos[number % 2], int(random.integers(60, 240))
        x, y = (int(random.integers(0, length - side)) for length in photo.size)
        cut.append(photo.crop((x, y, x + side, y + side)))
    return cut


def compressed(picture: Image.Image) -> Image.Image:
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=30)
    return Image.open(stream)


def noisy(picture: Image.Image) -> Image.Image:
    values = np.asarray(picture) + np.random.default_rng(0).normal(0, 8, (*picture.size[::-1], 3))
    return Image.fromarray(values.clip(0, 255).astype(np.uint8))


def trimmed(share: float) -> Callable[[Image.Image], Image.Image]:
    return lambda p: p.crop((int(share * p.width), 0, p.width, int((1 - share) * p.height)))


def look(*pictures: Image.Image) -> Look:
    found = [look_of(picture) for picture in pictures]
    hashes = np.array([each or (0, 0) for each in found], dtype=np.uint64)
    return Look(hashes, np.array([each is not None for each in found]))


@pytest.mark.parametrize(
    ("change", "least", "most"),
    [
        (lambda p: p.resize((p.width // 2, p.height // 2)), 0.85, 1.0),
        (compressed, 0.8, 1.0),
        (noisy, 0.8, 1.0),
        (lambda p: p.point(lambda value: min(255, int(1.2 * value + 10))), 0.7, 1.0),
        (trimmed(0.02), 0.6, 1.0),
        (trimmed(0.1), 0.0, 0.05),
        (lambda p: p.transpose(Image.Transpose.FLIP_LEFT_RIGHT), 0.0, 0.02),
    ],
    ids=["half", "quality 30", "noise", "brighter", "trimmed 2 %", "trimmed 10 %", "flipped"],
)
def test_what_is_recognised_is_what_the_module_says(
    parts: list[Image.Image],
    change: Callable[[Image.Image], Image.Image],
    least: float,
    most: float,
) -> None:
    pairs = near_pairs(look(*parts, *(change(part) for part in parts)))
    with_a_look = look(*parts).known.sum()
    found = sum(second - first == PARTS for first, second in pairs.tolist())
    assert least <= found / with_a_look <= most


def test_different_places_are_seldom_called_alike(parts: list[Image.Image]) -> None:
    assert len(near_pairs(look(*parts))) <= 2  # of 11,175 pairs, some of which overlap


def test_near_pairs_are_those_that_counting_bits_finds() -> None:
    random = np.random.default_rng(0)
    hashes = random.integers(0, 2**64, (40, 2), dtype=np.uint64)
    for row in range(20):
        flips = sum(1 << int(bit) for bit in random.choice(64, row, replace=False))
        hashes[20 + row] = hashes[row] ^ np.array([flips, 0], dtype=np.uint64)
    known = random.random(40) < 0.9
    expected = {
        (one, other)
        for one in range(40)
        for other in range(one + 1, 40)
        if known[one]
        and known[other]
        and sum(bin(int(w)).count("1") for w in hashes[one] ^ hashes[other]) <= 10
    }
    assert set(map(tuple, near_pairs(Look(hashes, known)).tolist())) == expected
    assert len(expected) > 5


def test_many_pictures_are_compared_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    hashes = np.random.default_rng(0).integers(0, 2**64, (50, 2), dtype=np.uint64)
    hashes[49] = hashes[1]
    whole = near_pairs(Look(hashes, np.ones(50, dtype=bool)))
    monkeypatch.setattr("rondel_detection.data.duplicates._PAIRS_AT_ONCE", 120)
    assert near_pairs(Look(hashes, np.ones(50, dtype=bool))).tolist() == whole.tolist() == [[1, 49]]


def test_a_picture_without_contrast_has_no_look() -> None:
    assert look_of(Image.new("RGB", (64, 48), (30, 30, 30))) is None
    assert look_of(Image.new("RGB", (64, 48), (255, 255, 255))) is None


def test_files_with_the_same_bytes_are_grouped(tmp_path: Path) -> None:
    for name, content in (("a", b"one"), ("b", b"two"), ("c", b"one"), ("d", b"three"), ("e", b"")):
        (tmp_path / name).write_bytes(content)
    paths = [tmp_path / name for name in "abcde"]
    assert identical_files([*paths, None, tmp_path / "gone", tmp_path / "d"]) == [[0, 2], [3, 7]]


def test_sets_grow_together() -> None:
    pairs = np.array([[4, 2], [0, 4]])
    assert joined(7, pairs, [[1, 5, 6]]).tolist() == [0, 1, 0, 2, 0, 1, 1]
    assert joined(0, np.zeros((0, 2), dtype=np.int64)).tolist() == []


def folder(root: Path, parts: list[Image.Image], *names: str) -> Annotations:
    builder = TableBuilder(root, "coco")
    for number, name in enumerate(names):
        if name and not (root / name).exists():
            parts[number].save(root / name)
        builder.add_image(name)
    return builder.build(LabelMap(("cat",)))


def test_the_likeness_of_a_set(tmp_path: Path, parts: list[Image.Image]) -> None:
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    parts[0].resize((80, 80)).save(tmp_path / "small.png")
    names = ("a.png", "b.png", "copy.png", "./a.png", "small.png", "gone.png", "broken.png")
    parts[1].save(tmp_path / "copy.png")
    (tmp_path / "gone.png").write_bytes(b"")
    annotations = folder(tmp_path, parts, *names)
    (tmp_path / "gone.png").unlink()
    found = likeness(annotations, image_paths(annotations))
    assert found.twice == [[0, 3]]
    assert found.identical == [[1, 2]]
    assert found.near.tolist() == [[0, 4]]
    assert found.look is not None
    assert list(found.look.damaged) == [6]
    assert found.sets(7).tolist() == [0, 1, 1, 0, 0, 2, 3]
    undecoded = likeness(annotations, image_paths(annotations), decode=False)
    assert undecoded.look is None
    assert undecoded.sets(7).tolist() == [0, 1, 1, 0, 2, 3, 4]


def test_large_sets_are_not_decoded_without_being_asked(
    tmp_path: Path, parts: list[Image.Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    annotations = folder(tmp_path, parts, "a.png", "b.png")
    paths = image_paths(annotations)
    assert likeness(annotations, paths).look is not None
    for limit in ("BYTES", "FILES"):
        with monkeypatch.context() as patch:
            patch.setattr(f"rondel_detection.data.duplicates.AUTOMATIC_{limit}", 1)
            assert likeness(annotations, paths).look is None
    assert likeness(annotations, paths, decode=True).look is not None


def test_files_outside_of_the_folder_are_never_opened(tmp_path: Path) -> None:
    builder = TableBuilder(tmp_path / "images", "coco")
    (tmp_path / "secret.png").write_bytes(b"secret")
    builder.add_image("../secret.png")
    assert image_paths(builder.build(LabelMap(("cat",)))) == [None]


def test_a_picture_that_cannot_be_read_has_no_look(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"no picture")
    found = looks([tmp_path / "a.png", None])
    assert found.known.tolist() == [False, False]
    assert list(found.damaged) == [0]
