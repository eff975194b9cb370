"""The pictures of an evaluation: whole PNGs, whatever the number of classes and their names."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import rondel.report
from rondel.errors import UsageError
from rondel.report import figure
from rondel_detection.metrics import pictures
from rondel_detection.metrics.coco import Evaluation, evaluate
from rondel_detection.metrics.columns import Detections, GroundTruth
from rondel_detection.metrics.confusion import Confusion, confusion_of
from rondel_detection.metrics.error_types import errors_of
from rondel_detection.metrics.picture_grid import (
    FALSE,
    GRID_WIDTH,
    HIT,
    IGNORED,
    MISSED,
    TRUTH,
    best_place,
    picture_grid,
)
from rondel_detection.metrics.pictures import (
    condensed,
    confusion_png,
    error_types_png,
    precision_recall_png,
)

ODD_NAMES = (
    "cat",
    "$x^$ {0}",
    "a name that is far too long to be shown",
    "\N{CYRILLIC SMALL LETTER ZHE}\n<b>",
    "\N{CJK UNIFIED IDEOGRAPH-72AC}",
)


def drawn(classes: int, *, images: int = 20) -> Evaluation:
    draw = np.random.default_rng(classes)
    count = 6 * classes
    truth = GroundTruth.of(
        draw.integers(0, images, count),
        draw.uniform(20, 90, (count, 4)),
        np.arange(count) % classes,
    )
    source = draw.integers(0, count, 3 * count)
    label = np.where(draw.random(3 * count) < 0.8, truth.label[source], source % classes)
    found = Detections.of(
        truth.image[source], truth.xywh[source] + draw.normal(0, 6, (3 * count, 4)), label,
        draw.random(3 * count),
    )  # fmt: skip
    return evaluate(truth, found, images=images, classes=classes)


def opened(png: bytes) -> Image.Image:
    picture = Image.open(io.BytesIO(png), formats=("PNG",))
    picture.load()
    return picture.convert("RGB")


def colours(picture: Image.Image) -> set[str]:
    """Return the colours of a picture."""
    counts: Any = picture.getcolors(maxcolors=1 << 24)
    return {"#{:02x}{:02x}{:02x}".format(*colour) for _, colour in counts}


@pytest.mark.parametrize("classes", [1, 3, 12, 80])
def test_charts_are_drawn_for_few_and_for_many_classes(classes: int) -> None:
    evaluation = drawn(classes)
    names = [f"class {row}" for row in range(classes)]
    png = precision_recall_png(evaluation, names)
    assert len(png) < 120_000  # a page holds many
    curves = opened(png)
    assert curves.size == (1608, 540)
    assert figure.SERIES[0] in colours(curves)
    errors = errors_of(evaluation)
    mistakes = colours(opened(error_types_png(errors)))
    for slot, kind in enumerate(pictures.WORDS):
        assert (figure.SERIES[slot] in mistakes) == (errors.cost[kind] > 0), kind
    png = confusion_png(confusion_of(evaluation, score=0.2), names)
    assert len(png) < 200_000
    matrix = opened(png)
    # each class has room for its name in letters that can be read
    assert matrix.height >= 1.5 * 10 * classes


def test_an_evaluation_of_nothing_can_be_drawn() -> None:
    nothing = GroundTruth.of([], [], [])
    empty = evaluate(nothing, Detections.of([], [], [], []), images=1, classes=3)
    names = ["a", "b", "c"]
    for png in (
        precision_recall_png(empty, names),
        confusion_png(confusion_of(empty, score=0.5), names),
        error_types_png(errors_of(empty)),
    ):
        assert opened(png).width > 400


def test_names_are_drawn_as_they_are() -> None:
    """Dollars are no formulas, braces no fields, and a missing letter is no reason to warn."""
    evaluation = drawn(len(ODD_NAMES))
    precision_recall_png(evaluation, ODD_NAMES)
    confusion_png(confusion_of(evaluation, score=0.2), ODD_NAMES)
    image = np.full((3, 60, 60), 128, dtype=np.uint8)
    picture_grid([image], evaluation.truth.take(np.zeros(0, int)), found_of([]), ODD_NAMES)
    assert figure.label_of("a\nb") == "a\N{REPLACEMENT CHARACTER}b"
    assert len(figure.label_of("x" * 99)) == figure.LONGEST_NAME


def test_a_matrix_of_very_many_classes_is_condensed_without_losing_a_count() -> None:
    draw = np.random.default_rng(0)
    counts = draw.integers(0, 3, (401, 401))
    counts[7, 9] = 5000
    names = [f"class {row}" for row in range(400)]
    few, shown = condensed(Confusion(counts, 0.5, 0.3), names)
    assert len(shown) == len(few.counts) == pictures.DRAWN_CLASSES + 1
    assert shown[-2:] == ["301 others", "background"]
    assert few.counts.sum() == counts.sum()
    assert few.counts[shown.index("class 7"), shown.index("class 9")] == 5000


def test_the_colours_are_those_of_the_report() -> None:
    page = Path(rondel.report.__file__).parent / "templates" / "page.css"
    light = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", page.read_text(encoding="utf-8")))
    assert [light[f"series-{slot}"] for slot in range(8)] == list(figure.SERIES)
    ours = (figure.PAPER, figure.INK, figure.INK_2, figure.INK_3, figure.LINE)
    assert tuple(light[name] for name in ("paper", "ink", "ink-2", "ink-3", "line")) == ours


def test_few_pixels_of_a_colour_that_counts_keep_it() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (80, 80, 3), dtype=np.uint8)
    noise[40, 40] = (0x2F, 0xE6, 0xC6)
    small = opened(figure.small_png(Image.fromarray(noise), exact=[FALSE.colour, HIT.colour]))
    assert small.getpixel((40, 40)) == (0x2F, 0xE6, 0xC6)
    assert len(colours(small)) <= 256


# -- pictures with boxes -----------------------------------------------------------------------


def found_of(rows: Sequence[tuple[int, list[float], int, float]]) -> Detections:
    return Detections.of(*([row[column] for row in rows] for column in range(4)))


def grid(truth: GroundTruth, found: Detections, **settings: object) -> Image.Image:
    images = [np.full((3, 90, 120), 90, dtype=np.uint8)] * 3
    return opened(picture_grid(images, truth, found, ["cat", "dog"], **settings))  # type: ignore[arg-type]


def box_colours(picture: Image.Image) -> set[str]:
    """Return which of the colours of boxes occur below the legend."""
    below = picture.crop((0, 40, picture.width, picture.height))
    styles = {style.colour for style in (HIT, FALSE, MISSED, IGNORED)}
    return colours(below) & styles


def test_boxes_have_the_colour_of_what_they_are() -> None:
    box, far = [10.0, 10.0, 40.0, 40.0], [70.0, 40.0, 30.0, 30.0]
    truth = GroundTruth.of([0], [box], [0])
    nothing = found_of([])
    assert box_colours(grid(truth, found_of([(0, box, 0, 0.9)]))) == {HIT.colour}
    assert box_colours(grid(truth, nothing)) == {MISSED.colour}
    wrong = found_of([(0, box, 0, 0.9), (0, far, 1, 0.8)])
    assert box_colours(grid(truth, wrong)) == {HIT.colour, FALSE.colour}
    crowd = GroundTruth.of([0], [box], [0], crowd=[True])
    assert box_colours(grid(crowd, nothing)) == {IGNORED.colour}
    assert box_colours(grid(truth, found_of([(0, box, 0, 0.2)]))) == {MISSED.colour}  # too weak


def test_a_box_stands_where_it_belongs() -> None:
    truth = GroundTruth.of([1], [[30.0, 30.0, 60.0, 45.0]], [0])
    picture = np.asarray(grid(truth, found_of([(1, [30.0, 30.0, 60.0, 45.0], 0, 0.9)])))
    teal = np.array([int(HIT.colour[k : k + 2], 16) for k in (1, 3, 5)])
    rows, columns = np.nonzero((picture[40:] == teal).all(axis=2))
    width = (GRID_WIDTH - 16 * 4) // 3
    factor = width / 120
    left = 16 + (width + 16) + 30 * factor
    assert abs(columns.min() - left) <= 2
    assert abs(columns.max() - (left + 60 * factor)) <= 2
    assert abs(rows.max() - 75 * factor) <= 2


def test_boxes_outside_of_the_picture_are_cut_off() -> None:
    truth = GroundTruth.of([0, 1], [[-50.0, -50.0, 400.0, 400.0], [500.0, 500.0, 9.0, 9.0]], [0, 0])
    picture = grid(
        truth, found_of([(2, [60.0, 60.0, -20.0, 10.0], 0, 0.9)]), captions=["a", "b", "c"]
    )
    assert picture.width == GRID_WIDTH


def test_tags_do_not_cover_each_other() -> None:
    box = (100, 100, 160, 160)
    first = best_place(box, (50, 18), (400, 400), [])
    second = best_place(box, (50, 18), (400, 400), [first])
    assert first == (100, 82, 150, 100)
    assert second[0] >= first[2] or second[1] >= first[3]


def test_the_truth_is_drawn_under_what_was_found() -> None:
    assert TRUTH.width < HIT.width
    box = [10.0, 10.0, 40.0, 40.0]
    same = GroundTruth.of([0], [box], [0])
    assert TRUTH.colour in colours(grid(same, found_of([(0, [14.0, 14.0, 40.0, 40.0], 0, 0.9)])))


def test_what_is_no_picture_is_named() -> None:
    nothing = GroundTruth.of([], [], [])
    with pytest.raises(UsageError, match="at least one picture"):
        picture_grid([], nothing, found_of([]), ["cat"])
    with pytest.raises(UsageError, match=r"shape \(9, 9, 3\) and type uint8. Give \(3, H, W\)"):
        picture_grid([np.zeros((9, 9, 3), np.uint8)], nothing, found_of([]), ["cat"])
