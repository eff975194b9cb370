"""Boxes are drawn where they are, in colours that can be told apart, with captions that stay in."""

from __future__ import annotations

import colorsys
from itertools import combinations

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from rondel_detection import drawing
from rondel_detection.drawing import Mark, colour_of, draw

Floats = npt.NDArray[np.float64]
GREY = (128, 128, 128)
# Machado, Oliveira and Fernandes (2009), severity 1.0, applied to linear RGB
BLINDNESS = {
    "none": np.eye(3),
    "protanopia": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "deuteranopia": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
    "tritanopia": np.array(
        [
            [1.255528, -0.076749, -0.178779],
            [-0.078411, 0.930809, 0.147602],
            [0.004733, 0.691367, 0.303900],
        ]
    ),
}
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def paper(width: int = 200, height: int = 160) -> Image.Image:
    return Image.new("RGB", (width, height), GREY)


def pixels(picture: Image.Image) -> npt.NDArray[np.int64]:
    return np.asarray(picture).astype(np.int64)


def changed(before: Image.Image, after: Image.Image) -> npt.NDArray[np.bool_]:
    return (pixels(before) != pixels(after)).any(axis=2)


def lab(colour: tuple[int, int, int], blindness: Floats) -> Floats:
    """CIE L*a*b* of a colour as somebody sees it."""
    srgb = np.array(colour) / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    xyz = TO_XYZ @ np.clip(blindness @ linear, 0, 1) / np.array([0.9505, 1.0, 1.089])
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("blindness", BLINDNESS)
def test_the_first_seven_classes_are_told_apart_by_everybody(blindness: str) -> None:
    seen = [lab(colour_of(label), BLINDNESS[blindness]) for label in range(7)]
    nearest = min(np.linalg.norm(one - other) for one, other in combinations(seen, 2))
    assert nearest > 9  # a difference of 2.3 is just noticed


def test_saturated_colours_of_a_wheel_would_fail_that_test() -> None:
    wheel = [tuple(round(255 * p) for p in colorsys.hsv_to_rgb(i / 7, 1, 1)) for i in range(7)]
    distances = [
        np.linalg.norm(lab(one, matrix) - lab(other, matrix))  # type: ignore[arg-type]
        for matrix in BLINDNESS.values()
        for one, other in combinations(wheel, 2)
    ]
    assert min(distances) < 9


def test_twenty_one_classes_have_different_colours() -> None:
    colours = np.array([colour_of(label) for label in range(21)])
    distances = np.abs(colours[:, None] - colours[None]).sum(axis=2)
    assert distances[~np.eye(21, dtype=bool)].min() > 20
    assert colour_of(21) == colour_of(0)


def test_an_outline_lies_on_the_border_of_its_box_and_nowhere_else() -> None:
    before = paper()
    after = draw(before, [Mark((40, 30, 120, 90), "", colour_of(0))])
    rows, columns = np.nonzero(changed(before, after))
    assert (rows.min(), rows.max() + 1, columns.min(), columns.max() + 1) == (30, 90, 40, 120)
    assert not changed(before, after)[34:86, 44:116].any()
    assert (pixels(after)[31, 60] == colour_of(0)).all()


def test_the_picture_itself_is_not_drawn_on() -> None:
    before = paper()
    draw(before, [Mark((40, 30, 120, 90), "a", colour_of(0))])
    assert (pixels(before) == 128).all()


