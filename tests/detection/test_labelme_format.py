"""LabelMe: files as the tool writes them, every shape, and every trap."""

from __future__ import annotations

import base64
import io
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from rondel.errors import DataError, UsageError
from rondel_detection.data.formats import labelme
from rondel_detection.data.formats.format import Source, find_format
from rondel_detection.data.geometry import bitmap_counts
from rondel_detection.data.labels import LabelMap
from rondel_detection.data.table import Annotations, Outline, Status, TableBuilder

Json = dict[str, Any]


def shape(label: str, points: Any, kind: str = "rectangle", **more: Any) -> Json:
    """A shape as LabelMe 5.5 writes it."""
    common: Json = {
        "group_id": None,
        "description": "",
        "shape_type": kind,
        "flags": {},
        "mask": None,
    }
    return {"label": label, "points": points, **common, **more}


def document(*shapes: Json, **more: Any) -> Json:
    """A file as LabelMe 5.5 writes it."""
    return {
        "version": "5.5.0",
        "flags": {},
        "shapes": list(shapes),
        "imagePath": "a.jpg",
        "imageData": None,
        "imageHeight": 40,
        "imageWidth": 60,
        **more,
    }


def save(path: Path, content: Json) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, ensure_ascii=False, indent=2), encoding="utf-8")
    return path


