"""Label Studio: exports as the tool writes them, every shape, and every trap."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from defusedxml import ElementTree
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from rondel.errors import DataError
from rondel_detection.data.formats import labelstudio
from rondel_detection.data.formats.brush import brush_mask, unpacked
from rondel_detection.data.formats.format import Source, find_format
from rondel_detection.data.geometry import bitmap_counts
from rondel_detection.data.labels import LabelMap
from rondel_detection.data.table import Annotations, Outline, Status, TableBuilder

Json = dict[str, Any]
WIDTH, HEIGHT = 200, 50
"""Far from square: percent of the width are not percent of the height."""


def result(kind: str = "rectanglelabels", labels: Any = "car", **value: Any) -> Json:
    """A result as Label Studio exports it."""
    more: Json = {key: value.pop(key) for key in ("id", "score", "meta") if key in value}
    return {
        "original_width": WIDTH,
        "original_height": HEIGHT,
        "image_rotation": 0,
        "value": {**value, kind: [labels] if isinstance(labels, str) else labels},
        "from_name": "label",
        "to_name": "image",
        "type": kind,
        "origin": "manual",
        **more,
    }


RECTANGLE: Json = {"x": 10, "y": 20, "width": 30, "height": 40, "rotation": 0}
BOX = [20, 10, 80, 30]


def rectangle(labels: Any = "car", **more: Any) -> Json:
    return result(labels=labels, **RECTANGLE, **more)


def answer(region: str | None, question: str, kind: str, **value: Any) -> Json:
    made = {"value": value, "from_name": question, "to_name": "image", "type": kind}
    return made if region is None else {**made, "id": region}


def annotation(*results: Any, **more: Any) -> Json:
    said = {"id": 5, "completed_by": 1, "was_cancelled": False, "ground_truth": False}
    return {**said, "result": list(results), **more}


def task(*annotations: Any, image: str = "a.jpg", **more: Any) -> Json:
    # Label Studio writes the annotations before the data
    said = {"id": 31, "annotations": list(annotations), "drafts": [], "predictions": []}
    return {**said, "data": {"image": image}, **more}


def save(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def read(tmp_path: Path, *tasks: Any) -> Annotations:
    return labelstudio.read(Source(save(tmp_path / "export.json", list(tasks))))


def read_results(tmp_path: Path, *results: Any) -> Annotations:
    return read(tmp_path, task(annotation(*results)))


def picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (30, 20)).save(path)


# shapes


def test_coordinates_are_percent_of_the_original_size(tmp_path: Path) -> None:
    table = read_results(tmp_path, rectangle(id="k1"))
    assert table.boxes.xyxy.tolist() == [BOX]
    assert table.boxes.id.tolist() == ["k1"]
    assert (table.images.width.tolist(), table.images.height.tolist()) == ([WIDTH], [HEIGHT])
    assert table.images.id.tolist() == [31]
    assert list(table.losses) == []


def test_a_rectangle_turns_clockwise_about_its_upper_left_corner_in_pixels(tmp_path: Path) -> None:
    turned: Json = {**RECTANGLE, "x": 50, "rotation": 90}
    table = read_results(tmp_path, result(**turned))
    # 60 x 20 pixels at (100, 10): a quarter turn lays it to the left of that corner, downwards
    np.testing.assert_allclose(table.boxes.xyxy, [[80, 10, 100, 70]])
    slanted = read_results(tmp_path, result(**{**turned, "rotation": 30}))
    cosine, sine = math.cos(math.pi / 6), math.sin(math.pi / 6)
    expected = [100 - 20 * sine, 10, 100 + 60 * cosine, 10 + 60 * sine + 20 * cosine]
    np.testing.assert_allclose(slanted.boxes.xyxy[0], expected)
    np.testing.assert_allclose(slanted.boxes.area, [1200])
    np.testing.assert_allclose(slanted.boxes.outline[0].polygons[0][0], [100, 10])
    kinds = ["rotated rectangle became its enclosing box, with its corners as outline"]
    assert list(slanted.losses.losses) == kinds


def test_polygons_and_ellipses_become_exact_boxes(tmp_path: Path) -> None:
    points = [[10, 20], [30, 20], [30, 80]]
    table = read_results(
        tmp_path,
        result("polygonlabels", points=points, closed=True),
        result("ellipselabels", x=50, y=50, radiusX=10, radiusY=20, rotation=0),
        result("ellipselabels", x=50, y=50, radiusX=10, radiusY=20, rotation=90),
    )
    boxes = [[20, 10, 60, 40], [80, 15, 120, 35], [90, 5, 110, 45]]
    np.testing.assert_allclose(table.boxes.xyxy, boxes)
    np.testing.assert_allclose(table.boxes.area, [600, 200 * math.pi, 200 * math.pi])
    np.testing.assert_allclose(table.boxes.outline[0].polygons[0], [[20, 10], [60, 10], [60, 40]])
    assert table.losses.losses["ellipse became its enclosing box"].count == 2


class Packer:
    """Packs values as the encoder that Label Studio uses does (rle-pack of thi.ng)."""

    def __init__(self, count: int, value_bits: int, count_bits: list[int]) -> None:
        self.value_bits, self.count_bits = value_bits, count_bits
        self.bits = f"{count:032b}{value_bits - 1:05b}"
        self.bits += "".join(f"{size - 1:04b}" for size in count_bits)

    def block(self, values: list[int], *, repeated: int = 0) -> None:
        count = (repeated or len(values)) - 1
        size = next(n for n, bits in enumerate(self.count_bits) if count < 1 << bits)
        self.bits += f"{'1' if repeated else '0'}{size:02b}{count:0{self.count_bits[size]}b}"
        self.bits += "".join(f"{value:0{self.value_bits}b}" for value in values)

    def packed(self) -> list[int]:
        text = self.bits + "0" * (-len(self.bits) % 8)
        return [int(text[start : start + 8], 2) for start in range(0, len(text), 8)]


def brush(painted: npt.NDArray[Any], colour: tuple[int, ...] = (9, 8, 7, 200)) -> list[int]:
    """Pack what a brush has painted, in stretches of one pixel value."""
    pixels = np.where(painted[..., None], colour, 0).reshape(-1, 4)
    packer = Packer(pixels.size, 8, [3, 4, 8, 16])
    flat = pixels.ravel().tolist()
    place = 0
    while place < len(flat):
        end = place
        while end < len(flat) and flat[end] == flat[place] and end - place < 1 << 16:
            end += 1
        if end - place > 2:
            packer.block([flat[place]], repeated=end - place)
        else:
            end = min(place + 7, len(flat))
            packer.block(flat[place:end])
        place = end
    return packer.packed()


@settings(max_examples=60)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**81 - 1))
def test_a_brush_is_unpacked_as_it_was_packed(width: int, height: int, drawn: int) -> None:
    flat = [drawn >> bit & 1 for bit in range(width * height)]
    painted = np.array(flat, dtype=bool).reshape(height, width)
    assert np.array_equal(brush_mask(brush(painted), width, height), painted)


def test_a_brush_is_unpacked_as_another_encoder_packed_it() -> None:
    # the example in the tests of Label Studio's own converter
    data = bytes(
        [0, 0, 0, 18, 57, 27, 252, 96, 32, 1, 0, 6, 0, 40, 0, 192, 3, 128, 17, 56, 32]
    )  # fmt: skip
    values = [1, 1, 1, 1, 2, 3, 5, 6, 7, 8, 4, 4, 4, 4, 4, 4, 4, 4]
    assert unpacked(data, 18).tolist() == values


def test_values_of_any_width_are_unpacked() -> None:
    packer = Packer(12, 11, [1, 2, 5, 16])
    packer.block([2000, 1], repeated=0)
    packer.block([1234], repeated=9)
    packer.block([7])
    assert unpacked(bytes(packer.packed()), 12).tolist() == [2000, 1, *[1234] * 9, 7]


def test_a_brush_becomes_the_box_and_the_mask_of_its_paint(tmp_path: Path) -> None:
    painted = np.zeros((HEIGHT, WIDTH), dtype=bool)
    painted[5:20, 30:33] = True
    painted[7, 40] = True
    value = {"format": "rle", "rle": brush(painted)}
    table = read_results(tmp_path, result("brushlabels", **value))
    assert table.boxes.xyxy.tolist() == [[30, 5, 41, 20]]
    assert table.boxes.area.tolist() == [46]
    assert table.boxes.outline[0].counts == bitmap_counts(painted)
    assert list(table.losses) == []


SMALL = Packer(8, 8, [3, 4, 8, 16])
SMALL.block([0], repeated=8)
LONG = Packer(WIDTH * HEIGHT * 4, 8, [3, 4, 8, 16])
LONG.block([1, 2, 3])
WHOLE = Packer(WIDTH * HEIGHT * 4, 8, [3, 4, 8, 16])
WHOLE.block([255], repeated=WIDTH * HEIGHT * 4)


@pytest.mark.parametrize(
    ("defective", "loss"),
    [
        (result("brushlabels", rle=SMALL.packed()), "brush of another size than its image was dropped"),
        (result("brushlabels", rle=[1, 2]), "brush of another size than its image was dropped"),
        (result("brushlabels", rle=LONG.packed()), "brush whose run lengths are cut off was dropped"),
        (result("brushlabels", rle=LONG.packed()[:-2]), "brush whose run lengths are cut off was dropped"),
        (result("brushlabels", rle=WHOLE.packed()[:-1]), "brush whose run lengths are cut off was dropped"),
        (result("brushlabels", rle=[256]), "brush whose run lengths are no bytes was dropped"),
        (result("brushlabels", rle="abc"), "brush without run lengths was dropped"),
        (result("brushlabels", rle=brush(np.zeros((HEIGHT, WIDTH)))), "mask without a pixel was dropped"),
        (result("bitmasklabels", imageDataURL="data:image/png;base64,A"), "region of an unknown kind was dropped"),
        (result("keypointlabels", x=3, y=4, width=0.5), "keypoint has no area and was dropped"),
        (result("polygonlabels", points=[[1, 2], [3, 4]]), "polygon of fewer than 3 points was dropped"),
        (result("polygonlabels", points=[[1, 2], [3, 4], [5]]), "polygon without finite coordinates was dropped"),
        (result("polygonlabels", points=[[1, 2]], closed=False), "open path without an area was dropped"),
        (result("vectorlabels", vertices=[{"x": 1}]), "path with curves was dropped"),
        (rectangle(labels=[]), "shape without a label was dropped"),
        (rectangle(labels=[3]), "shape without a label was dropped"),
        (result(x=1, y=None, width=3, height=4), "rectangle without finite coordinates was dropped"),
        (result("ellipselabels", x=1, y=1, radiusX=-1, radiusY=1), "ellipse with a negative radius was dropped"),
        ({**rectangle(), "original_width": 0, "item_index": 1}, "region on a further page of a task was dropped"),
        ({"type": "relation", "from_id": "a", "to_id": "b"}, "result without a shape was dropped"),
        ("x", "result without a shape was dropped"),
    ],
)  # fmt: skip
def test_what_has_no_box_is_dropped_and_listed_and_the_rest_is_kept(
    tmp_path: Path, defective: Any, loss: str
) -> None:
    table = read_results(tmp_path, defective, rectangle("bus"))
    assert table.labels.names == ("bus",)
    assert table.boxes.line.tolist() == [2]
    assert list(table.losses) == [f"1 x {loss} (first: export.json: task 1, result 1)"]


def test_a_region_in_an_image_of_unknown_size_is_dropped(tmp_path: Path) -> None:
    lacking = {key: value for key, value in rectangle().items() if not key.startswith("original")}
    assert list(read_results(tmp_path, lacking).losses.losses) == [
        "region in an image of unknown size was dropped"
    ]
    picture(tmp_path / "a.jpg")  # its header is as good
    assert read_results(tmp_path, lacking).boxes.xyxy.tolist() == [[3, 4, 12, 12]]


def test_shape_and_label_may_be_two_results_of_one_region(tmp_path: Path) -> None:
    shape = result("rectangle", id="k", **RECTANGLE)
    del shape["value"]["rectangle"]
    name = result("labels", "bus", id="k", **RECTANGLE)
    table = read_results(tmp_path, shape, name)
    assert table.boxes.xyxy.tolist() == [BOX]
    assert table.labels.names == ("bus",)


def test_further_labels_of_a_region_are_listed(tmp_path: Path) -> None:
    table = read_results(tmp_path, rectangle(["bus", "car"]))
    assert table.labels.names == ("bus",)
    assert list(table.losses.losses) == ["further label of a region was dropped"]


def test_answers_about_a_region_are_attributes_and_others_are_of_the_image(tmp_path: Path) -> None:
    table = read_results(
        tmp_path,
        rectangle(id="k", meta={"text": ["left"]}, score=0.5),
        rectangle(id="m"),
        answer("k", "colour", "choices", choices=["red"]),
        answer("k", "seen", "choices", choices=["day", "night"]),
        answer("k", "occluded", "choices", choices=["true"]),
        answer("k", "wet", "choices", choices=["false"]),
        answer("k", "age", "number", number=3),
        answer("m", "note", "textarea", text=["two words"]),
        answer("z", "weather", "choices", choices=["rain"]),
        answer(None, "stars", "rating", rating=4),
    )
    assert table.boxes.attributes == {
        0: {"colour": "red", "seen": ["day", "night"], "wet": False, "age": 3, "meta": {"text": ["left"]}},
        1: {"note": "two words"},
    }  # fmt: skip
    assert table.boxes.occluded.tolist() == [True, False]
    assert table.boxes.score[0] == 0.5
    assert table.images.attributes == {0: {"weather": "rain", "stars": 4}}
    assert list(table.losses) == []


def test_an_image_that_was_turned_in_the_editor_is_listed(tmp_path: Path) -> None:
    table = read_results(tmp_path, {**rectangle(), "image_rotation": 90})
    assert list(table.losses.losses) == [
        "image was turned in the editor: look whether the box fits"
    ]


# tasks


def test_status_tells_empty_from_unlabelled_and_skipped(tmp_path: Path) -> None:
    table = read(
        tmp_path,
        task(annotation()),
        task(),
        task(annotation(rectangle(), was_cancelled=True)),
        task(annotation(was_cancelled=True), annotation(rectangle())),
    )
    assert table.images.status.tolist() == [
        Status.LABELLED,
        Status.UNLABELLED,
        Status.IGNORED,
        Status.LABELLED,
    ]
    assert table.boxes.image.tolist() == [2, 3]


def test_one_annotation_of_several_counts(tmp_path: Path) -> None:
    def named(name: str, time: str, **more: Any) -> Json:
        return annotation(rectangle(name), updated_at=f"2026-01-{time}T10:00:00Z", **more)

    early, late = named("early", "02"), named("late", "09")
    truth, cancelled = (
        named("truth", "01", ground_truth=True),
        named("no", "30", was_cancelled=True),
    )
    table = read(tmp_path, task(late, early, cancelled), task(early, truth, late))
    names = [table.labels.names[label] for label in table.boxes.label]
    assert names == ["late", "truth"]
    (kind,) = table.losses.losses
    assert kind == "annotation of a task that has several was not used"
    assert table.losses.losses[kind].count == 3


def test_without_times_the_highest_id_counts(tmp_path: Path) -> None:
    several = [annotation(rectangle(name), id=number) for name, number in (("b", 9), ("a", 10))]
    assert read(tmp_path, task(*several)).labels.names == ("a",)


def test_predictions_and_drafts_are_no_labels(tmp_path: Path) -> None:
    predicted = [{"result": [rectangle()], "score": 0.9}]
    table = read(tmp_path, task(predictions=predicted, drafts=[annotation(rectangle())]))
    assert table.images.status.tolist() == [Status.UNLABELLED]
    assert len(table.boxes) == 0
    assert list(table.losses.losses) == [
        "predictions are no labels and were not read",
        "drafts are no labels and were not read",
    ]


def test_old_exports_call_annotations_completions(tmp_path: Path) -> None:
    old = {"id": 1, "data": {"image": "a.jpg"}, "completions": [annotation(rectangle())]}
    skipped = {**old, "completions": [{"id": 2, "skipped": True, "result": []}]}
    assert read(tmp_path, old, skipped).images.status.tolist() == [1, 2]


def test_tasks_that_are_none_are_skipped_and_listed(tmp_path: Path) -> None:
    table = read(tmp_path, 3, task(image=""), {**task(), "data": {"text": "hi"}}, task())
    assert table.images.line.tolist() == [4]
    assert table.losses.losses["task without an image was skipped"].count == 3


def test_other_data_of_a_task_are_attributes_of_its_image(tmp_path: Path) -> None:
    data = {"camera": 3, "photo": "b/c.JPG", "width": 40, "height": 30}
    table = read(tmp_path, {**task(annotation()), "data": data})
    assert table.images.file.tolist() == ["b/c.JPG"]
    assert table.images.attributes == {0: {"camera": 3}}
    assert (table.images.width.tolist(), table.images.height.tolist()) == ([40], [30])


def test_json_min_has_a_record_for_each_annotation(tmp_path: Path) -> None:
    region = {**RECTANGLE, "original_width": WIDTH, "original_height": HEIGHT}
    common: Json = {"annotator": 1, "created_at": "2026-01-01", "lead_time": 3.5}
    record: Json = {"image": "/data/upload/1/abcdef12-a.jpg", "id": 8, **common}
    boxed = {**region, "rectanglelabels": ["car"]}
    records = [
        {**record, "annotation_id": 1, "updated_at": "2026-01-05", "label": [boxed] * 2},
        {**record, "annotation_id": 2, "updated_at": "2026-01-04", "label": []},
        {**record, "id": 9, "annotation_id": 3, "updated_at": "2026", "weather": "rain"},
        {**record, "id": 10, "annotation_id": 4, "tags": {"choices": ["a", "b"]}},
    ]
    file = save(tmp_path / "min.json", records)
    assert labelstudio.recognise(file) == "a JSON-MIN list with an 'annotation_id' each"
    assert find_format(file).name == "labelstudio"
    table = labelstudio.read(Source(file))
    assert table.images.id.tolist() == [8, 9, 10]
    assert table.images.status.tolist() == [1, 1, 1]
    assert table.boxes.xyxy.tolist() == [BOX, BOX]
    assert table.boxes.image.tolist() == [0, 0]
    assert table.images.attributes[1] == {"weather": "rain"}
    assert table.images.attributes[2] == {"tags": ["a", "b"]}
    assert list(table.losses.losses) == ["annotation of a task that has several was not used"]


# names of images


@pytest.mark.parametrize(
    ("url", "file"),
    [
        ("/data/upload/1/abcdef12-my%20cat.jpg", "deep/my cat.jpg"),  # without its prefix
        ("/data/upload/abcdef12-kept.jpg", "abcdef12-kept.jpg"),  # with it
        ("http://localhost:8080/data/upload/1/0123abcd-one.png?x=1", "sub/one.png"),
        ("/data/local-files/?d=mnt/photos/sub/one.png", "sub/one.png"),
        ("/data/local-files/?d=mnt%5Cphotos%5Csub%5Cone.png", "sub/one.png"),
        ("s3://bucket/set/deep/my cat.jpg", "deep/my cat.jpg"),
        ("https://host/one.png", "sub/one.png"),  # in another folder, and there alone
        ("sub/one.png", "sub/one.png"),
        ("deep/my%20cat.jpg", "deep/my cat.jpg"),
        ("odd%20#name?.jpg", "odd%20#name?.jpg"),  # a plain path is no URL
        ("/data/upload/1/abcdef12-gone.jpg", "abcdef12-gone.jpg"),
        ("set/gone.jpg", "set/gone.jpg"),
        ("http://[bad/gone.jpg", "gone.jpg"),
    ],
)
def test_images_are_found_by_what_their_urls_say(tmp_path: Path, url: str, file: str) -> None:
    for name in ("deep/my cat.jpg", "sub/one.png", "abcdef12-kept.jpg", "odd%20#name?.jpg"):
        picture(tmp_path / "images" / name)
    export = save(tmp_path / "export.json", [task(annotation(), image=url)])
    table = labelstudio.read(Source(export, tmp_path / "images"))
    assert table.images.file.tolist() == [file]
    assert table.images.width.tolist() == [0 if "gone" in file else 30]
    assert list(table.losses) == []


def test_a_name_that_exists_as_it_stands_comes_before_its_reading_as_a_url(tmp_path: Path) -> None:
    for name in ("a%20b.jpg", "a b.jpg"):
        picture(tmp_path / name)
    table = read(tmp_path, task(annotation(), image="a%20b.jpg"))
    assert table.images.file.tolist() == ["a%20b.jpg"]


def test_a_name_that_several_files_have_is_listed_and_not_guessed(tmp_path: Path) -> None:
    for name in ("a/x.jpg", "b/x.jpg"):
        picture(tmp_path / name)
    table = read(tmp_path, task(annotation(), image="/data/upload/1/abcdef12-x.jpg"))
    assert table.images.file.tolist() == ["abcdef12-x.jpg"]
    assert list(table.losses.losses) == ["several files have the name of an image"]


@pytest.mark.parametrize("name", ["../secret.jpg", "x/../../secret.jpg"])
def test_a_name_that_leads_out_keeps_its_row_and_is_not_opened(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Path] = []

    def refuse(path: Path) -> None:
        opened.append(path)
        raise DataError("refused")

    picture(tmp_path / "secret.jpg")
    monkeypatch.setattr("rondel_detection.data.formats.files.read_header", refuse)
    table = read(tmp_path / "in", task(annotation(), image=name))
    assert table.images.file.tolist() == [name]
    assert opened == []
    table = read(tmp_path / "in", task(annotation(), image=f"/data/local-files/?d={name}"))
    assert table.images.file.tolist() == ["secret.jpg"]
    assert opened == [tmp_path / "in/secret.jpg"]


# files


def test_label_studio_is_recognised_by_its_tasks(tmp_path: Path) -> None:
    file = save(tmp_path / "export.json", [task()])
    assert labelstudio.recognise(file) == "a JSON list of tasks with 'annotations'"
    assert labelstudio.recognise(tmp_path).startswith("export.json: ")
    assert find_format(tmp_path).name == find_format(file).name == "labelstudio"
    single = save(tmp_path / "one/31.json", task(annotation(rectangle())))
    assert find_format(single).name == "labelstudio"
    assert labelstudio.read(Source(single)).boxes.xyxy.tolist() == [BOX]
    # a brush longer than what is looked at stands before the data
    long = task(annotation(result("brushlabels", rle=[0] * 90_000)))
    assert labelstudio.recognise(save(tmp_path / "long.json", [long]))
    others: list[Any] = [[], {}, [[1]], {"images": [], "annotations": []}, [{"name": "x"}]]
    for other in others:
        assert labelstudio.recognise(save(tmp_path / "other.json", other)) == ""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[{"id": 1,\n "annotations" [', ":2:16: is no JSON: Expecting ':' delimiter"),
        ("3", ":1:1: is no file of Label Studio: it is no list"),
    ],
)
def test_what_is_no_file_of_label_studio_is_an_error_with_line_and_column(
    tmp_path: Path, text: str, message: str
) -> None:
    file = tmp_path / "export.json"
    file.write_text(text)
    with pytest.raises(DataError) as caught:
        labelstudio.read(Source(file))
    assert f"{file}{message}" in str(caught.value)


# writing


def table_of(**image: Any) -> TableBuilder:
    builder = TableBuilder(Path("/nowhere"), "test")
    builder.add_image("x/a b.jpg", width=WIDTH, height=HEIGHT, **image)
    return builder


def test_the_writer_makes_what_label_studio_imports(tmp_path: Path) -> None:
    builder = table_of(id=31, attributes={"camera": 3})
    builder.add_box(0, (20, 10, 80, 30), 1, id="k1", occluded=True)
    builder.add_box(0, (0, 0, 100, 50), 0, id="k2", score=0.75)
    report = labelstudio.write(builder.build(LabelMap(("bus", "car"))), tmp_path / "out")
    kind = "box with a score became a prediction, which is no label"
    assert list(report.losses) == [kind]
    (made,) = json.loads((tmp_path / "out/tasks.json").read_text())
    assert made["id"] == 31
    assert made["data"] == {"image": "x/a b.jpg", "width": WIDTH, "height": HEIGHT, "camera": 3}
    (drawn,) = made["annotations"]
    assert (drawn["was_cancelled"], drawn["ground_truth"]) == (False, False)
    shape, flag = drawn["result"]
    assert shape == {
        "id": "k1",
        "type": "rectanglelabels",
        "from_name": "label",
        "to_name": "image",
        "original_width": WIDTH,
        "original_height": HEIGHT,
        "image_rotation": 0,
        "value": {**RECTANGLE, "rectanglelabels": ["car"]},
    }
    assert (flag["id"], flag["from_name"], flag["type"]) == ("k1", "occluded", "choices")
    assert flag["value"] == {"choices": ["true"]}
    (found,) = made["predictions"]
    assert (found["model_version"], found["score"]) == ("rondel", 0.75)
    assert found["result"][0]["score"] == 0.75
    assert found["result"][0]["value"]["rectanglelabels"] == ["bus"]


def test_the_labelling_interface_offers_classes_and_questions(tmp_path: Path) -> None:
    builder = table_of()
    said = {"colour": "red", "n": 3, "wet": True}
    builder.add_box(0, (0, 0, 1, 1), 0, truncated=True, attributes=said)
    builder.add_box(0, (0, 0, 1, 1), 1, attributes={"colour": "blue"})
    labelstudio.write(builder.build(LabelMap(("b <1>", "a", "never"))), tmp_path / "out.json")
    view = ElementTree.parse(tmp_path / "label_config.xml").getroot()
    assert view.tag == "View"
    assert [child.tag for child in view][:3] == ["Image", "RectangleLabels", "PolygonLabels"]
    for control in list(view)[1:3]:
        assert [label.attrib["value"] for label in control] == ["b <1>", "a", "never"]
    questions = {child.attrib["name"]: child for child in list(view)[3:]}
    assert {name: child.tag for name, child in questions.items()} == {
        "truncated": "Choices",
        "colour": "Choices",
        "n": "Number",
        "wet": "Choices",
    }
    offered = [choice.attrib["value"] for choice in questions["colour"]]
    assert offered == ["red", "blue"]
    assert all(child.attrib["perRegion"] == "true" for child in questions.values())
    # and it gives the classes their order when the tasks are read
    assert labelstudio.read(Source(tmp_path / "out.json")).labels.names == ("b <1>", "a", "never")


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    triangle = np.array([[0.1, 0.2], [10.3, 0.2], [10.3, 10.7]])
    builder = table_of(id="t-1", attributes={"weather": ["a", 1]})
    said = {"f": 2.5, "n": -3, "ok": False, "s": "x\ny", "many": ["p", "q"], "meta": {"text": 1}}
    outline = Outline((triangle,))
    box = (0.1, 0.2, 10.3, 10.7)
    builder.add_box(0, box, 0, id=7, attributes=said, outline=outline, area=53.55, crowd=True)
    builder.add_box(0, (1 / 3, 2, 0, 1), 1, id="k", difficult=True, truncated=True)
    table = builder.build(LabelMap(("b", "a")))
    assert list(labelstudio.write(table, tmp_path / "out")) == []
    again = labelstudio.read(Source(tmp_path / "out"))
    np.testing.assert_allclose(again.boxes.xyxy, table.boxes.xyxy, rtol=1e-12)
    np.testing.assert_allclose(again.boxes.outline[0].polygons[0], triangle, rtol=1e-12)
    assert again.boxes.attributes == table.boxes.attributes
    assert again.boxes.id.tolist() == [7, "k"]
    assert again.images.id.tolist() == ["t-1"]
    assert again.images.attributes == table.images.attributes
    assert again.labels == table.labels
    for flag in ("crowd", "difficult", "truncated", "occluded"):
        assert getattr(again.boxes, flag).tolist() == getattr(table.boxes, flag).tolist()


def test_many_different_texts_are_no_choice(tmp_path: Path) -> None:
    builder = table_of()
    for number in range(21):
        builder.add_box(0, (0, 0, 1, 1), 0, attributes={"note": f"text {number}"})
    table = builder.build(LabelMap(("a",)))
    assert list(labelstudio.write(table, tmp_path)) == []
    assert "<TextArea" in (tmp_path / "label_config.xml").read_text()
    assert labelstudio.read(Source(tmp_path)).boxes.attributes == table.boxes.attributes


def test_status_survives(tmp_path: Path) -> None:
    builder = TableBuilder(tmp_path, "test")
    for name, status in (("a", 1), ("b", 0), ("c", 2), ("d", 0), ("e", 0), ("f", 1)):
        builder.add_image(f"{name}.jpg", width=4, height=4, status=Status(status))
    builder.add_box(2, (0, 0, 1, 1), 0)
    builder.add_box(3, (0, 0, 1, 1), 0)
    builder.add_box(4, (0, 0, 1, 1), 0, score=0.5)
    builder.add_box(5, (0, 0, 1, 1), 0, score=0.5)
    report = labelstudio.write(builder.build(LabelMap(("a",))), tmp_path / "out")
    again = labelstudio.read(Source(tmp_path / "out"))
    assert again.images.status.tolist() == [1, 0, 2, 1, 0, 0]
    assert again.images.width.tolist() == [4] * 6
    assert again.boxes.image.tolist() == [2, 3]
    assert {kind: loss.count for kind, loss in report.losses.items()} == {
        "unlabelled image with boxes became a labelled one": 1,
        "box with a score became a prediction, which is no label": 2,
        "image with nothing but predictions is not labelled yet": 1,
    }


def test_what_the_writer_cannot_keep_is_listed(tmp_path: Path) -> None:
    part = np.array([[0.0, 0.0], [2.0, 0.0], [2.0, 2.0]])
    builder = table_of(split="val", attributes={"width": 3})
    builder.add_image("unknown.jpg")
    builder.add_box(0, (0, 0, 5, 5), 0, id="5", outline=Outline((part, part)))
    builder.add_box(0, (0, 0, 5, 5), 0, id=5, outline=Outline(counts=(3,)), area=3.0)
    builder.add_box(0, (0, 0, math.nan, 5), 0)
    builder.add_box(1, (0, 0, 1, 1), 0)
    odd = {"label": "x", "none": None, "t": "true", "crowd": "big", "occluded": False}
    builder.add_box(0, (0, 0, 1, 1), 0, crowd=True, attributes=odd)
    report = labelstudio.write(builder.build(LabelMap(("a",), (9,), {0: "g"})), tmp_path)
    assert {kind: loss.count for kind, loss in report.losses.items()} == {
        "split of an image was not kept": 1,
        "id of a class was not kept": 1,
        "supercategory of a class was not kept": 1,
        "box that is not finite was not written": 1,
        "annotation id became a number": 1,
        "annotation id was not kept": 1,
        "outline that is no single polygon was not kept": 2,
        "attribute 'crowd' gives way to the flag of that name": 1,
        "attribute 'occluded' gives way to the flag of that name": 1,
        "attribute 'label' of an annotation was not kept": 1,
        "attribute 'none' of an annotation was not kept": 1,
        "attribute 't' of an annotation was not kept": 1,
        "attribute 'width' of an image was not kept": 1,
        "box in an image of unknown size was not written": 1,
        "area of an object was not kept": 1,
    }
    again = labelstudio.read(Source(tmp_path))
    assert again.boxes.id.tolist() == [5, "5_1", 4]
