"""Tiles cover a picture, and what they see is put together so that every object is there once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as some
from PIL import Image
from scipy import ndimage
from torch import Tensor
from torchvision.ops import box_iou

from rondel import Loss
from rondel.errors import UsageError
from rondel_detection.data.batch import Predictions, Targets
from rondel_detection.data.canvas import Canvas
from rondel_detection.data.labels import LabelMap
from rondel_detection.models.detector import Detector
from rondel_detection.prediction import Detections, Options, Predictor
from rondel_detection.tiling import Found, Tiling

LABELS = LabelMap(("red", "green", "blue"))
SIDE = 128
CANVAS = Canvas(height=SIDE, width=SIDE, longest=SIDE, enlarge=2.0, stride=32)
GREY = 90


class Blobs(Detector):
    """Finds every patch of pure red, green or blue exactly, as far as the canvas shows it."""

    def loss(self, images: Tensor, targets: Targets, seeds: Tensor) -> Loss:
        raise NotImplementedError

    def detect(self, images: Tensor, sizes: Tensor) -> Predictions:
        rows = []
        for number, image in enumerate(images.int()):
            for label in range(self.classes):
                others = [channel for channel in range(3) if channel != label]
                mask = (image[label] > 200) & (image[others] < 60).all(0)
                marked, _ = ndimage.label(mask.numpy())
                for y, x in ndimage.find_objects(marked):
                    rows.append((number, x.start, y.start, x.stop, y.stop, 0.9, label))
        found = torch.tensor(rows, dtype=torch.float32).reshape(-1, 7)
        columns = (found[:, 0].long(), found[:, 1:5], found[:, 5], found[:, 6].long())
        return Predictions(*columns)


def painted(
    height: int, width: int, sides: list[int], *, gap: int, seed: int
) -> tuple[Tensor, Tensor]:
    """Return a picture of separate patches, and rows (label, x1, y1, x2, y2)."""
    rng = np.random.default_rng(seed)
    picture = torch.full((3, height, width), GREY, dtype=torch.uint8)
    taken = np.zeros((height, width), dtype=bool)
    rows = []
    for number, side in enumerate(sides):
        for _ in range(500):
            w, h = (max(6, int(side * rng.uniform(0.6, 1))) for _ in range(2))
            x, y = int(rng.integers(0, width - w + 1)), int(rng.integers(0, height - h + 1))
            around = (slice(max(0, y - gap), y + h + gap), slice(max(0, x - gap), x + w + gap))
            if not taken[around].any():
                break
        else:
            continue
        taken[y : y + h, x : x + w] = True
        label = number % 3
        picture[:, y : y + h, x : x + w] = 0
        picture[label, y : y + h, x : x + w] = 255
        rows.append((label, x, y, x + w, y + h))
    return picture, torch.tensor(rows, dtype=torch.float64)


def found_in(picture: Tensor, **words: float) -> Detections:
    options = Options(tile=0, **words)  # type: ignore[arg-type]
    (found,) = Predictor(Blobs(3), LABELS, CANVAS).predict([picture], options)
    return found


def assert_each_once(found: Detections, expected: Tensor, *, iou: float) -> None:
    assert len(found) == len(expected)
    overlap = box_iou(torch.from_numpy(found.boxes), expected[:, 1:].double())
    best, which = overlap.max(dim=1)
    assert best.min() >= iou
    assert len(set(which.tolist())) == len(expected)
    assert torch.equal(torch.from_numpy(found.labels), expected[which, 0].long())


@pytest.mark.parametrize("seed", range(3))
def test_every_object_that_fits_into_the_overlap_is_found_exactly_and_once(seed: int) -> None:
    sides = np.random.default_rng(seed).integers(6, 50, 90).tolist()
    picture, expected = painted(700, 1000, sides, gap=18, seed=seed)
    found = found_in(picture, overlap=0.4)
    assert len(expected) > 40
    assert_each_once(found, expected, iou=0.999999)


@pytest.mark.parametrize("seed", range(3))
def test_objects_larger_than_a_tile_are_found_once_among_small_ones(seed: int) -> None:
    sides = [420, 330, 290, 200, *np.random.default_rng(seed).integers(6, 40, 30).tolist()]
    picture, expected = painted(1200, 1400, sides, gap=30, seed=seed)
    assert_each_once(found_in(picture, overlap=0.4), expected, iou=0.75)


@pytest.mark.parametrize("overlap", [0.2, 0.5])
def test_pieces_of_an_object_become_one_box_without_a_look_at_the_whole(overlap: float) -> None:
    picture, expected = painted(600, 800, [300, 260, 220, 90, 70], gap=20, seed=5)
    tiling = Tiling(SIDE, SIDE, overlap=overlap, whole=False)
    found = Predictor(Blobs(3), LABELS, CANVAS)._in_tiles(picture, tiling, batch_size=7)
    # the middle of a large patch is a tile of pure colour: a piece like all others
    overlaps = box_iou(torch.from_numpy(found.boxes), expected[:, 1:])
    assert len(found) == len(expected)
    assert overlaps.max(dim=0).values.min() > 0.999999


def test_without_tiles_small_objects_of_a_large_picture_are_lost() -> None:
    picture, expected = painted(700, 1000, [12] * 20, gap=20, seed=1)
    (whole,) = Predictor(Blobs(3), LABELS, CANVAS).predict([picture], Options())
    assert len(whole) < len(expected) == len(found_in(picture))


def test_touching_objects_of_different_classes_stay_apart_at_a_cut() -> None:
    picture = torch.full((3, SIDE, 300), GREY, dtype=torch.uint8)
    picture[:, 40:60, 60:160] = torch.tensor([255, 0, 0], dtype=torch.uint8)[:, None, None]
    picture[:, 60:80, 60:160] = torch.tensor([0, 255, 0], dtype=torch.uint8)[:, None, None]
    found = found_in(picture)
    assert_each_once(found, torch.tensor([[0, 60, 40, 160, 60.0], [1, 60, 60, 160, 80]]), iou=0.85)


def test_a_whole_object_stays_beside_the_larger_piece_that_it_touches() -> None:
    tiles = Tiling(100, 100, overlap=0.2, whole=False).tiles(100, 180)
    piece = Found(np.array([[20.0, 10, 100, 90]]), np.array([0.9]), np.array([0]))
    small = Found(np.array([[85.0, 40, 99.0, 54]]), np.array([0.8]), np.array([0]))
    other = Found(np.array([[85.0, 40, 99.0, 54]]), np.array([0.8]), np.array([0]))
    merged = Tiling(100, 100, whole=False).merge(
        tiles, [Found.joined([piece, small]), Found.joined([other])]
    )
    assert [20.0, 10.0, 100.0, 90.0] in merged.boxes.tolist()


def test_the_better_of_two_versions_of_an_object_stays() -> None:
    tiling = Tiling(100, 100, overlap=0.5, whole=False)
    tiles = tiling.tiles(100, 150)
    first = Found(np.array([[55.0, 20, 80, 50]]), np.array([0.6]), np.array([1]))
    second = Found(np.array([[56.0, 21, 81, 50]]), np.array([0.7]), np.array([1]))
    merged = tiling.merge(tiles, [first, second])
    assert merged.boxes.tolist() == [[56.0, 21.0, 81.0, 50.0]]
    assert merged.scores.tolist() == [0.7]


def one(x1: float, y1: float, x2: float, y2: float, score: float, label: int) -> Found:
    return Found(np.array([[x1, y1, x2, y2]], dtype=float), np.array([score]), np.array([label]))


def test_a_box_at_the_border_of_the_picture_is_no_piece() -> None:
    tiling = Tiling(100, 100, overlap=0.5, whole=False)
    tiles = tiling.tiles(150, 100)
    versions = [one(0, 55, 30, 80, 0.6, 0), one(0, 56, 33, 80, 0.7, 0)]
    assert tiling.merge(tiles, versions).boxes.tolist() == [[0.0, 56.0, 33.0, 80.0]]


def test_pieces_of_different_classes_stay_apart() -> None:
    tiling = Tiling(100, 100, overlap=0.2, whole=False)
    tiles = tiling.tiles(100, 180)
    pieces = [one(40, 20, 100, 60, 0.6, 0), one(80, 20, 140, 60, 0.7, 1)]
    merged = tiling.merge(tiles, pieces)
    assert merged.boxes.tolist() == [[80.0, 20.0, 140.0, 60.0], [40.0, 20.0, 100.0, 60.0]]
    assert merged.labels.tolist() == [1, 0]
    joined = tiling.merge(tiles, [pieces[0], one(80, 20, 140, 60, 0.7, 0)])
    assert joined.boxes.tolist() == [[40.0, 20.0, 140.0, 60.0]]
    assert joined.scores.tolist() == [0.7]


def test_a_piece_is_not_a_part_of_an_object_of_another_class() -> None:
    tiling = Tiling(100, 100, overlap=0.5, whole=False)
    tiles = tiling.tiles(100, 150)
    piece, whole = one(70, 20, 100, 60, 0.9, 0), one(65, 20, 120, 60, 0.8, 1)
    assert len(tiling.merge(tiles, [piece, whole])) == 2
    same = one(65, 20, 120, 60, 0.8, 0)
    assert tiling.merge(tiles, [piece, same]).boxes.tolist() == [[65.0, 20.0, 120.0, 60.0]]


def test_nothing_found_anywhere_is_nothing() -> None:
    assert len(found_in(torch.full((3, 500, 500), GREY, dtype=torch.uint8))) == 0


@settings(max_examples=200, deadline=None)
@given(
    height=some.integers(1, 3000),
    width=some.integers(1, 3000),
    side=some.integers(32, 700),
    overlap=some.floats(0, 0.9),
    share=some.floats(0.5, 1),
)
def test_tiles_cover_the_picture_overlap_and_are_alike(
    height: int, width: int, side: int, overlap: float, share: float
) -> None:
    tiling = Tiling(max(32, round(side * share)), side, overlap=overlap, whole=False)
    tiles = tiling.tiles(height, width)
    assert (tiles >= 0).all()
    assert (tiles[:, 2:] <= [width, height]).all()
    sizes = tiles[:, 2:] - tiles[:, :2]
    assert (sizes == [min(width, tiling.width), min(height, tiling.height)]).all()
    for axis, length in ((0, width), (1, height)):
        starts, end = np.unique(tiles[:, axis]), np.unique(tiles[:, axis + 2])
        assert starts[0] == 0
        assert end[-1] == length
        # rounding of two starts may take a pixel
        shared = end[:-1] - starts[1:]
        assert (shared >= np.floor(sizes[0, axis] * overlap) - 1).all()


def test_a_small_picture_is_one_tile_and_a_large_one_is_looked_at_as_a_whole_too() -> None:
    assert Tiling(64, 64).tiles(50, 60).tolist() == [[0, 0, 60, 50]]
    assert Tiling(64, 64).tiles(64, 100)[-1].tolist() == [0, 0, 100, 64]


def test_tiles_have_the_shape_of_the_canvas() -> None:
    canvas = Canvas(height=96, width=128, longest=128, enlarge=2.0, stride=32)
    tiling = Options(tile=640, overlap=0.3).tiling(canvas)
    assert tiling == Tiling(480, 640, overlap=0.3)
    assert Options(tile=0).tiling(canvas) == Tiling(96, 128)
    assert Options().tiling(canvas) is None


def test_senseless_tiles_are_refused() -> None:
    with pytest.raises(
        UsageError, match=r"a tile of 8 x 8 pixels is too small\. Its sides have at"
    ):
        Tiling(8, 8)
    with pytest.raises(UsageError, match=r"overlap is 0\.95\. Give a share from 0 to 0\.9"):
        Tiling(64, 64, overlap=0.95)


def test_a_picture_on_disk_is_cut_as_one_in_memory(tmp_path: Path) -> None:
    picture = painted(300, 400, [20] * 8, gap=5, seed=3)[0]
    Image.fromarray(picture.permute(1, 2, 0).numpy()).save(tmp_path / "a.png")
    options = Options(tile=0)
    (found,) = Predictor(Blobs(3), LABELS, CANVAS).predict([tmp_path / "a.png"], options)
    assert found.source == str(tmp_path / "a.png")
    assert found.size == (300, 400)
    np.testing.assert_array_equal(found.boxes, found_in(picture).boxes)
