"""Every table survives every way between two formats, but for what the loss reports list."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from PIL import Image

from rondel_detection.data.comparison import differences, unexplained
from rondel_detection.data.formats import FORMATS, Source
from rondel_detection.data.geometry import bitmap_counts, enclosing, mask_bounds
from rondel_detection.data.labels import LabelMap
from rondel_detection.data.loss_report import LossReport
from rondel_detection.data.table import Annotations, Outline, Status, TableBuilder

WRITABLE = [name for name, made in FORMATS.items() if made.writable]
FILES = {
    "a.png": (64, 48),
    "b b.jpg": (33, 57),
    "sub/ü.png": (40, 40),
    "sub/deep/名.v2.png": (21, 80),
    "7.jpg": (100, 30),
}
NAMES = ["cat", "dog house", "Ünïcode", "名前", "1", "a:b", "yes", "#x", "null", "<b>&'\""]
STATUSES = [Status.LABELLED] * 3 + [Status.UNLABELLED, Status.IGNORED]
TEXTS = ["red", "", "two\nlines", "é<&>\"'", "true", "12"]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    for name, size in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size, "grey").save(folder / name)
    return folder


attribute_values = st.one_of(
    st.sampled_from(TEXTS), st.booleans(), st.integers(-9, 9), st.sampled_from([0.5, -2.25])
)
attributes = st.dictionaries(
    st.sampled_from(["colour", "pose", "group_id", "description", "näme"]),
    attribute_values,
    max_size=2,
)
sides = st.one_of(
    st.floats(0, 1).map(lambda share: round(share, 3)), st.floats(0, 1, allow_subnormal=False)
)
rarely = st.sampled_from([False, False, False, True])


@st.composite
def label_maps(draw: st.DrawFn) -> LabelMap:
    names = draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=4, unique=True))
    ids = draw(
        st.sampled_from([(), (0, 3, 17, 90), ("/m/01", "/m/02", "/m/03", "/m/04"), (4, 3, 2, 1)])
    )
    groups = {0: "animal"} if draw(rarely) else {}
    return LabelMap(tuple(names), ids[: len(names)], groups)


@st.composite
def shapes(
    draw: st.DrawFn, width: int, height: int
) -> tuple[tuple[float, float, float, float], Outline | None]:
    """A box, and at times the polygons or the mask that it encloses."""
    kind = draw(st.sampled_from(["box", "box", "polygon", "polygons", "mask", "misfit"]))
    if kind == "mask":
        bits = draw(st.lists(st.booleans(), min_size=12, max_size=12))
        bitmap = np.zeros((height, width), dtype=bool)
        bitmap[3:6, 5:9] = np.array(bits).reshape(3, 4)
        bitmap[4, 6] = True
        counts = bitmap_counts(bitmap)
        bounds = mask_bounds(counts, height, width)
        assert bounds is not None
        return bounds, Outline(counts=counts)
    count = {"box": 2, "polygon": 4, "polygons": 7, "misfit": 3}[kind]
    points = np.array([[draw(sides) * width, draw(sides) * height] for _ in range(count)])
    box = enclosing(points)
    if kind == "box":
        return box, None
    if kind == "misfit":
        return (0.0, 0.0, float(width), float(height)), Outline((points,))
    return box, Outline((points[:4], points[4:]) if kind == "polygons" else (points,))


@st.composite
def tables(draw: st.DrawFn, root: Path) -> Annotations:
    labels = draw(label_maps())
    builder = TableBuilder(root, "made")
    files = draw(st.lists(st.sampled_from(sorted(FILES)), min_size=1, max_size=4, unique=True))
    numbered = draw(st.booleans())
    boxes = 0
    for number, file in enumerate(files):
        width, height = FILES[file]
        image = builder.add_image(
            file,
            width=width,
            height=height,
            # some formats do not recognise a set in which nothing is labelled
            status=draw(st.sampled_from(STATUSES)) if number else Status.LABELLED,
            split=draw(st.sampled_from(["", "train", "train", "val", "hold out"])),
            id=number * 5 + 2 if numbered else "",
            attributes=draw(attributes) if draw(rarely) else None,
        )
        for _ in range(draw(st.integers(0, 3))):
            xyxy, outline = draw(shapes(width, height))
            builder.add_box(
                image,
                xyxy,
                draw(st.integers(0, len(labels) - 1)),
                crowd=draw(rarely),
                difficult=draw(rarely),
                truncated=draw(rarely),
                occluded=draw(rarely),
                area=draw(st.sampled_from([np.nan, np.nan, 3.5])),
                # what has a score may be no label in a labelling tool
                score=draw(st.sampled_from([np.nan, np.nan, 0.75])) if number else np.nan,
                id=boxes * 3 + 10 if numbered else "",
                attributes=draw(attributes) if draw(rarely) else None,
                outline=outline,
            )
            boxes += 1
    return builder.build(labels)


def there_and_back(
    table: Annotations, name: str, folder: Path, root: Path
) -> tuple[Annotations, list[LossReport]]:
    """Write a table and read it again; returns what the two reported as well."""
    written = FORMATS[name].write(table, folder)
    again = FORMATS[name].read(Source(folder, root))
    return again, [written, again.losses]


def assert_kept(before: Annotations, after: Annotations, reports: list[LossReport]) -> None:
    left = unexplained(differences(before, after), reports)
    told = [f"{kind}: {one}" for kind, found in left.items() for one in found]
    listed = [line for report in reports for line in report]
    assert not told, "\n".join([*told, "listed:", *listed])


def sample(root: Path) -> Annotations:
    builder = TableBuilder(root, "made")
    for number, file in enumerate(("a.png", "7.jpg")):
        width, height = FILES[file]
        builder.add_image(file, width=width, height=height, id=number + 40, split="train")
    square = np.array([[1.0, 2.0], [30.0, 2.0], [30.0, 20.0]])
    builder.add_box(
        0,
        (1, 2, 30, 20),
        0,
        id=70,
        score=0.5,
        area=9,
        attributes={"colour": "red"},
        outline=Outline((square,)),
    )
    builder.add_box(0, (1, 2, 30, 20), 1, id=71)
    builder.add_box(1, (5, 6, 7, 8), 0, id=72)
    return builder.build(LabelMap(("cat", "dog", "cup"), (4, 9, 8), {0: "animal"}))


def with_column(table: Annotations, columns: str, name: str, row: int, value: Any) -> Annotations:
    changed = getattr(getattr(table, columns), name).copy()
    changed[row] = value
    return replace(table, **{columns: replace(getattr(table, columns), **{name: changed})})


def reordered(table: Annotations) -> Annotations:
    labels = LabelMap(("dog", "cat", "cup"), (9, 4, 8), {1: "animal"})
    label = np.array([1, 0, 2])[table.boxes.label]
    return replace(table, labels=labels, boxes=replace(table.boxes, label=label))


CHANGES: dict[str, Callable[[Annotations], Annotations]] = {
    "missing image": lambda table: table.take_images([0]),
    "image size": lambda table: with_column(table, "images", "width", 1, 99),
    "status": lambda table: with_column(table, "images", "status", 0, Status.UNLABELLED),
    "split": lambda table: with_column(table, "images", "split", 1, "val"),
    "image id": lambda table: with_column(table, "images", "id", 1, 43),
    "missing box": lambda table: table.take_boxes([0, 2]),
    "coordinates": lambda table: with_column(table, "boxes", "xyxy", 2, (5, 6, 7, 8.002)),
    "class": lambda table: with_column(table, "boxes", "label", 2, 1),
    "crowd": lambda table: with_column(table, "boxes", "crowd", 1, True),
    "difficult": lambda table: with_column(table, "boxes", "difficult", 1, True),
    "truncated": lambda table: with_column(table, "boxes", "truncated", 1, True),
    "occluded": lambda table: with_column(table, "boxes", "occluded", 1, True),
    "area": lambda table: with_column(table, "boxes", "area", 2, 4.5),
    "score": lambda table: with_column(table, "boxes", "score", 0, 0.51),
    "box id": lambda table: with_column(table, "boxes", "id", 2, 99),
    "image attributes": lambda table: replace(
        table, images=replace(table.images, attributes={1: {"a": 1}})
    ),
    "box attributes": lambda table: replace(table, boxes=replace(table.boxes, attributes={})),
    "outline": lambda table: replace(table, boxes=replace(table.boxes, outline={})),
    "missing class": lambda table: replace(
        table, labels=LabelMap(("cat", "dog"), (4, 9), {0: "animal"})
    ),
    "added class": lambda table: replace(
        table, labels=LabelMap(("cat", "dog", "cup", "x"), (4, 9, 8, 1), {0: "animal"})
    ),
    "class id": lambda table: replace(
        table, labels=LabelMap(("cat", "dog", "cup"), (4, 9, 7), {0: "animal"})
    ),
    "class group": lambda table: replace(table, labels=LabelMap(("cat", "dog", "cup"), (4, 9, 8))),
    "class order": reordered,
}


@pytest.mark.parametrize("kind", CHANGES)
def test_a_change_is_found_and_only_a_loss_of_its_kind_explains_it(kind: str, root: Path) -> None:
    table = sample(root)
    found = differences(table, CHANGES[kind](table))
    assert kind in found
    assert len(found[kind]) == 1
    assert set(found) <= {kind, "missing box", "missing image"}
    foreign, own = LossReport(), LossReport()
    foreign.add("something else was lost")
    own.add(TOLD.get(kind, f"{kind} was not kept"))
    if kind == "missing image":
        own.add("box of an image that was left out")
    assert set(unexplained(found, [foreign])) == set(found)
    assert unexplained(found, [foreign, own]) == {}


TOLD = {
    "missing image": "ignored image was left out",
    "added image": "image was added",
    "image size": "size of an image was not kept",
    "status": "unlabelled image became a labelled one",
    "image attributes": "attributes of an image were not kept",
    "missing box": "box that is not finite was not written",
    "coordinates": "box moved to the bounds of its outline",
    "class": "name of a class is read back otherwise",
    "area": "area of an object was not kept",
    "score": "score of an annotation was not kept",
    "box id": "annotation id was not kept",
    "box attributes": "attributes of an annotation were not kept",
    "missing class": "order of the classes, and those without a box, were not kept",
    "added class": "name of a class is read back otherwise",
    "class id": "id of a class was not kept",
    "class order": "order of the classes, and those without a box, were not kept",
    "class group": "supercategory of a class was not kept",
}


def test_a_loss_that_is_listed_once_does_not_explain_two(root: Path) -> None:
    table = sample(root)
    less = table.take_boxes([0])
    report = LossReport()
    report.add("box that is not finite was not written")
    found = differences(table, less)
    assert len(found["missing box"]) == 2
    assert set(unexplained(found, [report])) == {"missing box"}
    report.add("box that is not finite was not written")
    assert unexplained(found, [report]) == {}


def test_an_added_box_and_image_are_found(root: Path) -> None:
    table = sample(root)
    assert list(differences(table.take_boxes([0, 1]), table)) == ["added box"]
    assert list(differences(table.take_images([0]), table)) == ["added image"]


def test_the_order_of_boxes_and_images_does_not_matter(root: Path) -> None:
    table = sample(root)
    shuffled = table.take_boxes([2, 1, 0]).take_images([1, 0])
    assert differences(table, shuffled) == {}


def test_boxes_at_one_place_are_told_apart_by_their_flags_and_not_by_counted_ids(
    root: Path,
) -> None:
    def table(first: bool, padding: int, attributes: dict[str, Any]) -> Annotations:
        builder = TableBuilder(root, "made")
        builder.add_image("7.jpg")
        builder.add_image("a.png")
        for _ in range(padding):  # moves the ids by one
            builder.add_box(0, (1, 2, 3, 4), 0)
        for occluded in (first, not first):
            kept = attributes if occluded else None
            builder.add_box(1, (5, 6, 7, 8), 0, occluded=occluded, attributes=kept)
        return builder.build(LabelMap(("cat",)))

    found = differences(table(True, 0, {"a": 1}), table(True, 1, {}))
    assert list(found) == ["added box", "box attributes"]
    assert differences(table(True, 0, {}), table(False, 0, {})) == {}


def test_ids_that_only_count_and_unlabelled_images_that_were_not_there_say_nothing(
    root: Path,
) -> None:
    builder = TableBuilder(root, "made")
    builder.add_image("a.png")
    builder.add_box(0, (1, 2, 3, 4), 0)
    before = builder.build(LabelMap(("cat", "dog")))
    builder.add_image("7.jpg", status=Status.UNLABELLED)
    after = builder.build(LabelMap(("cat", "dog"), (0, 1)))
    after = with_column(with_column(after, "images", "id", 0, 9), "boxes", "id", 0, 9)
    assert differences(before, after) == {}


def test_a_difference_says_where_it_is_and_what_became_of_what(root: Path) -> None:
    table = sample(root)
    (found,) = differences(table, CHANGES["split"](table))["split"]
    assert str(found) == "image '7.jpg': 'train' became 'val'"


@pytest.mark.parametrize("name", WRITABLE)
def test_a_name_that_leads_out_of_the_folder_is_neither_written_to_nor_opened(
    name: str, tmp_path: Path
) -> None:
    images = tmp_path / "in" / "images"
    images.mkdir(parents=True)
    Image.new("RGB", (64, 48)).save(images / "a.png")
    Image.new("RGB", (11, 12)).save(tmp_path / "secret.png")
    builder = TableBuilder(images, "made")
    builder.add_image("a.png", width=64, height=48)
    outside = builder.add_image("../../secret.png", width=7, height=5)
    builder.add_box(outside, (1, 2, 3, 4), 0)
    table = builder.build(LabelMap(("cat",)))
    before = {path for path in tmp_path.rglob("*") if "out" not in path.parts}
    again, reports = there_and_back(table, name, tmp_path / "out" / "deep", images)
    after = {path for path in tmp_path.rglob("*") if "deep" not in path.parts} - {tmp_path / "out"}
    assert after == before
    sizes = zip(again.images.file, again.images.width, again.images.height, strict=True)
    assert (11, 12) not in {(width, height) for _, width, height in sizes}
    assert_kept(table, again, reports)


@pytest.mark.parametrize("name", WRITABLE)
def test_a_table_without_anything_can_be_written(name: str, tmp_path: Path) -> None:
    table = TableBuilder(tmp_path, "made").build(LabelMap(()))
    assert not FORMATS[name].write(table, tmp_path / "out")


def quick(examples: int) -> settings:
    return settings(
        max_examples=examples,
        derandomize=True,
        deadline=None,
        database=None,
        phases=(Phase.generate,),
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )


@pytest.mark.parametrize("name", WRITABLE)
@quick(25)
@given(data=st.data())
def test_what_is_written_is_read_back(name: str, root: Path, data: st.DataObject) -> None:
    table = data.draw(tables(root))
    with tempfile.TemporaryDirectory() as folder:
        again, reports = there_and_back(table, name, Path(folder) / "set", root)
    assert_kept(table, again, reports)


@pytest.mark.parametrize(("one", "two"), list(itertools.permutations(WRITABLE, 2)))
@quick(4)
@given(data=st.data())
def test_a_way_over_another_format_and_back_loses_only_what_is_listed(
    one: str, two: str, root: Path, data: st.DataObject
) -> None:
    table = data.draw(tables(root))
    with tempfile.TemporaryDirectory() as folder:
        for step, name in enumerate([one, two, one]):
            again, reports = there_and_back(table, name, Path(folder) / f"{step}", root)
            assert_kept(table, again, reports)
            table = again