def picture(path: Path, width: int = 60, height: int = 40, orientation: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    made = Image.new("RGB", (width, height))
    exif = made.getexif()
    if orientation:
        exif[0x0112] = orientation
    made.save(path, exif=exif)
    return path


def read(tmp_path: Path, *shapes: Json, **more: Any) -> Annotations:
    """Read one file with these shapes."""
    return labelme.read(Source(save(tmp_path / "a.json", document(*shapes, **more))))


def png(mask: list[list[int]]) -> str:
    file = io.BytesIO()
    Image.fromarray(np.array(mask, dtype=np.uint8)).save(file, format="PNG")
    return base64.b64encode(file.getvalue()).decode()


def boxes(table: Annotations) -> list[list[float]]:
    found: list[list[float]] = table.boxes.xyxy.tolist()
    return found


@pytest.mark.parametrize(
    "corners",
    [
        [[10, 5], [30, 25]],
        [[30, 25], [10, 5]],
        [[10, 25], [30, 5]],
        [[30, 5], [10, 25]],
        [[10, 5], [30, 5], [30, 25], [10, 25]],  # as X-AnyLabeling writes it
    ],
)
def test_a_rectangle_is_one_box_whatever_corner_came_first(
    tmp_path: Path, corners: list[list[float]]
) -> None:
    table = read(tmp_path, shape("cat", corners))
    assert boxes(table) == [[10, 5, 30, 25]]
    assert list(table.losses) == []


def test_every_row_knows_its_file_and_its_place_in_it(tmp_path: Path) -> None:
    square = [[1.0, 1.0], [2.0, 2.0]]
    save(tmp_path / "b" / "a.json", document(shape("cat", square), shape("dog", square)))
    table = labelme.read(Source(tmp_path))
    assert table.images.file.tolist() == ["b/a.jpg"]
    assert table.files == ("b/a.json",)
    assert table.boxes.line.tolist() == [1, 2]
    assert table.box_place(1) == "b/a.json:2: annotation 1 (image 'b/a.jpg')"
    assert table.image_place(0) == "b/a.json:1 (image 'b/a.jpg')"


def test_a_polygon_keeps_its_outline_and_its_area(tmp_path: Path) -> None:
    table = read(tmp_path, shape("cat", [[10, 10], [20, 10], [10.5, 30.25]], "polygon"))
    assert boxes(table) == [[10, 10, 20, 30.25]]
    assert table.boxes.area.tolist() == [10 * 20.25 / 2]
    assert table.boxes.outline[0].polygons[0].tolist() == [[10, 10], [20, 10], [10.5, 30.25]]
    assert list(table.losses) == []


def test_files_before_version_4_have_no_type_and_mean_polygons(tmp_path: Path) -> None:
    old = {"label": "cat", "points": [[1, 1], [5, 1], [5, 9]], "line_color": None}
    content = {"shapes": [old], "lineColor": [0, 255, 0, 128], "imagePath": "a.jpg"}
    table = labelme.read(Source(save(tmp_path / "a.json", content)))
    assert boxes(table) == [[1, 1, 5, 9]]


def test_a_circle_is_its_centre_and_a_point_on_its_rim(tmp_path: Path) -> None:
    table = read(tmp_path, shape("cat", [[20, 20], [23, 24]], "circle"))
    assert boxes(table) == [[15, 15, 25, 25]]
    assert math.isclose(table.boxes.area[0], 25 * math.pi)
    assert list(table.losses) == ["1 x circle became its enclosing box (first: a.json: shape 1)"]


@pytest.mark.parametrize("kind", ["oriented_rectangle", "rotation"])
def test_an_oriented_rectangle_keeps_its_corners_as_outline(tmp_path: Path, kind: str) -> None:
    corners = [[20, 5], [35, 20], [30, 25], [15, 10]]
    table = read(tmp_path, shape("cat", corners, kind))
    assert boxes(table) == [[15, 5, 35, 25]]
    assert table.boxes.area.tolist() == [150]
    assert table.boxes.outline[0].polygons[0].tolist() == corners
    kinds = ["rotated rectangle became its enclosing box, with its corners as outline"]
    assert list(table.losses.losses) == kinds


def test_a_mask_stands_at_the_first_of_its_two_points(tmp_path: Path) -> None:
    window = [[0, 1, 1, 0], [0, 1, 0, 0], [0, 0, 0, 0]]
    # the second point is the last pixel of the window, inclusive
    table = read(tmp_path, shape("cat", [[10, 20], [13, 22]], "mask", mask=png(window)))
    assert boxes(table) == [[11, 20, 13, 22]]
    assert table.boxes.area.tolist() == [3]
    whole = np.zeros((40, 60), dtype=bool)
    whole[20:23, 10:14] = window
    assert table.boxes.outline[0].counts == bitmap_counts(whole)


def test_a_mask_that_was_rounded_apart_keeps_the_extent_of_its_pixels(tmp_path: Path) -> None:
    table = read(tmp_path, shape("cat", [[9.7, 19.6], [13, 21]], "mask", mask=png([[1, 1]])))
    assert boxes(table) == [[10, 20, 12, 21]]


@pytest.mark.parametrize(
    ("defective", "loss"),
    [
        (shape("cat", [[0, 0]], "mask", mask="!!"), "mask that is no PNG was dropped"),
        (shape("cat", [[0, 0]], "mask", mask="A"), "mask that is no base64 was dropped"),
        (shape("cat", [[0, 0]], "mask"), "mask that is no base64 was dropped"),
        (shape("cat", [[0, 0]], "mask", mask=png([[0]])), "mask without a pixel was dropped"),
        (shape("cat", [[3, 3]], "point"), "point has no area and was dropped"),
        (shape("cat", [[3, 3], [4, 4]], "points"), "point has no area and was dropped"),
        (shape("cat", [[3, 3], [9, 9]], "line"), "line has no area and was dropped"),
        (shape("cat", [[3, 3], [9, 9]], "linestrip"), "line has no area and was dropped"),
        (shape("cat", [[3, 3]]), "rectangle of fewer than 2 points was dropped"),
        (shape("cat", [[3, 3], [4, 4]], "polygon"), "polygon of fewer than 3 points was dropped"),
        (shape("cat", [[3, 3]], "circle"), "circle of fewer than 2 points was dropped"),
        (shape("cat", []), "rectangle of fewer than 2 points was dropped"),
        (shape("cat", [[3], [4, 4]]), "rectangle without finite coordinates was dropped"),
        (shape("cat", [[3, math.nan], [4, 4]]), "rectangle without finite coordinates was dropped"),
        (shape("cat", [[3, 1e300], [4, 4]], "circle"), "circle without finite coordinates was dropped"),
        (shape("cat", [[True, 1], [4, 4]]), "rectangle without finite coordinates was dropped"),
        (shape("cat", [[3, None], [4, 4]]), "rectangle without finite coordinates was dropped"),
        (shape("cat", "no"), "rectangle of fewer than 2 points was dropped"),
        (shape("cat", [[3, 3], [9, 9]], "star"), "shape of the unknown type 'star' was dropped"),
        (shape("", [[3, 3], [9, 9]]), "shape without a label was dropped"),
        ({"points": [[3, 3], [9, 9]], "shape_type": "rectangle"}, "shape without a label was dropped"),
        (shape("_background_", [[3, 3], [9, 9]]), "shape labelled '_background_' was dropped"),
        (["cat"], "shape that is no JSON object was dropped"),
        (None, "shape that is no JSON object was dropped"),
    ],
)  # fmt: skip
def test_what_has_no_box_is_dropped_and_listed_and_the_rest_is_kept(
    tmp_path: Path, defective: Any, loss: str
) -> None:
    table = read(tmp_path, defective, shape("dog", [[1, 1], [2, 2]]))
    assert boxes(table) == [[1, 1, 2, 2]]
    assert table.labels.names == ("dog",)
    assert list(table.losses) == [f"1 x {loss} (first: a.json: shape 1)"]


def test_a_mask_with_too_many_pixels_is_not_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rondel_detection.data.formats.png_mask.MAX_PIXELS", 5)
    table = read(tmp_path, shape("cat", [[0, 0]], "mask", mask=png([[1] * 6])))
    assert list(table.losses.losses) == ["mask of more than 5 pixels was dropped"]


def test_a_mask_that_leaves_the_image_becomes_its_box(tmp_path: Path) -> None:
    table = read(tmp_path, shape("cat", [[59, 0]], "mask", mask=png([[1, 1]])))
    assert boxes(table) == [[59, 0, 61, 1]]
    assert 0 not in table.boxes.outline
    assert list(table.losses.losses) == ["mask that leaves the image became its box"]


@pytest.mark.parametrize("size", [None, 0, -3, 10**30, 1.5e9, math.nan, True, "60"])
def test_a_size_that_cannot_be_is_not_known(tmp_path: Path, size: Any) -> None:
    masked = shape("cat", [[3, 4]], "mask", mask=png([[1, 1]]))
    table = read(tmp_path, masked, imageWidth=size, imageHeight=size)
    assert table.boxes.xyxy.tolist() == [[3, 4, 5, 5]]
    assert list(table.losses.losses) == ["mask in an image of unknown size became its box"]


def test_group_id_joins_the_parts_of_one_object(tmp_path: Path) -> None:
    table = read(
        tmp_path,
        shape("cat", [[0, 0], [10, 10]], group_id=7),
        shape("dog", [[1, 1], [2, 2]], group_id=7),  # another class is another object
        shape("cat", [[20, 5], [30, 5], [30, 25]], "polygon", group_id=7),
        shape("cat", [[50, 5], [55, 9]], group_id=8),
    )
    assert boxes(table) == [[0, 0, 30, 25], [1, 1, 2, 2], [50, 5, 55, 9]]
    assert [part.tolist() for part in table.boxes.outline[0].polygons] == [
        [[0, 0], [10, 0], [10, 10], [0, 10]],
        [[20, 5], [30, 5], [30, 25]],
    ]
    assert table.boxes.area[0] == 200
    assert list(table.losses) == [
        "1 x shapes of one group_id became one object (first: a.json: shape 1)"
    ]
    assert table.boxes.attributes == {1: {"group_id": 7}, 2: {"group_id": 8}}


def test_a_group_with_a_circle_becomes_one_box_without_an_outline(tmp_path: Path) -> None:
    table = read(
        tmp_path,
        shape("cat", [[0, 0], [10, 10]], group_id=1),
        shape("cat", [[20, 20], [20, 25]], "circle", group_id=1),
    )
    assert boxes(table) == [[0, 0, 25, 25]]
    assert 0 not in table.boxes.outline
    assert "object of several parts became one box without an outline" in table.losses.losses


def test_an_ignored_region_is_a_crowd_box_of_each_class(tmp_path: Path) -> None:
    table = read(
        tmp_path,
        shape("__ignore__", [[0, 0], [10, 10]]),
        shape("dog", [[1, 1], [2, 2]]),
        shape("cat", [[1, 1], [2, 2]]),
    )
    assert table.labels.names == ("cat", "dog")
    crowd = table.boxes.crowd
    assert table.boxes.xyxy[crowd].tolist() == [[0, 0, 10, 10]] * 2
    assert sorted(table.boxes.label[crowd].tolist()) == [0, 1]
    kinds = ["region labelled '__ignore__' became a crowd box of each class"]
    assert list(table.losses.losses) == kinds


def test_flags_description_and_unknown_keys_are_kept_as_attributes(tmp_path: Path) -> None:
    flags = {"occluded": True, "truncated": False, "wet": True, "old": False}
    more: Json = {"score": 0.5, "difficult": True, "kie_linking": [1], "attributes": {"age": 3}}
    made = shape("cat", [[0, 0], [9, 9]], flags=flags, description="left one", **more)
    table = read(tmp_path, made, flags={"night": True, "rain": False}, note="x")
    assert table.boxes.attributes[0] == {
        "wet": True,
        "old": False,
        "description": "left one",
        "kie_linking": [1],
        "age": 3,
    }
    row = table.boxes
    assert (row.occluded[0], row.truncated[0], row.difficult[0]) == (True, False, True)
    assert row.score.tolist() == [0.5]
    assert table.images.attributes[0] == {"night": True, "rain": False, "note": "x"}


def test_no_shapes_means_empty_and_no_file_means_unlabelled(tmp_path: Path) -> None:
    for name in ("a.jpg", "sub/b.jpg", "c.png"):
        picture(tmp_path / name)
    save(tmp_path / "a.json", document())
    save(tmp_path / "sub/b.json", document(shape("cat", [[0, 0], [1, 1]]), imagePath="b.jpg"))
    table = labelme.read(Source(tmp_path))
    status = dict(zip(table.images.file, table.images.status, strict=True))
    assert status == {
        "a.jpg": Status.LABELLED,
        "sub/b.jpg": Status.LABELLED,
        "c.png": Status.UNLABELLED,
    }
    assert (table.images.width.tolist(), table.images.height.tolist()) == ([60] * 3, [40] * 3)
    assert table.image_place(2) == "image 'c.png'"


def test_a_single_file_says_nothing_of_its_neighbours(tmp_path: Path) -> None:
    picture(tmp_path / "other.jpg")
    assert len(read(tmp_path).images) == 1


def test_backslashes_and_folders_of_images_are_understood(tmp_path: Path) -> None:
    picture(tmp_path / "images/x/a.jpg")
    file = save(tmp_path / "labels/a.json", document(imagePath="..\\images\\x\\a.jpg"))
    table = labelme.read(Source(file.parent, tmp_path / "images"))
    assert table.images.file.tolist() == ["x/a.jpg"]
    assert list(table.losses) == []


def test_labels_in_a_mirrored_folder_find_their_images(tmp_path: Path) -> None:
    picture(tmp_path / "images/x/a.jpg")
    save(tmp_path / "labels/x/a.json", document())
    table = labelme.read(Source(tmp_path / "labels", tmp_path / "images"))
    assert table.images.file.tolist() == ["x/a.jpg"]
    assert list(table.losses) == []


@pytest.mark.parametrize("stale", ["C:\\Users\\me\\a.jpg", "/home/me/a.jpg", "../old/a.jpg"])
def test_a_stale_path_gives_way_to_the_image_of_that_name(tmp_path: Path, stale: str) -> None:
    picture(tmp_path / "sub/a.jpg")
    save(tmp_path / "a.json", document(imagePath=stale))
    table = labelme.read(Source(tmp_path))
    assert table.images.file.tolist() == ["sub/a.jpg"]
    assert list(table.losses) == [
        "1 x imagePath does not lead to the image, which was found by its name (first: a.json)"
    ]


@pytest.mark.parametrize("name", ["../secret.jpg", "/etc/secret.jpg", "C:/secret.jpg"])
def test_a_name_that_leads_out_keeps_its_row_and_is_not_opened(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> None:
        raise AssertionError(path)

    monkeypatch.setattr("rondel_detection.data.formats.files.read_header", refuse)
    picture(tmp_path / "secret.jpg")
    sizes = {"imageHeight": None, "imageWidth": None}
    save(tmp_path / "in/a.json", document(imagePath=name, **sizes))
    table = labelme.read(Source(tmp_path / "in"))
    assert table.images.file.tolist() == [name]
    assert table.images.width.tolist() == [0]


def test_a_missing_image_stays_inside_of_the_json_file(tmp_path: Path) -> None:
    table = read(tmp_path, imageData="aGVsbG8=")
    assert list(tmp_path.iterdir()) == [tmp_path / "a.json"]
    (line,) = table.losses
    assert line == (
        "1 x image that is missing stands in the JSON file only, and was not unpacked"
        " (first: a.json)"
    )
    picture(tmp_path / "a.jpg")
    assert list(read(tmp_path, imageData="aGVsbG8=").losses) == []


def test_the_size_comes_from_the_header_after_its_rotation_if_the_file_lacks_it(
    tmp_path: Path,
) -> None:
    picture(tmp_path / "a.jpg", 60, 40, orientation=6)
    lacking = {"imageHeight": None, "imageWidth": None}
    images = read(tmp_path, **lacking).images
    assert (images.width.tolist(), images.height.tolist()) == ([40], [60])
    # LabelMe labels the rotated picture, so its own numbers are right as they are
    images = read(tmp_path, imageWidth=40, imageHeight=60).images
    assert (images.width.tolist(), images.height.tolist()) == ([40], [60])


def test_classes_are_sorted_unless_labels_txt_orders_them(tmp_path: Path) -> None:
    square = [[1.0, 1.0], [2.0, 2.0]]
    save(tmp_path / "a.json", document(shape("dog", square), shape("cat", square)))
    assert labelme.read(Source(tmp_path)).labels.names == ("cat", "dog")
    listed = tmp_path / "labels.txt"
    listed.write_text("__ignore__\n_background_\ndog\ncow\ncat\n")
    table = labelme.read(Source(tmp_path))
    assert table.labels.names == ("dog", "cow", "cat")
    assert table.boxes.label.tolist() == [0, 2]
    listed.write_text("dog\ncow\n")
    table = labelme.read(Source(tmp_path))
    assert table.labels.names == ("cat", "dog")
    assert list(table.losses) == [
        "1 x list of classes that lacks some of them was not used (first: labels.txt)"
    ]


def test_labelme_is_recognised_by_its_keys(tmp_path: Path) -> None:
    file = save(tmp_path / "deep/a.json", document())
    assert labelme.recognise(file) == "a JSON object with 'shapes' of one image"
    assert labelme.recognise(tmp_path).startswith("deep/a.json: ")
    assert find_format(tmp_path).name == find_format(file).name == "labelme"
    # a file that begins with the picture itself, longer than what is looked at
    first = {"imageData": "A" * 200_000, **document()}
    assert labelme.recognise(save(tmp_path / "b.json", first))
    others: list[Any] = [{"images": [], "annotations": []}, {"shapes": 1}, [document()]]
    for other in others:
        assert labelme.recognise(save(tmp_path / "c.json", other)) == ""
    assert labelme.recognise(tmp_path / "missing.json") == ""


def test_other_json_files_in_the_folder_are_listed(tmp_path: Path) -> None:
    save(tmp_path / "a.json", document())
    save(tmp_path / "config.json", {"epochs": 3})
    save(tmp_path / ".hidden/a.json", document())
    table = labelme.read(Source(tmp_path))
    assert table.files == ("a.json",)
    assert list(table.losses) == [
        "1 x JSON file that is not LabelMe's was skipped (first: config.json)"
    ]


def test_a_file_that_is_cut_off_is_an_error_with_its_line_and_column(tmp_path: Path) -> None:
    text = json.dumps(document(shape("cat", [[0, 0], [1, 1]])), indent=2)
    (tmp_path / "a.json").write_text(text[:120])
    with pytest.raises(DataError) as caught:
        labelme.read(Source(tmp_path))
    line = text[:120].count("\n") + 1
    assert str(caught.value).startswith(f"{tmp_path}/a.json:{line}:")
    assert "is no JSON:" in str(caught.value)
    assert str(caught.value).endswith("The file is damaged or cut off: export it again.")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xff\xfe\xfa", "is no JSON: the byte 0x"),
        (b"PK\x03\x04rest", "is a .zip file. Unpack it first, then name the folder."),
        (b"[1, 2]", "is no file of LabelMe: it has no list of 'shapes'"),
        (b'{"shapes": 3}', "is no file of LabelMe: it has no list of 'shapes'"),
        (b"[" * 100_000, "is no JSON that can be read"),
        (b"1" * 5000, "is no JSON that can be read"),
    ],
)
def test_what_is_no_labelme_file_is_an_error_that_names_it(
    tmp_path: Path, content: bytes, message: str
) -> None:
    file = tmp_path / "a.json"
    file.write_bytes(content)
    with pytest.raises(DataError) as caught:
        labelme.read(Source(file))
    assert str(caught.value).startswith(str(file))
    assert message in str(caught.value)


