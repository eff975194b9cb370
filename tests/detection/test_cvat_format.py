"""CVAT XML: exports as the tool writes them, every shape, and every trap."""

from __future__ import annotations

import math
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from defusedxml import ElementTree
from PIL import Image

from rondel.errors import DataError, UsageError
from rondel_detection.data.formats import cvat
from rondel_detection.data.formats.format import Source, find_format
from rondel_detection.data.formats.xml_file import read_xml
from rondel_detection.data.geometry import bitmap_counts
from rondel_detection.data.labels import LabelMap
from rondel_detection.data.table import Annotations, Outline, Status, TableBuilder

META = """  <meta>
    <task>
      <id>4</id>
      <name>streets</name>
      <size>3</size>
      <mode>annotation</mode>
      <labels>
        <label>
          <name>car</name>
          <color>#ff0000</color>
          <type>any</type>
          <attributes>
            <attribute>
              <name>parked</name>
              <mutable>False</mutable>
              <input_type>checkbox</input_type>
              <default_value>false</default_value>
              <values>false</values>
            </attribute>
            <attribute>
              <name>doors</name>
              <input_type>number</input_type>
              <values>1
5
1</values>
            </attribute>
            <attribute>
              <name>colour</name>
              <input_type>select</input_type>
              <values>red
blue</values>
            </attribute>
            <attribute><name>truncated</name><input_type>checkbox</input_type></attribute>
          </attributes>
        </label>
        <label><name>bus</name><type>any</type><attributes></attributes></label>
        <label><name>body</name><type>skeleton</type><attributes></attributes></label>
        <label><name>head</name><type>points</type><parent>body</parent></label>
        <label><name>night</name><type>tag</type></label>
      </labels>
      <original_size><width>64</width><height>48</height></original_size>
    </task>
    <dumped>2026-01-01 00:00:00</dumped>
  </meta>
"""


def export(path: Path, body: str, meta: str = META) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    head = '<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n  <version>1.1</version>\n'
    path.write_text(f"{head}{meta}{body}\n</annotations>\n", encoding="utf-8")
    return path


def image(*shapes: str, name: str = "a.jpg", number: int = 0, more: str = "") -> str:
    start = f'  <image id="{number}" name="{name}" {more} width="64" height="48">\n'
    return start + "\n".join(shapes) + "\n  </image>\n"


def read(tmp_path: Path, *shapes: str, meta: str = META) -> Annotations:
    """Read a file with one image that holds these shapes."""
    return cvat.read(Source(export(tmp_path / "annotations.xml", image(*shapes), meta)))


def box(x1: float, y1: float, x2: float, y2: float, label: str = "car", more: str = "") -> str:
    corners = f'xtl="{x1:.2f}" ytl="{y1:.2f}" xbr="{x2:.2f}" ybr="{y2:.2f}"'
    said = f'label="{label}" source="manual" occluded="0" {corners} {more} z_order="0"'
    return f"    <box {said}>\n    </box>"


def picture(path: Path, width: int = 64, height: int = 48) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (width, height)).save(path)
    return path


def test_a_box_is_taken_as_it_stands_with_its_line(tmp_path: Path) -> None:
    table = read(tmp_path, box(10.5, 5, 30, 25.25), box(30, 25, 10, 5, "bus"))
    assert table.boxes.xyxy.tolist() == [[10.5, 5, 30, 25.25], [30, 25, 10, 5]]
    text = (tmp_path / "annotations.xml").read_text().splitlines()
    assert [text[line - 1].strip()[:4] for line in table.boxes.line] == ["<box"] * 2
    assert "<image" in text[table.images.line[0] - 1]
    assert table.files == ("annotations.xml",)
    assert list(table.losses) == []


def test_classes_are_the_labels_of_the_task_in_their_order(tmp_path: Path) -> None:
    # neither the points of a skeleton nor pure tags are classes; bus never occurs
    table = read(tmp_path, box(0, 0, 1, 1))
    assert table.labels.names == ("car", "bus", "body")
    for container in ("project", "job"):
        meta = META.replace("<task>", f"<{container}>").replace("</task>", f"</{container}>")
        assert read(tmp_path, meta=meta).labels.names == ("car", "bus", "body")


