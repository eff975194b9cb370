"""Enclosing boxes against brute force: dense sampling, bitmaps, matplotlib and pycocotools."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.path import Path as DrawnPath
from pycocotools import mask as coco

from rondel.errors import DataError
from rondel_detection.data import geometry

NUMBERS = st.floats(-500, 500, allow_nan=False, width=32)
POINTS = st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1, max_size=12)
ANGLES = st.one_of(st.floats(-720, 720), st.sampled_from([0, 90, -90, 180, 270, 360, 45]))
BITMAPS = st.tuples(st.integers(1, 7), st.integers(1, 7), st.integers(0, 2**49 - 1)).map(
    lambda drawn: (
        np.array([drawn[2] >> bit & 1 for bit in range(drawn[0] * drawn[1])], dtype=bool)
    ).reshape(drawn[:2])
)


def close(found: object, wanted: object, tolerance: float = 1e-9) -> None:
    np.testing.assert_allclose(np.asarray(found), np.asarray(wanted), rtol=1e-9, atol=tolerance)


def around(points: npt.NDArray[np.float64]) -> tuple[float, ...]:
    return (*points.min(axis=0), *points.max(axis=0))


@given(POINTS)
def test_the_box_around_points_touches_the_outermost_on_every_side(
    points: list[tuple[float, float]],
) -> None:
    assert geometry.enclosing(points) == around(np.array(points))


@pytest.mark.parametrize("points", [[], [[1.0, 2.0, 3.0]], [1.0, 2.0]])
def test_what_is_no_list_of_points_is_refused(points: list[float]) -> None:
    with pytest.raises(DataError, match=r"is not the shape of a list of points \(x, y\)"):
        geometry.enclosing(points)


def test_a_quarter_turn_is_clockwise_on_the_screen_and_exact() -> None:
    turned = geometry.rotate_about([[3.0, 1.0]], (1.0, 1.0), 90)
    assert turned.tolist() == [[1.0, 3.0]]  # from the right of the centre to below it


@given(POINTS, NUMBERS, NUMBERS, ANGLES)
def test_turning_multiplies_by_a_complex_number(
    points: list[tuple[float, float]], x: float, y: float, degrees: float
) -> None:
    turned = geometry.rotate_about(points, (x, y), degrees)
    factor = complex(math.cos(math.radians(degrees)), math.sin(math.radians(degrees)))
    wanted = [(complex(*p) - complex(x, y)) * factor + complex(x, y) for p in points]
    close(turned, [[p.real, p.imag] for p in wanted], 1e-6)


def test_the_corners_of_a_rectangle_run_clockwise_from_the_upper_left() -> None:
    upright = geometry.rotated_rectangle(10, 20, 8, 4, 0)
    assert upright.tolist() == [[6, 18], [14, 18], [14, 22], [6, 22]]
    assert geometry.rotated_rectangle(10, 20, 8, 4, 90)[0].tolist() == [12, 16]  # upper right now


@given(NUMBERS, NUMBERS, st.floats(0, 300), st.floats(0, 300), ANGLES)
def test_the_box_around_an_ellipse_is_that_of_its_points(
    x: float, y: float, radius_x: float, radius_y: float, degrees: float
) -> None:
    angle = np.linspace(0, 2 * np.pi, 20_001)
    rim = np.stack([radius_x * np.cos(angle), radius_y * np.sin(angle)], axis=1)
    rim += np.array([x, y])
    rim = geometry.rotate_about(rim, (x, y), degrees)
    # 20,000 points miss the extremes of an ellipse by less than its size / 10^8
    close(geometry.ellipse_bounds(x, y, radius_x, radius_y, degrees), around(rim), 1e-4)


def test_a_circle_reaches_as_far_as_its_rim_in_all_directions() -> None:
    assert geometry.circle_bounds((10, 20), (13, 24)) == (5, 15, 15, 25)


def drawn_by_matplotlib(points: list[list[float]], types: str) -> npt.NDArray[np.float64]:
    """Interpret a path as Scalabel's own toolkit does, by matplotlib."""
    codes = [DrawnPath.LINETO if letter == "L" else DrawnPath.CURVE4 for letter in types]
    codes[0] = DrawnPath.MOVETO
    return np.array(DrawnPath(points, codes).get_extents().get_points()).ravel()


@pytest.mark.parametrize("types", ["LCCC", "LLCCC", "LCCCL", "LLCCCCCC", "LCCCLLCCCL", "LLLL"])
def test_curves_are_bounded_as_matplotlib_bounds_them(types: str) -> None:
    random = np.random.default_rng(len(types))
    for _ in range(40):
        points = random.uniform(-50, 50, (len(types), 2)).tolist()
        close(geometry.bezier_bounds(points, types), drawn_by_matplotlib(points, types), 1e-7)