def test_a_folder_without_labels_and_a_missing_one_are_errors(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no JSON file of LabelMe"):
        labelme.read(Source(tmp_path))
    with pytest.raises(DataError, match="there is no such file or folder"):
        labelme.read(Source(tmp_path / "none"))


# writing


def table_of(root: Path, *, split: str = "") -> TableBuilder:
    builder = TableBuilder(root, "test")
    builder.add_image("x/a.jpg", width=60, height=40, split=split)
    return builder


def written(folder: Path, name: str) -> Json:
    content: Json = json.loads((folder / name).read_text(encoding="utf-8"))
    return content


def test_the_writer_makes_what_labelme_opens(tmp_path: Path) -> None:
    builder = table_of(tmp_path / "images")
    builder.add_box(0, (1.5, 2.0, 30.0, 20.25), 0, occluded=True, attributes={"wet": True})
    report = labelme.write(builder.build(LabelMap(("cat",))), tmp_path / "out")
    assert list(report) == []
    assert written(tmp_path / "out", "x/a.json") == {
        "version": "5.5.0",
        "flags": {},
        "shapes": [
            {
                "label": "cat",
                "points": [[1.5, 2.0], [30.0, 20.25]],
                "shape_type": "rectangle",
                "group_id": None,
                "description": "",
                "flags": {"occluded": True, "wet": True},
            }
        ],
        "imagePath": "../../images/x/a.jpg",
        "imageData": None,
        "imageHeight": 40,
        "imageWidth": 60,
    }
    assert (tmp_path / "out/labels.txt").read_text() == "__ignore__\n_background_\ncat\n"


def test_flags_are_bools_and_descriptions_text_as_labelme_asserts(tmp_path: Path) -> None:
    builder = table_of(tmp_path)
    builder.add_box(0, (0, 0, 1, 1), 0, attributes={"n": 3, "description": 5, "ok": False})
    builder.add_box(0, (0, 0, 1, 1), 0, attributes={"description": "left", "group_id": 4})
    labelme.write(builder.build(LabelMap(("cat",))), tmp_path / "out")
    first, second = written(tmp_path / "out", "x/a.json")["shapes"]
    assert (first["flags"], first["description"], first["group_id"]) == ({"ok": False}, "", None)
    assert first["attributes"] == {"n": 3, "description": 5}
    assert (second["description"], second["group_id"]) == ("left", 4)


@pytest.mark.parametrize("description", [True, "", "left", 5, None])
def test_attributes_named_like_a_key_of_labelme_come_back_as_they_were(
    tmp_path: Path, description: Any
) -> None:
    builder = table_of(tmp_path)
    said = {"description": description, "occluded": False, "label": "x", "points": [1]}
    builder.add_box(0, (0, 0, 1, 1), 0, attributes=said)
    assert list(labelme.write(builder.build(LabelMap(("cat",))), tmp_path / "out")) == []
    again = labelme.read(Source(tmp_path / "out", tmp_path))
    assert again.boxes.attributes == {0: said}
    assert not again.boxes.occluded[0]


def test_predictions_keep_their_scores_through_the_tool(tmp_path: Path) -> None:
    builder = table_of(tmp_path)
    builder.add_box(0, (0, 0, 10, 10), 0, score=0.75)
    table = builder.build(LabelMap(("cat",)))
    assert list(labelme.write(table, tmp_path / "out")) == []
    # the tool writes keys that it does not know back as they were
    again = labelme.read(Source(tmp_path / "out", tmp_path))
    assert again.boxes.score.tolist() == [0.75]


def test_outlines_come_back_as_polygons_groups_and_masks(tmp_path: Path) -> None:
    triangle = np.array([[0.0, 0.0], [10.0, 0.0], [10.0, 10.0]])
    mask = np.zeros((40, 60), dtype=bool)
    mask[5:8, 50:52] = [[1, 1], [0, 1], [1, 0]]
    builder = table_of(tmp_path)
    outlines = [
        ((0, 0, 10, 10), Outline((triangle,)), 50),
        ((0, 0, 30, 10), Outline((triangle, triangle + np.array([20, 0]))), 100),
        ((50, 5, 52, 8), Outline(counts=bitmap_counts(mask)), 4),
    ]
    for box, outline, area in outlines:
        builder.add_box(0, box, 0, outline=outline, area=area)
    table = builder.build(LabelMap(("cat",)))
    assert list(labelme.write(table, tmp_path / "out")) == []
    shapes = written(tmp_path / "out", "x/a.json")["shapes"]
    assert [part["shape_type"] for part in shapes] == ["polygon"] * 3 + ["mask"]
    assert [part["group_id"] for part in shapes] == [None, 1, 1, None]
    assert shapes[3]["points"] == [[50, 5], [51, 7]]
    again = labelme.read(Source(tmp_path / "out", tmp_path))
    assert again.boxes.xyxy.tolist() == table.boxes.xyxy.tolist()
    assert again.boxes.area.tolist() == table.boxes.area.tolist()
    for row in range(3):
        mine, theirs = table.boxes.outline[row], again.boxes.outline[row]
        assert mine.counts == theirs.counts
        assert [p.tolist() for p in mine.polygons] == [p.tolist() for p in theirs.polygons]


def test_what_the_writer_cannot_keep_is_listed(tmp_path: Path) -> None:
    builder = table_of(tmp_path, split="train")
    far = Outline((np.array([[0.0, 0.0], [9.0, 0.0], [9.0, 9.0]]),))
    near = Outline((np.array([[0.0, 0.0], [4.8, 0.0], [4.8, 4.8]]),))
    builder.add_box(0, (0, 0, 5, 5), 0, id=42, outline=far)
    builder.add_box(0, (0, 0, 5, 5), 0, outline=near, area=1.0)
    builder.add_box(0, (5, 5, 0, 0), 0, area=7.0)
    builder.add_box(0, (math.nan, 0, 1, 1), 1)
    builder.add_box(0, (0, 0, 1, 1), 1, attributes={"group_id": 2})
    builder.add_box(0, (0, 0, 1, 1), 1, attributes={"group_id": 2})
    builder.add_box(0, (0, 0, 1, 1), 2)
    table = builder.build(LabelMap(("cat", "dog", "__ignore__"), (3, 2, 1), {0: "pet"}))
    report = labelme.write(table, tmp_path / "out")
    assert {kind: loss.count for kind, loss in report.losses.items()} == {
        "split of an image was not kept": 1,
        "annotation id was not kept": 1,
        "id of a class was not kept": 2,
        "supercategory of a class was not kept": 1,
        "box that is not finite was not written": 1,
        "box of the class '__ignore__', which means something else, was not written": 1,
        "outline that does not fit its box was left out": 1,
        "box moved to the bounds of its outline, by less than a pixel": 1,
        "corners of a box were put in order": 1,
        "group_id of an object was not kept": 1,
        "area of an object was not kept": 2,
    }


def test_status_survives_by_the_absence_of_a_file_and_by_a_flag(tmp_path: Path) -> None:
    builder = TableBuilder(tmp_path / "images", "test")
    for name, status in (("a", 1), ("b", 0), ("c", 2), ("d", 0), ("e", 0)):
        if name != "e":
            picture(tmp_path / f"images/{name}.jpg")
        builder.add_image(f"{name}.jpg", width=60, height=40, status=Status(status))
    builder.add_box(3, (0, 0, 1, 1), 0, score=0.5)
    table = builder.build(LabelMap(("cat",)))
    report = labelme.write(table, tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").glob("*.json")) == [
        "a.json",
        "c.json",
        "d.json",
    ]
    assert list(report.losses) == [
        "unlabelled image with boxes became a labelled one",
        "unlabelled image is not there and was not written",
    ]
    again = labelme.read(Source(tmp_path / "out", tmp_path / "images"))
    status_of = dict(zip(again.images.file, again.images.status.tolist(), strict=True))
    assert status_of == {"a.jpg": 1, "b.jpg": 0, "c.jpg": 2, "d.jpg": 1}


def test_images_that_differ_by_their_suffix_do_not_share_a_file(tmp_path: Path) -> None:
    builder = TableBuilder(tmp_path, "test")
    for name in ("a.jpg", "a.png", "../a.jpg", "bad\0name.jpg"):
        builder.add_image(name, width=4, height=4)
    report = labelme.write(builder.build(LabelMap(())), tmp_path / "out")
    found = sorted(path.name for path in (tmp_path / "out").glob("*.json"))
    assert found == ["a.jpg.json", "a.json", "a.png.json", "bad_name.json"]
    (kind,) = report.losses
    assert kind == (
        "two images have one name but for the suffix: LabelMe does not find the JSON file of"
        " the second"
    )
    again = labelme.read(Source(tmp_path / "out", tmp_path))
    assert set(again.images.file) == {"a.jpg", "a.png", "../a.jpg", "bad\0name.jpg"}


def test_one_file_is_for_one_image(tmp_path: Path) -> None:
    builder = TableBuilder(tmp_path, "test")
    builder.add_image("a.jpg", width=4, height=4)
    table = builder.build(LabelMap(("dog", "cat")))
    report = labelme.write(table, tmp_path / "out.json")
    assert written(tmp_path, "out.json")["imagePath"] == "a.jpg"
    assert list(report) == ["1 x order of the classes, and those without a box, were not kept"]
    builder.add_image("b.jpg")
    with pytest.raises(UsageError) as caught:
        labelme.write(builder.build(LabelMap(())), tmp_path / "out.json")
    assert str(caught.value) == (
        f"{tmp_path}/out.json: LabelMe keeps one JSON file per image, and there are 2."
        " Name a folder."
    )


def test_a_folder_that_cannot_be_made_is_a_usage_error(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("in the way")
    with pytest.raises(UsageError, match="the folder cannot be made"):
        labelme.write(table_of(tmp_path).build(LabelMap(())), tmp_path / "out")