def test_outlines_grow_with_the_picture() -> None:
    widths = []
    for size in (200, 2000):
        after = draw(paper(size, size), [Mark((0, 0, size, size), "", colour_of(0))])
        widths.append(int((pixels(after)[size // 2, : size // 2] != 128).any(axis=1).sum()))
    assert widths[0] == 3
    assert 5 <= widths[1] <= 15


@pytest.mark.parametrize(
    "box",
    [(-500, -500, -400, -400), (150, 150, 150, 150), (-10, -10, 900, 900), (199, 159, 230, 190)],
)
def test_boxes_beyond_the_picture_or_without_area_are_drawn_without_an_error(
    box: tuple[float, float, float, float],
) -> None:
    assert changed(paper(), draw(paper(), [Mark(box, "name 0.50", colour_of(1))])).any()


@pytest.mark.parametrize(
    "box",
    [(60, 60, 90, 90), (0, 0, 20, 20), (180, 0, 200, 20), (180, 140, 200, 160), (-50, 70, 400, 75)],
)
def test_a_whole_plate_stays_inside_the_picture(box: tuple[float, float, float, float]) -> None:
    mark = Mark(box, "giraffe 0.87", colour_of(1))
    before = paper()
    plate = changed(draw(before, [Mark(box, "", mark.colour)]), draw(before, [mark]))
    rows, columns = np.nonzero(plate)
    middle = draw(before, [Mark((60, 60, 61, 61), mark.caption, mark.colour)])
    whole = changed(before, middle)
    expected = np.ptp(np.nonzero(whole)[1])
    # the outline of the box itself may lie below a part of the plate
    assert abs(int(np.ptp(columns)) - int(expected)) <= 4
    assert np.ptp(rows) > 8


def test_plates_of_neighbours_do_not_hide_each_other() -> None:
    boxes = [(60, 60, 100, 100), (62, 61, 101, 101), (61, 62, 99, 99)]
    marks = [Mark(box, "cat 0.9", colour_of(i)) for i, box in enumerate(boxes)]
    drawn = pixels(draw(paper(), marks))
    areas = [int((drawn == mark.colour).all(axis=2).sum()) for mark in marks]
    alone = [int((pixels(draw(paper(), [m])) == m.colour).all(axis=2).sum()) for m in marks]
    assert all(area > 0.6 * one for area, one in zip(areas, alone, strict=True))


def test_the_first_mark_lies_on_top() -> None:
    marks = [Mark((40, 30, 120, 90), "", colour_of(i)) for i in range(2)]
    assert (pixels(draw(paper(), marks))[31, 60] == colour_of(0)).all()


def test_a_long_caption_is_cut_to_the_width_of_the_picture() -> None:
    font = drawing._font(12, "a…")
    text = drawing._shortened("a very long\nname of a class " * 4, font, 100)
    assert text.startswith("a very")
    assert text.endswith("…")
    assert "\n" not in text
    assert font.getlength(text) <= 100
    draw(paper(20, 20), [Mark((0, 0, 20, 20), "a very long name", colour_of(0))])


@pytest.mark.parametrize("name", ["Fahrrad", "собака", "βιβλίο", "naïve Ž", "سيارة"])
def test_names_in_other_scripts_have_their_glyphs(name: str) -> None:
    file = drawing._font_file("".join(sorted(set(name))))
    assert {ord(letter) for letter in name if letter != " "} <= drawing._characters(file)
    assert "LastResort" not in file
    draw(paper(), [Mark((10, 10, 90, 90), name, colour_of(0))])


def test_a_name_without_any_font_falls_back_to_the_own_one() -> None:
    assert drawing._font_file("\U0010fffd").endswith("DejaVuSans.ttf")


def test_a_file_that_is_no_font_has_no_characters() -> None:
    assert drawing._characters(__file__) == frozenset()


def test_captions_are_black_on_bright_and_white_on_dark_colours() -> None:
    assert drawing._against((240, 228, 66)) == (0, 0, 0)
    assert drawing._against((0, 114, 178)) == (255, 255, 255)


def test_a_dashed_outline_is_a_part_of_a_whole_one() -> None:
    whole = draw(paper(), [Mark((20, 20, 180, 140), "", colour_of(0))])
    dashed = draw(paper(), [Mark((20, 20, 180, 140), "", colour_of(0), dashed=True)])
    one, other = changed(paper(), whole), changed(paper(), dashed)
    assert not (other & ~one).any()
    assert 0.5 * one.sum() < other.sum() < 0.95 * one.sum()


@pytest.mark.parametrize("mode", ["L", "RGBA", "P"])
def test_pictures_of_other_modes_become_rgb(mode: str) -> None:
    assert draw(paper().convert(mode), [Mark((1, 1, 9, 9), "a", colour_of(0))]).mode == "RGB"