@settings(max_examples=60)
@given(st.lists(st.tuples(NUMBERS, NUMBERS), min_size=4, max_size=4))
def test_a_curve_is_bounded_as_its_points_are(points: list[tuple[float, float]]) -> None:
    t = np.linspace(0, 1, 20_001)[:, None]
    p = np.array(points)
    curve = (1 - t) ** 3 * p[0] + 3 * (1 - t) ** 2 * t * p[1] + 3 * (1 - t) * t**2 * p[2]
    curve = curve + t**3 * p[3]
    close(geometry.bezier_bounds(points, "LCCC"), around(curve), 1e-4)


def test_both_spellings_of_a_curve_mean_the_same() -> None:
    points = [[0, 0], [0, 30], [40, 30], [40, 0]]
    wanted = (0, 0, 40, 22.5)
    close(geometry.bezier_bounds(points, "LCCC"), wanted)
    close(geometry.bezier_bounds(points, "LCCL"), wanted)


def test_a_closed_path_may_end_with_the_control_points_of_its_last_curve() -> None:
    points = [[40, 0], [0, 0], [0, 30], [40, 30]]
    close(geometry.bezier_bounds(points, "LLCC", closed=True), (0, 0, 40, 22.5))
    # an open one has no end for that curve: its control points are corners
    assert geometry.bezier_bounds(points, "LLCC") == (0, 0, 40, 30)


@pytest.mark.parametrize("types", ["LL", "LLX", "llc"])
def test_types_that_do_not_fit_the_vertices_are_refused(types: str) -> None:
    with pytest.raises(DataError, match=f"the types '{types}' do not fit 3 vertices"):
        geometry.bezier_bounds([[0, 0], [1, 1], [2, 2]], types)


@given(BITMAPS)
def test_run_lengths_and_their_box_are_those_of_pycocotools(bitmap: geometry.Bitmap) -> None:
    height, width = bitmap.shape
    counts = geometry.bitmap_counts(bitmap)
    packed = coco.encode(np.asfortranarray(bitmap.astype(np.uint8)))
    again = coco.frPyObjects({"counts": list(counts), "size": [height, width]}, height, width)
    assert again["counts"] == packed["counts"]
    x, y, w, h = coco.toBbox(packed).tolist()
    wanted = (x, y, x + w, y + h) if bitmap.any() else None
    assert geometry.bitmap_bounds(bitmap) == wanted
    assert geometry.mask_bounds(counts, height, width) == wanted


def test_the_box_of_a_mask_ignores_runs_without_a_pixel() -> None:
    assert geometry.mask_bounds([4, 0, 3, 1, 0, 0, 4], 4, 3) == (1, 3, 2, 4)


@pytest.mark.parametrize("counts", [[5], [7], [8, -2]])
def test_run_lengths_that_do_not_fill_the_mask_are_refused(counts: list[int]) -> None:
    with pytest.raises(DataError, match=r"the run lengths of the mask fill \d pixels, not 2 x 3"):
        geometry.mask_bounds(counts, 2, 3)


@given(BITMAPS, st.integers(-8, 12), st.integers(-8, 12), st.integers(1, 9), st.integers(1, 9))
def test_a_window_stands_in_the_image_where_it_is_placed(
    window: geometry.Bitmap, left: int, top: int, height: int, width: int
) -> None:
    whole = np.zeros((40, 40), dtype=bool)
    rows, columns = window.shape
    whole[top + 15 : top + 15 + rows, left + 15 : left + 15 + columns] = window
    image = whole[15 : 15 + height, 15 : 15 + width]
    counts, outside = geometry.window_counts(window, left, top, height, width)
    flat = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
    assert np.array_equal(flat.reshape(width, height).T, image)
    assert outside == window.sum() - image.sum()


def test_the_area_of_a_polygon_does_not_depend_on_its_direction_or_its_place() -> None:
    square = np.array([[0.0, 0.0], [4.0, 0.0], [4.0, 3.0], [0.0, 3.0]])
    assert geometry.polygon_area(square) == geometry.polygon_area(square[::-1]) == 12
    assert geometry.polygon_area(square + 1e9) == 12


@settings(max_examples=20)
@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), min_size=3, max_size=3))
def test_the_area_of_a_triangle_is_that_of_its_pixels(points: list[tuple[int, int]]) -> None:
    y, x = np.mgrid[0:600, 0:600] / 10 + 0.05
    inside = DrawnPath(points).contains_points(np.stack([x.ravel(), y.ravel()], axis=1))
    assert abs(geometry.polygon_area(points) - inside.sum() / 100) < 20
