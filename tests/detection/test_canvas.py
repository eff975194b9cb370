"""The canvas of a set of pictures."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from rondel.errors import DataError
from rondel_detection.data.canvas import Canvas, resize, restore


def fit(*sizes: tuple[int, int], stride: int = 32, image_size: int | None = None) -> Canvas:
    """Fit a canvas to sizes given as width and height."""
    flipped = np.array([(height, width) for width, height in sizes], dtype=np.int64)
    return Canvas.fit(flipped.reshape(-1, 2), stride=stride, image_size=image_size)


def shape(canvas: Canvas) -> tuple[int, int]:
    return canvas.width, canvas.height


def test_photos_of_four_to_three_get_a_canvas_of_four_to_three() -> None:
    assert shape(fit(*[(4000, 3000)] * 10)) == (640, 480)
    assert shape(fit(*[(3000, 4000)] * 10)) == (480, 640)


def test_small_pictures_keep_their_size() -> None:
    canvas = fit(*[(128, 128)] * 10)
    assert shape(canvas) == (128, 128)
    assert canvas.scaled(128, 128) == (128, 128)


def test_the_default_is_the_nearest_multiple_of_the_stride() -> None:
    assert shape(fit((100, 100))) == (96, 96)
    assert shape(fit((120, 120))) == (128, 128)
    assert shape(fit((5, 5))) == (32, 32)


def test_mixed_orientation_gets_a_square() -> None:
    assert shape(fit(*[(640, 480), (480, 640)] * 20)) == (640, 640)


def test_one_odd_picture_of_forty_does_not_enlarge_the_canvas_and_still_fits() -> None:
    canvas = fit(*[(640, 480)] * 39, (480, 640))
    assert shape(canvas) == (640, 480)
    assert canvas.scaled(640, 480) == (480, 360)


def test_a_few_huge_pictures_do_not_enlarge_a_set() -> None:
    assert shape(fit(*[(128, 96)] * 95, *[(512, 384)] * 5)) == (128, 96)


def test_the_asked_size_is_kept_and_the_sides_are_rounded_up() -> None:
    canvas = fit((640, 480), image_size=500)
    assert shape(canvas) == (512, 384)
    assert canvas.scaled(480, 640) == (375, 500)


def test_small_pictures_are_enlarged_when_that_is_asked_for() -> None:
    canvas = fit(*[(128, 128)] * 10, image_size=640)
    assert shape(canvas) == (640, 640)
    assert canvas.scaled(128, 128) == (640, 640)


def test_an_icon_among_photos_is_enlarged_twice_at_most() -> None:
    canvas = fit(*[(4000, 3000)] * 30, (40, 30))
    assert canvas.scaled(30, 40) == (60, 80)
    # and a picture that fits as it is, is not scaled down because the others are
    assert canvas.scaled(480, 640) == (480, 640)


def test_unknown_sizes_do_not_count() -> None:
    assert shape(fit((0, 0), (0, 0), (128, 96))) == (128, 96)


def test_a_set_without_any_size_is_refused() -> None:
    with pytest.raises(DataError, match="the size of no image is known"):
        fit((0, 0))


sides = st.integers(1, 5000)


@settings(max_examples=150, deadline=None)
@given(
    sizes=st.lists(st.tuples(sides, sides), min_size=1, max_size=20),
    other=st.tuples(sides, sides),
    stride=st.sampled_from([8, 32]),
    image_size=st.none() | st.integers(32, 1024),
)
def test_every_picture_fits_undistorted(
    sizes: list[tuple[int, int]], other: tuple[int, int], stride: int, image_size: int | None
) -> None:
    canvas = fit(*sizes, stride=stride, image_size=image_size)
    assert canvas.height % stride == canvas.width % stride == 0
    for width, height in [*sizes, other]:
        tall, wide = canvas.scaled(height, width)
        assert 1 <= tall <= canvas.height
        assert 1 <= wide <= canvas.width
        # each side is within a pixel of the same factor
        factor = max(tall / height, wide / width)
        assert abs(tall - max(1, height * factor)) <= 1 + height / width
        assert abs(wide - max(1, width * factor)) <= 1 + width / height


def test_scaling_is_that_of_pillow() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    picture = torch.from_numpy(noise).permute(2, 0, 1)
    expected = np.asarray(Image.fromarray(noise).resize((50, 40), Image.Resampling.BILINEAR))
    made = resize(picture, (40, 50)).permute(1, 2, 0).numpy()
    assert np.abs(made.astype(int) - expected.astype(int)).max() <= 1


def test_a_picture_of_the_right_size_is_left_alone() -> None:
    picture = torch.zeros(3, 40, 50, dtype=torch.uint8)
    assert resize(picture, (40, 50)) is picture


def test_boxes_come_back_to_pixels_of_the_picture_and_are_clipped_to_it() -> None:
    boxes = torch.tensor([[10.0, 20.0, 30.0, 40.0], [-5.0, 0.0, 70.0, 48.0]])
    made = restore(boxes, torch.tensor([48, 64]), torch.tensor([480, 320]))
    expected = torch.tensor([[50.0, 200.0, 150.0, 400.0], [0.0, 0.0, 320.0, 480.0]])
    torch.testing.assert_close(made, expected.double())


def test_pictures_stand_in_the_upper_left_corner_with_zeros_around() -> None:
    canvas = Canvas(64, 96, 96, 2.0, 32)
    pictures = [torch.full((3, 50, 96), 7, dtype=torch.uint8), torch.ones(3, 64, 10).byte()]
    batch = canvas.stack(pictures)
    assert batch.shape == (2, 3, 64, 96)
    assert torch.equal(batch[0, :, :50], pictures[0])
    assert torch.equal(batch[1, :, :, :10], pictures[1])
    assert batch[0, :, 50:].sum() == batch[1, :, :, 10:].sum() == 0


def test_a_picture_larger_than_the_canvas_is_named() -> None:
    canvas = Canvas(64, 96, 96, 2.0, 32)
    with pytest.raises(ValueError, match="a picture of 97 x 64 pixels is larger than the canvas"):
        canvas.stack([torch.zeros(3, 64, 97, dtype=torch.uint8)])


def test_a_canvas_survives_json() -> None:
    canvas = fit((100, 77), image_size=333)
    assert Canvas.from_json(json.loads(json.dumps(canvas.to_json()))) == canvas