def test_a_rotation_turns_clockwise_about_the_centre(tmp_path: Path) -> None:
    turned = 'rotation="{}"'
    table = read(
        tmp_path,
        box(10, 20, 30, 30, more=turned.format("90.00")),
        box(10, 20, 30, 30, more=turned.format("30.00")),
        box(10, 20, 30, 30, more=turned.format("360")),
    )
    assert table.boxes.xyxy[0].tolist() == [15, 15, 25, 35]
    cosine, sine = math.cos(math.pi / 6), math.sin(math.pi / 6)
    half, high = (20 * cosine + 10 * sine) / 2, (20 * sine + 10 * cosine) / 2
    expected = [20 - half, 25 - high, 20 + half, 25 + high]
    np.testing.assert_allclose(table.boxes.xyxy[1], expected, rtol=1e-12)
    # the upper left corner of the rectangle goes to the right when it turns clockwise
    upper_left = table.boxes.outline[0].polygons[0][0]
    assert upper_left.tolist() == [25, 15]
    np.testing.assert_allclose(table.boxes.area[:2], [200, 200])
    assert 2 not in table.boxes.outline
    kind = "rotated rectangle became its enclosing box, with its corners as outline"
    assert table.losses.losses[kind].count == 2


def test_polygons_and_ellipses_become_exact_boxes(tmp_path: Path) -> None:
    table = read(
        tmp_path,
        '<polygon label="car" source="manual" occluded="1" points="1.00,2.00;9.50,2.00;5.00,12.00"'
        ' z_order="0"></polygon>',
        '<ellipse label="bus" cx="30" cy="20" rx="10" ry="4"></ellipse>',
        '<ellipse label="bus" cx="30" cy="20" rx="10" ry="4" rotation="90.0"></ellipse>',
    )
    assert table.boxes.xyxy.tolist() == [[1, 2, 9.5, 12], [20, 16, 40, 24], [26, 10, 34, 30]]
    assert table.boxes.occluded.tolist() == [True, False, False]
    assert table.boxes.outline[0].polygons[0].tolist() == [[1, 2], [9.5, 2], [5, 12]]
    np.testing.assert_allclose(table.boxes.area, [42.5, 40 * math.pi, 40 * math.pi])
    assert {k: v.count for k, v in table.losses.losses.items()} == {
        "ellipse became its enclosing box": 2
    }


