"""What becomes of defective boxes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rondel.errors import DataError, UsageError
from rondel_detection.data.labels import LabelMap
from rondel_detection.data.repair import Policy, repair
from rondel_detection.data.table import Annotations, TableBuilder

NAN = float("nan")
Box = tuple[float, float, float, float]


def labels(*boxes: Box, width: int = 100, height: int = 80) -> Annotations:
    builder = TableBuilder(Path("photos"), "coco")
    file = builder.add_file("labels.json")
    image = builder.add_image("a.jpg", width=width, height=height, origin=file)
    builder.add_image("empty.jpg", width=width, height=height, origin=file)
    for number, box in enumerate(boxes):
        builder.add_box(image, box, 0, id=1000 + number, origin=file, line=number + 5)
    return builder.build(LabelMap(("cat",)))


@pytest.mark.parametrize(
    ("box", "kind", "repaired", "reason"),
    [
        ((50, 20, 30, 60), "corner_order", (30, 20, 50, 60), "box [50, 20, 30, 60] has x2 < x1"),
        (
            (50, 60, 30, 20),
            "corner_order",
            (30, 20, 50, 60),
            "box [50, 60, 30, 20] has x2 < x1 and y2 < y1",
        ),
        (
            (-5, 10, 120, 40),
            "partly_outside",
            (0, 10, 100, 40),
            "box [-5, 10, 120, 40] reaches 5 px beyond the left and 20 px beyond the right border",
        ),
        (
            (10, 10, 20, 80.5),
            "partly_outside",
            (10, 10, 20, 80),
            "box [10, 10, 20, 80.5] reaches 0.5 px beyond the lower border of 100 x 80",
        ),
        (
            (100, 10, 120, 40),
            "outside",
            None,
            "box [100, 10, 120, 40] lies outside of the image of 100 x 80",
        ),
        ((10, 10, 10, 40), "no_area", None, "box [10, 10, 10, 40] has no area: it is 0 x 30 pixel"),
        ((10, NAN, 20, 40), "not_finite", None, "box [10, nan, 20, 40] has coordinates that are n"),
        ((10, 1, float("inf"), 40), "not_finite", None, "box [10, 1, inf, 40] has coordinates"),
    ],
)
def test_each_defect_is_named_and_repaired_or_dropped(
    box: Box, kind: str, repaired: Box | None, reason: str
) -> None:
    after, defects = repair(labels((1, 1, 9, 9), box))
    assert [each.kind for each in defects] == [kind]
    assert defects[0].reason.startswith(reason)
    assert defects[0].place == "labels.json:6: annotation 1001 (image 'a.jpg')"
    assert (defects[0].images, defects[0].boxes) == ((0,), (1,))
    assert defects[0].action == ("repair" if repaired else "drop")
    expected = [(1, 1, 9, 9), repaired] if repaired else [(1, 1, 9, 9)]
    assert after.boxes.xyxy.tolist() == [list(each) for each in expected]
    assert len(after.images) == 2


def test_a_class_that_does_not_exist_drops_the_box() -> None:
    builder = TableBuilder(Path(), "coco")
    builder.add_image("a.jpg", width=9, height=9)
    builder.add_box(0, (1, 1, 5, 5), 3)
    after, defects = repair(builder.build(LabelMap(("cat",))))
    assert len(after.boxes) == 0
    assert defects[0].reason == "class index 3 is none of the 1 classes"


def test_a_box_with_two_faults_is_named_twice_and_repaired_once() -> None:
    after, defects = repair(labels((120, 10, 50, 40)))
    assert [each.kind for each in defects] == ["corner_order", "partly_outside"]
    assert after.boxes.xyxy.tolist() == [[50, 10, 100, 40]]


def test_rounding_beyond_the_border_is_clipped_without_a_word() -> None:
    after, defects = repair(labels((10, 10, 100.01, 80.04)))
    assert defects == []
    assert after.boxes.xyxy.tolist() == [[10, 10, 100, 80]]


def test_sound_boxes_come_back_as_the_same_object() -> None:
    before = labels((1, 1, 9, 9))
    assert repair(before) == (before, [])


def test_images_of_unknown_size_clip_only_what_is_negative() -> None:
    after, defects = repair(labels((-3, 4, 5000, 6000), width=0, height=0))
    assert after.boxes.xyxy.tolist() == [[0, 4, 5000, 6000]]
    assert defects[0].reason.endswith("reaches 3 px beyond the left border of ? x ?")


def test_drop_takes_every_defective_box_and_no_image() -> None:
    after, defects = repair(labels((50, 20, 30, 60), (1, 1, 9, 9), (-5, 1, 9, 9)), "drop")
    assert after.boxes.xyxy.tolist() == [[1, 1, 9, 9]]
    assert {each.action for each in defects} == {"drop"}
    assert len(after.images) == 2


def test_stop_names_the_first_defects_and_their_number() -> None:
    bad = [(50.0 + n, 20.0, 30.0, 60.0) for n in range(5)]
    with pytest.raises(DataError) as caught:
        repair(labels(*bad), "stop")
    text = str(caught.value)
    assert text.startswith("labels.json: 5 box defects, and bad_boxes is 'stop':\n")
    assert "\n  labels.json:5: annotation 1000 (image 'a.jpg'): box [50, 20, 30, 60]" in text
    assert text.count("annotation") == 3
    assert "\n  and 2 more. Correct the labels, or train with bad_boxes=repair." in text


def test_stop_lets_sound_labels_pass() -> None:
    assert repair(labels((1, 1, 9, 9)), "stop")[1] == []


def test_an_unknown_policy_is_an_error() -> None:
    wrong: Policy = "mend"  # type: ignore[assignment]
    with pytest.raises(
        UsageError, match=r"there is no policy 'mend'\. Known are repair, drop, stop"
    ):
        repair(labels(), wrong)


def test_a_set_without_boxes_needs_no_repair() -> None:
    before = labels()
    assert repair(before) == (before, [])


def test_repaired_boxes_have_no_defects_left_and_lie_inside() -> None:
    random = np.random.default_rng(0)
    values = random.uniform(-60, 160, (500, 4)).round(1)
    values[random.random((500, 4)) < 0.02] = np.nan
    values[::50, 2] = values[::50, 0]
    after, defects = repair(labels(*map(tuple, values.tolist())))
    assert len(defects) > 300
    assert repair(after) == (after, [])
    xyxy = after.boxes.xyxy
    assert 100 < len(xyxy) < 500
    assert (xyxy[:, 2:] > xyxy[:, :2]).all()
    assert (xyxy >= 0).all()
    assert (xyxy[:, 2:] <= [100, 80]).all()
    # what is left of each box is what the box and the image have in common
    for row, corners in zip(after.boxes.id, xyxy, strict=True):
        x1, y1, x2, y2 = values[row - 1000]
        common = (
            max(min(x1, x2), 0),
            max(min(y1, y2), 0),
            min(max(x1, x2), 100),
            min(max(y1, y2), 80),
        )
        assert corners.tolist() == list(common)