def test_a_mask_runs_along_the_rows_of_its_window(tmp_path: Path) -> None:
    # the blob of CVAT's own documentation, 13 x 15 pixels: one stroke in each row
    rle = (
        "3, 5, 7, 7, 5, 9, 3, 11, 2, 11, 2, 12, 1, 12, 1, 26, 1, 12, 1, 12, 2, 11, 3, 9, 5, 7,"
        " 7, 5, 3"
    )
    total = sum(int(run) for run in rle.split(","))
    width = 13
    mask = '<mask label="car" source="manual" occluded="0" rle="{}" left="{}" top="{}" {}></mask>'
    table = read(
        tmp_path,
        mask.format("1, 2, 2, 1", 10, 20, 'width="3" height="2"'),
        mask.format(rle, 7, 8, f'width="{width}" height="{total // width}"'),
    )
    assert table.boxes.xyxy.tolist() == [[11, 20, 13, 22], [7, 8, 20, 8 + total // width]]
    whole = np.zeros((48, 64), dtype=bool)
    whole[20:22, 10:13] = [[0, 1, 1], [0, 0, 1]]
    assert table.boxes.outline[0].counts == bitmap_counts(whole)
    counts = table.boxes.outline[1].counts
    disc = np.repeat(np.arange(len(counts)) % 2 == 1, counts).reshape(64, 48).T
    strokes = [5, 7, 9, 11, 11, 12, 12, 13, 13, 12, 12, 11, 9, 7, 5]
    assert disc.sum(axis=1)[8:23].tolist() == strokes


def test_cuboids_and_skeletons_are_boxes_around_their_visible_points(tmp_path: Path) -> None:
    names = ("tl1", "bl1", "tr1", "br1", "tl2", "bl2", "tr2", "br2")
    x, y = (5, 6, 20, 19, 25, 26, 30, 29), (5, 15, 6, 16, 2, 12, 3, 13)
    placed = zip(names, x, y, strict=True)
    corners = " ".join(f'x{name}="{x}" y{name}="{y}"' for name, x, y in placed)
    joint = '<points label="head" source="manual" outside="{}" occluded="0" points="{}"></points>'
    joints = joint.format(0, "10,11") + joint.format(0, "14,30") + joint.format(1, "60,40")
    table = read(
        tmp_path,
        f'<cuboid label="car" {corners}></cuboid>',
        f'<skeleton label="body" source="manual">{joints}</skeleton>',
    )
    assert table.boxes.xyxy.tolist() == [[5, 2, 30, 16], [10, 11, 14, 30]]
    assert table.labels.names[table.boxes.label[1]] == "body"
    assert list(table.losses.losses) == [
        "cuboid became its enclosing box",
        "skeleton became its enclosing box",
    ]


@pytest.mark.parametrize(
    ("defective", "loss"),
    [
        ('<polyline label="car" points="1,2;3,4"></polyline>', "polyline without an area was dropped"),
        ('<points label="car" points="1,2"></points>', "points without an area was dropped"),
        ('<polygon label="car" points="1,2;3,4"></polygon>', "polygon of fewer than 3 points was dropped"),
        ('<polygon label="car" points="1,2;3,x;4,5"></polygon>', "polygon without finite coordinates was dropped"),
        ('<polygon label="car" points="1;3,2;4,5"></polygon>', "polygon without finite coordinates was dropped"),
        ('<box label="car" xtl="1" ytl="2" xbr="3"></box>', "box without finite coordinates was dropped"),
        ('<box label="car" xtl="1" ytl="nan" xbr="3" ybr="4"></box>', "box without finite coordinates was dropped"),
        (box(1, 1, 2, 2, label=""), "shape without a label was dropped"),
        ('<box xtl="1" ytl="2" xbr="3" ybr="4"></box>', "shape without a label was dropped"),
        ('<star label="car"></star>', "shape of the unknown kind <star> was dropped"),
        ('<mask label="car" rle="1, 2" left="0" top="0" width="2" height="2"></mask>', "mask whose run lengths do not fill it was dropped"),
        ('<mask label="car" rle="4, 5, -5" left="0" top="0" width="2" height="2"></mask>', "mask whose run lengths do not fill it was dropped"),
        ('<mask label="car" rle="4" left="0" top="0" width="2" height="2"></mask>', "mask without a pixel was dropped"),
        ('<mask label="car" rle="0,1e12" left="0" top="0" width="1e6" height="1e6"></mask>', "mask whose run lengths do not fill it was dropped"),
        ('<ellipse label="car" cx="1" cy="1" rx="-1" ry="1"></ellipse>', "ellipse with a negative radius was dropped"),
        ('<skeleton label="body"></skeleton>', "skeleton without a visible point was dropped"),
    ],
)  # fmt: skip
def test_what_has_no_box_is_dropped_and_listed_with_its_line(
    tmp_path: Path, defective: str, loss: str
) -> None:
    table = read(tmp_path, defective, box(1, 1, 2, 2, "bus"))
    assert table.boxes.xyxy.tolist() == [[1, 1, 2, 2]]
    line = table.images.line[0] + 1
    assert list(table.losses) == [f"1 x {loss} (first: annotations.xml:{line})"]


def test_attributes_have_the_types_of_the_task(tmp_path: Path) -> None:
    said = {"parked": "true", "doors": "5", "colour": "red", "truncated": "true", "x": "7"}
    inner = "".join(f'<attribute name="{name}">{text}</attribute>' for name, text in said.items())
    made = box(1, 1, 2, 2, more='group_id="3"').replace("</box>", inner + "</box>")
    table = read(tmp_path, made.replace('z_order="0"', 'z_order="-2"').replace("manual", "auto"))
    assert table.boxes.attributes[0] == {
        "group_id": 3,
        "z_order": -2,
        "source": "auto",
        "parked": True,
        "doors": 5,
        "colour": "red",
        "x": "7",
    }
    assert table.boxes.truncated.tolist() == [True]


def test_tags_become_attributes_of_the_image(tmp_path: Path) -> None:
    tags = '<tag label="night" source="manual"></tag><tag label="car"><attribute name="a"/></tag>'
    table = read(tmp_path, tags)
    assert table.images.attributes == {0: {"tags": ["night", "car"]}}
    assert {k: v.count for k, v in table.losses.losses.items()} == {
        "tag became an attribute of its image": 2,
        "attributes of a tag were dropped": 1,
    }


def test_a_label_that_the_task_does_not_know_is_a_class_behind_the_others(tmp_path: Path) -> None:
    table = read(tmp_path, box(1, 1, 2, 2, "zebra"), box(1, 1, 2, 2, "ape"))
    assert table.labels.names == ("car", "bus", "body", "ape", "zebra")
    assert table.boxes.label.tolist() == [4, 3]
    assert list(table.losses.losses) == [
        "label 'zebra' is not among those of the task",
        "label 'ape' is not among those of the task",
    ]


def test_images_without_shapes_are_empty_and_deleted_frames_are_gaps(tmp_path: Path) -> None:
    body = image(number=0) + image(box(1, 1, 2, 2), number=2, name="c.jpg")
    table = cvat.read(Source(export(tmp_path / "annotations.xml", body)))
    assert table.images.id.tolist() == [0, 2]
    assert table.images.status.tolist() == [Status.LABELLED] * 2
    assert table.boxes.image.tolist() == [1]


def test_numbers_and_names_may_repeat_across_the_subsets_of_a_project(tmp_path: Path) -> None:
    train, val = 'subset="train" task_id="1"', 'subset="val" task_id="2"'
    body = image(box(1, 1, 2, 2), more=train) + image(more=val)
    body += image(name="only.jpg", number=1, more=val)
    for name in ("train/a.jpg", "val/a.jpg", "val/only.jpg"):
        picture(tmp_path / "images" / name)
    export(tmp_path / "annotations.xml", body)
    table = cvat.read(Source(tmp_path))
    assert table.images.file.tolist() == ["train/a.jpg", "val/a.jpg", "val/only.jpg"]
    assert table.images.split.tolist() == ["train", "val", "val"]
    assert table.root == tmp_path / "images"
    assert table.boxes.image.tolist() == [0]
    # without the image files, only the repeated name needs its subset
    table = cvat.read(Source(tmp_path, tmp_path))
    assert table.images.file.tolist() == ["train/a.jpg", "val/a.jpg", "only.jpg"]


def test_the_size_comes_from_the_header_if_the_file_lacks_it(tmp_path: Path) -> None:
    picture(tmp_path / "a.jpg", 30, 20)
    body = '<image id="0" name="a.jpg"></image><image id="1" name="../a.jpg"></image>'
    table = cvat.read(Source(export(tmp_path / "annotations.xml", body)))
    assert table.images.width.tolist() == [30, 0]
    assert table.images.file.tolist() == ["a.jpg", "../a.jpg"]


def test_an_image_without_a_name_is_skipped_and_listed(tmp_path: Path) -> None:
    body = '<image id="0" width="3" height="3"></image>'
    table = cvat.read(Source(export(tmp_path / "annotations.xml", body)))
    assert len(table.images) == 0
    assert list(table.losses.losses) == ["image without a name was skipped"]


def track(number: int, *shapes: str, more: str = "") -> str:
    start = f'  <track id="{number}" label="car" source="manual" {more}>\n'
    return start + "\n".join(shapes) + "\n  </track>\n"


def frame(number: int | str, x: float, outside: int = 0) -> str:
    said = f'frame="{number}" keyframe="1" outside="{outside}" occluded="1"'
    return f'<box {said} xtl="{x}" ytl="1" xbr="{x + 5}" ybr="9" z_order="0"></box>'


def test_tracks_of_a_video_are_boxes_on_frames_named_by_convention(tmp_path: Path) -> None:
    body = track(0, frame(3, 10), frame(4, 11), frame(5, 12, outside=1)) + track(7, frame(4, 30))
    for name in ("frame_000004.PNG", "frame_000009.png", "other.png"):
        picture(tmp_path / "images" / name)
    export(tmp_path / "annotations.xml", body)
    table = cvat.read(Source(tmp_path))
    assert table.images.file.tolist() == [
        "frame_000003.png",
        "frame_000004.PNG",
        "frame_000005.png",
        "frame_000009.png",
    ]
    assert table.images.id.tolist() == [3, 4, 5, 9]
    assert (table.images.width.tolist(), table.images.height.tolist()) == ([64] * 4, [48] * 4)
    assert [table.images.id[row] for row in table.boxes.image] == [3, 4, 4]
    assert table.boxes.xyxy[:, 0].tolist() == [10, 11, 30]
    assert table.boxes.attributes[2] == {"track_id": 7}
    assert table.boxes.occluded.all()
    assert table.losses.losses["image of a frame was named by convention"].count == 4


def test_tracks_beside_images_belong_to_those_images(tmp_path: Path) -> None:
    body = image(number=3) + track(0, frame(3, 10), frame("x", 1))
    table = cvat.read(Source(export(tmp_path / "annotations.xml", body)))
    assert table.images.file.tolist() == ["a.jpg"]
    assert table.boxes.image.tolist() == [0]
    assert list(table.losses.losses) == ["shape without a frame was dropped"]


def test_videos_of_a_project_have_the_sizes_of_their_tasks(tmp_path: Path) -> None:
    size = "<original_size><width>{}</width><height>9</height></original_size>"
    tasks = "".join(f"<task><id>{n}</id>{size.format(n * 100)}</task>" for n in (1, 2))
    meta = f"<meta><project><tasks>{tasks}</tasks></project></meta>"
    body = track(0, frame(0, 1), more='task_id="2" subset="val"')
    table = cvat.read(Source(export(tmp_path / "annotations.xml", body, meta)))
    assert table.images.width.tolist() == [200]
    assert table.images.file.tolist() == ["val/frame_000000.png"]
    assert table.images.split.tolist() == ["val"]


def test_cvat_is_recognised_by_its_root(tmp_path: Path) -> None:
    file = export(tmp_path / "annotations.xml", image())
    assert cvat.recognise(file) == "XML with <annotations> and its <image>s"
    assert cvat.recognise(tmp_path).startswith("annotations.xml: ")
    assert find_format(tmp_path).name == find_format(file).name == "cvat"
    other = tmp_path / "voc.xml"
    other.write_text("<annotation><filename>a.jpg</filename></annotation>")
    assert cvat.recognise(other) == ""
    assert cvat.recognise(tmp_path / "missing.xml") == ""


def test_a_zip_is_recognised_and_has_to_be_unpacked(tmp_path: Path) -> None:
    file = tmp_path / "task.zip"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("annotations.xml", "<annotations/>")
    assert cvat.recognise(file) == "a .zip with annotations.xml"
    with pytest.raises(DataError) as caught:
        cvat.read(Source(file))
    assert str(caught.value) == f"{file}: is a .zip file. Unpack it first, then name the folder."


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<annotations>\n  <meta>", ":2:9: is no XML: no element found"),
        ("hello", ":1:1: is no XML: syntax error"),
        ("", ":1:1: is no XML: no element found"),
        ("\n<annotation/>", ":1: is no file of CVAT: it begins with <annotation>"),
        ('<?xml version="1.0" encoding="nonsense"?>\n<a/>', "is no XML"),
    ],
)
def test_what_is_no_cvat_file_is_an_error_with_line_and_column(
    tmp_path: Path, text: str, message: str
) -> None:
    file = tmp_path / "annotations.xml"
    file.write_text(text)
    with pytest.raises(DataError) as caught:
        cvat.read(Source(file))
    assert str(caught.value).startswith(str(file))
    assert message.replace(":1: is no file", ":2: is no file") in str(caught.value)


def test_entities_are_refused_before_they_can_grow(tmp_path: Path) -> None:
    text = '<!DOCTYPE a [\n<!ENTITY b "bbbb">\n]>\n<annotations>&b;</annotations>'
    file = tmp_path / "annotations.xml"
    file.write_text(text)
    with pytest.raises(DataError) as caught:
        read_xml(file)
    assert str(caught.value) == (
        f"{file}:2: holds what label files need not hold: EntitiesForbidden."
        " Remove the entities: they can make a small file use all memory."
    )


def test_a_folder_without_labels_and_a_missing_one_are_errors(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds no label file of CVAT. Name the .xml file itself"):
        cvat.read(Source(tmp_path))
    with pytest.raises(DataError, match="there is no such file or folder"):
        cvat.read(Source(tmp_path / "none"))


# writing


def table_of(**image: Any) -> TableBuilder:
    builder = TableBuilder(Path("/nowhere"), "test")
    builder.add_image("x/a.jpg", width=64, height=48, **image)
    return builder


def test_the_writer_makes_what_cvat_imports(tmp_path: Path) -> None:
    builder = table_of(split="train")
    said = {"parked": True, "doors": 5, "colour": "red", "group_id": 3}
    builder.add_box(0, (1.5, 2, 30, 20.25), 1, occluded=True, truncated=True, attributes=said)
    labels = LabelMap(("bus", "car <2t>"))
    report = cvat.write(builder.build(labels), tmp_path / "out")
    assert list(report) == []
    root = ElementTree.parse(tmp_path / "out/annotations.xml").getroot()
    assert [e.text for e in root.iterfind("meta/task/labels/label/name")] == ["bus", "car <2t>"]
    types = {e.findtext("name"): e.findtext("input_type") for e in root.iter("attribute")}
    assert types | {None: None} == {
        "parked": "checkbox",
        "doors": "number",
        "colour": "text",
        "truncated": "checkbox",
        None: None,
    }
    (listed,) = root.iterfind("image")
    assert listed.attrib == {
        "id": "0",
        "name": "x/a.jpg",
        "subset": "train",
        "width": "64",
        "height": "48",
    }
    (made,) = listed
    assert made.tag == "box"
    assert made.attrib == {
        "label": "car <2t>",
        "source": "manual",
        "occluded": "1",
        "xtl": "1.5",
        "ytl": "2.0",
        "xbr": "30.0",
        "ybr": "20.25",
        "z_order": "0",
        "group_id": "3",
    }
    assert {e.attrib["name"]: e.text for e in made} == {
        "parked": "true",
        "doors": "5",
        "colour": "red",
        "truncated": "true",
    }


def test_what_was_written_is_read_back_with_its_types(tmp_path: Path) -> None:
    mask = np.zeros((48, 64), dtype=bool)
    mask[5:8, 50:52] = [[1, 1], [0, 1], [1, 0]]
    triangle = np.array([[0.1, 0.2], [10.3, 0.2], [10.3, 10.7]])
    builder = table_of(id=12, attributes={"tags": ["dusk"]})
    said = {"f": 2.5, "n": -3, "ok": False, "s": 'a "b" <c>\n', "source": "auto", "z_order": 4}
    outlined = Outline((triangle,))
    builder.add_box(0, (0.1, 0.2, 10.3, 10.7), 0, outline=outlined, attributes=said, area=53.55)
    outlined = Outline(counts=bitmap_counts(mask))
    builder.add_box(0, (50, 5, 52, 8), 0, outline=outlined, area=4, crowd=True)
    builder.add_box(0, (1, 2, 0, 1), 1, difficult=True)
    table = builder.build(LabelMap(("a", "b", "never")))
    assert list(cvat.write(table, tmp_path / "out.xml")) == []
    again = cvat.read(Source(tmp_path / "out.xml"))
    assert again.boxes.xyxy.tolist() == table.boxes.xyxy.tolist()
    assert again.boxes.attributes == table.boxes.attributes
    assert again.boxes.crowd.tolist() == [False, True, False]
    assert again.boxes.difficult.tolist() == [False, False, True]
    assert again.boxes.outline[1].counts == table.boxes.outline[1].counts
    assert again.boxes.outline[0].polygons[0].tolist() == triangle.tolist()
    assert again.labels.names == ("a", "b", "never")
    assert again.images.id.tolist() == [12]
    assert again.images.attributes == {0: {"tags": ["dusk"]}}


def test_images_that_nobody_looked_at_or_that_were_rejected_are_left_out(tmp_path: Path) -> None:
    builder = table_of(id="x")
    for number, status in enumerate((0, 2, 0), 1):
        builder.add_image(f"{number}.jpg", width=4, height=4, status=Status(status), id=number)
    builder.add_box(2, (0, 0, 1, 1), 0)
    builder.add_box(3, (0, 0, 1, 1), 0)
    report = cvat.write(builder.build(LabelMap(("a",))), tmp_path / "out")
    again = cvat.read(Source(tmp_path / "out"))
    assert again.images.file.tolist() == ["x/a.jpg", "3.jpg"]
    assert {kind: loss.count for kind, loss in report.losses.items()} == {
        "ignored image was left out": 1,
        "box of an ignored image was left out": 1,
        "image id was not kept": 2,
        "unlabelled image was left out: CVAT would take it for empty": 1,
        "unlabelled image with boxes became a labelled one": 1,
        "annotation id was not kept": 1,
    }


def test_what_the_writer_cannot_keep_is_listed(tmp_path: Path) -> None:
    part = np.array([[0.0, 0.0], [2.0, 0.0], [2.0, 2.0]])
    builder = table_of(attributes={"tags": "no list", "weather": "rain"})
    several = Outline((part, part + 3))
    builder.add_box(0, (0, 0, 5, 5), 0, id="k", score=0.5, outline=several)
    builder.add_box(0, (0, 0, 5, 5), 0, outline=Outline((part,)), area=3.0)
    builder.add_box(0, (0, 0, math.inf, 5), 0)
    builder.add_box(0, (0, 0, 1, 1), 0, attributes={"a": True, "truncated": False})
    builder.add_box(0, (0, 0, 1, 1), 0, attributes={"a": "nul\0", "b": [1, 2]})
    report = cvat.write(builder.build(LabelMap(("a",), (5,), {0: "g"})), tmp_path / "out")
    assert {kind: loss.count for kind, loss in report.losses.items()} == {
        "annotation id was not kept": 1,
        "score of an annotation was not kept": 1,
        "id of a class was not kept": 1,
        "supercategory of a class was not kept": 1,
        "box that is not finite was not written": 1,
        "attribute 'truncated' gives way to the flag of that name": 1,
        "attribute became text": 2,
        "outline of several polygons was not kept": 1,
        "outline that does not fit its box was left out": 1,
        "area of an object was not kept": 1,
        "character that XML cannot hold was replaced": 1,
        "attributes of an image were not kept": 1,
    }


def test_a_file_that_cannot_be_written_is_a_usage_error(tmp_path: Path) -> None:
    (tmp_path / "annotations.xml").mkdir()
    with pytest.raises(UsageError, match=r"annotations.xml: is a folder, not a file to write to"):
        cvat.write(table_of().build(LabelMap(())), tmp_path)
