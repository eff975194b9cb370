from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from torchvision.datasets import VOCDetection

from rondel.errors import DataError, UsageError
from rondel_detection.data.formats import FORMATS, find_format, read, write
from rondel_detection.data.labels import LabelMap
from rondel_detection.data.table import Annotations, Status, TableBuilder

SIZE = "<size><width>64</width><height>48</height><depth>3</depth></size>"


def thing(*corners: float, name: str = "cat", more: str = "") -> str:
    x1, y1, x2, y2 = corners or (3, 4, 30, 40)
    box = f"<xmin>{x1}</xmin><ymin>{y1}</ymin><xmax>{x2}</xmax><ymax>{y2}</ymax>"
    return f"<object><name>{name}</name>{more}<bndbox>{box}</bndbox></object>"


def xml(path: Path, *objects: str, head: str = "<filename>a.png</filename>" + SIZE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = f"<annotation>{head}{''.join(objects)}</annotation>"
    path.write_text(text, encoding="utf-8")
    return path


def picture(path: Path, size: tuple[int, int] = (64, 48)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size).save(path)


def boxes(table: Annotations) -> list[list[float]]:
    return table.boxes.xyxy.tolist()  # type: ignore[no-any-return]


def test_files_of_the_devkit_count_pixels_from_one(tmp_path: Path) -> None:
    source = "<source><database>The VOC2007 Database</database></source>"
    xml(tmp_path / "a.xml", thing(1, 1, 64, 48), head=source + SIZE)
    assert boxes(read(tmp_path)) == [[0, 0, 64, 48]]


@pytest.mark.parametrize("source", ["", "<source><database>Unknown</database></source>"])
def test_files_of_other_tools_hold_the_edges(tmp_path: Path, source: str) -> None:
    xml(tmp_path / "a.xml", thing(0, 0, 64, 48), thing(1, 1, 2, 2), head=source + SIZE)
    table = read(tmp_path)
    assert boxes(table) == [[0, 0, 64, 48], [1, 1, 2, 2]]
    assert not table.losses


def test_a_pixel_zero_in_a_file_of_the_devkit_is_listed_and_taken_as_an_edge(
    tmp_path: Path,
) -> None:
    source = "<source><database>My VOC</database></source>"
    xml(tmp_path / "a.xml", thing(0, 5, 9, 9), head=source + SIZE)
    table = read(tmp_path)
    assert boxes(table) == [[0, 5, 9, 9]]
    assert list(table.losses) == [
        "1 x file of VOC's database with a pixel 0 is taken as 0-based edges (first: a.xml)"
    ]


def test_elements_may_stand_in_any_order_and_numbers_may_have_fractions(tmp_path: Path) -> None:
    box = "<bndbox><ymax>9.5</ymax><xmax> 8.25 </xmax><ymin>2</ymin><xmin>1e0</xmin></bndbox>"
    xml(tmp_path / "a.xml", f"<object>{box}<difficult>1</difficult><name> cat </name></object>")
    table = read(tmp_path)
    assert boxes(table) == [[1, 2, 8.25, 9.5]]
    assert table.labels.names == ("cat",)
    assert table.boxes.difficult.tolist() == [True]


def test_flags_pose_and_cvats_attributes_are_kept(tmp_path: Path) -> None:
    more = (
        "<pose>Left</pose><truncated>1</truncated><occluded>1</occluded><attributes>"
        "<attribute><name>colour</name><value>red</value></attribute></attributes>"
    )
    xml(tmp_path / "a.xml", thing(more=more), thing(more="<pose>Unspecified</pose>"))
    table = read(tmp_path)
    assert table.boxes.truncated.tolist() == table.boxes.occluded.tolist() == [True, False]
    assert table.boxes.attributes == {0: {"pose": "Left", "colour": "red"}}


def test_the_boxes_of_parts_are_not_taken_for_that_of_the_object(tmp_path: Path) -> None:
    part = "<part><name>head</name><bndbox><xmin>7</xmin></bndbox></part>"
    actions = "<actions><jumping>1</jumping></actions>"
    xml(tmp_path / "a.xml", thing(more=part + actions))
    table = read(tmp_path)
    assert boxes(table) == [[3, 4, 30, 40]]
    assert list(table.losses) == [
        "1 x <part> of an object is not kept (first: a.xml:1)",
        "1 x <actions> of an object is not kept (first: a.xml:1)",
    ]


def test_an_unknown_size_is_read_from_the_image(tmp_path: Path) -> None:
    picture(tmp_path / "a.png", (33, 22))
    xml(tmp_path / "a.xml", head="<size><width>0</width><height>0</height></size>")
    table = read(tmp_path)
    assert (table.images.width.tolist(), table.images.height.tolist()) == ([33], [22])


@pytest.mark.parametrize("given", ["a", "a.jpg", "old name.jpg", "C:\\photos\\a.png", ""])
def test_an_image_is_found_whatever_its_xml_file_calls_it(tmp_path: Path, given: str) -> None:
    picture(tmp_path / "a.png")
    head = f"<path>/home/me/{given}</path><filename>{given}</filename>{SIZE}"
    xml(tmp_path / "a.xml", head=head)
    assert read(tmp_path).images.file.tolist() == ["a.png"]


def test_the_name_in_the_xml_file_wins_over_the_name_of_the_xml_file(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    picture(tmp_path / "b.png")
    xml(tmp_path / "1.xml", head=f"<filename>b.png</filename>{SIZE}")
    table = read(tmp_path)
    assert table.images.file.tolist() == ["b.png", "a.png"]
    assert table.images.status.tolist() == [Status.LABELLED, Status.UNLABELLED]


def test_a_name_that_leads_out_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    picture(tmp_path / "secret.png", (99, 77))
    xml(tmp_path / "set" / "a.xml", head="<filename>../secret.png</filename>")
    table = read(tmp_path / "set")
    assert table.images.file.tolist() == ["secret.png"]
    assert table.images.width.tolist() == [0]


def test_a_devkit_has_splits_and_images_that_nobody_labelled(tmp_path: Path) -> None:
    for stem in ("1", "2", "3", "4"):
        picture(tmp_path / "JPEGImages" / f"{stem}.jpg")
    xml(tmp_path / "Annotations" / "1.xml", thing(), head=f"<filename>1.jpg</filename>{SIZE}")
    xml(tmp_path / "Annotations" / "2.xml", head=f"<filename>2.jpg</filename>{SIZE}")
    sets = tmp_path / "ImageSets" / "Main"
    sets.mkdir(parents=True)
    for name, lines in {
        "train": "1\n",
        "val": "2\n",
        "trainval": "1\n2\n",
        "test": "3\n9\n",
        "cat_val": "2 -1\n",
    }.items():
        (sets / f"{name}.txt").write_text(lines, encoding="utf-8")
    table = read(tmp_path)
    assert table.root == tmp_path / "JPEGImages"
    assert table.images.file.tolist() == ["1.jpg", "2.jpg", "3.jpg", "4.jpg"]
    assert table.images.split.tolist() == ["train", "val", "test", ""]
    assert table.images.status.tolist() == [1, 1, 0, 0]
    assert list(table.losses) == ["1 x image of a split is not there (first: test.txt: 9)"]


def test_several_years_are_read_as_one_set(tmp_path: Path) -> None:
    for year in ("VOC2007", "VOC2012"):
        picture(tmp_path / year / "JPEGImages" / "1.jpg")
        xml(tmp_path / year / "Annotations" / "1.xml", thing())
    table = read(tmp_path)
    assert table.root == tmp_path
    assert table.images.file.tolist() == ["VOC2007/JPEGImages/1.jpg", "VOC2012/JPEGImages/1.jpg"]
    assert table.files == ("VOC2007/Annotations/1.xml", "VOC2012/Annotations/1.xml")


def test_folders_without_lists_are_splits_if_they_are_called_so(tmp_path: Path) -> None:
    for folder in ("train", "valid", "more"):
        picture(tmp_path / folder / "a.png")
        xml(tmp_path / folder / "a.xml", thing())
    table = read(tmp_path)
    assert table.images.file.tolist() == ["more/a.png", "train/a.png", "valid/a.png"]
    assert table.images.split.tolist() == ["", "train", "valid"]


def test_one_xml_file_is_read_alone(tmp_path: Path) -> None:
    picture(tmp_path / "JPEGImages" / "a.png")
    picture(tmp_path / "JPEGImages" / "b.png")
    table = read(xml(tmp_path / "Annotations" / "a.xml", thing()))
    assert table.images.file.tolist() == ["a.png"]
    assert table.root == tmp_path / "JPEGImages"


@pytest.mark.parametrize(
    ("bad", "kind"),
    [
        (thing(name=" "), "object without a name was dropped"),
        (thing().replace("30", "wide"), "object without a box was dropped"),
        (thing().replace("30", "nan"), "object without a box was dropped"),
        ("<object><name>cat</name></object>", "object without a box was dropped"),
    ],
)
def test_a_bad_object_costs_itself_only(tmp_path: Path, bad: str, kind: str) -> None:
    xml(tmp_path / "a.xml", bad, thing())
    table = read(tmp_path)
    assert len(table.boxes) == 1
    assert list(table.losses) == [f"1 x {kind} (first: a.xml:1)"]


def test_damaged_xml_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "a.xml"
    path.write_text("<annotation>\n<size></annotation>", encoding="utf-8")
    with pytest.raises(DataError, match=r"a\.xml:2:\d+: is no XML"):
        read(path)


def test_entities_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.xml"
    bomb = '<!DOCTYPE a [<!ENTITY b "bbb">]><annotation><size></size>&b;</annotation>'
    path.write_text(bomb, encoding="utf-8")
    with pytest.raises(DataError, match="EntitiesForbidden"):
        read(path)


def test_a_folder_without_xml_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no XML file of VOC"):
        read(tmp_path, name="voc")


def test_other_xml_is_not_taken_for_voc(tmp_path: Path) -> None:
    path = tmp_path / "a.xml"
    for text in (
        "<annotations><version>1.1</version></annotations>",
        "<annotation><filename>a</filename><imagesize><nrows>3</nrows></imagesize></annotation>",
        "<project/>",
    ):
        path.write_text(text, encoding="utf-8")
        assert FORMATS["voc"].recognise(path) == FORMATS["voc"].recognise(tmp_path) == ""
    xml(tmp_path / "b.xml")
    assert find_format(tmp_path).name == "voc"


def test_the_background_of_cvats_label_map_is_no_class(tmp_path: Path) -> None:
    lines = "# label:color_rgb:parts:actions\nbackground:0,0,0::\ndog:1,2,3::\ncat:4,5,6::\n"
    (tmp_path / "labelmap.txt").write_text(lines, encoding="utf-8")
    xml(tmp_path / "Annotations" / "a.xml", thing())
    assert read(tmp_path).labels.names == ("dog", "cat")


def made(root: Path, files: list[str], **box: Any) -> Annotations:
    builder = TableBuilder(root, "made")
    for file in files:
        builder.add_image(file, width=64, height=48, split="train")
    builder.add_box(0, (0.0, 1.5, 30.0, 48.0), 1, **box)
    return builder.build(LabelMap(("dog", "cat & <co>")))


def test_torchvision_reads_what_is_written(tmp_path: Path) -> None:
    # torchvision expects the images of the devkit, and takes corners as they stand
    year = tmp_path / "VOCdevkit" / "VOC2007"
    picture(year / "JPEGImages" / "a.jpg")
    table = made(year / "JPEGImages", ["a.jpg"], difficult=True, truncated=True)
    assert not write(table, year, name="voc")
    data = VOCDetection(str(tmp_path), year="2007", image_set="train", download=False)
    assert len(data) == 1
    found = data[0][1]["annotation"]
    assert found["filename"] == "a.jpg"
    assert found["size"] == {"width": "64", "height": "48", "depth": "3"}
    (only,) = found["object"]
    assert (only["name"], only["difficult"], only["truncated"]) == ("cat & <co>", "1", "1")
    assert only["bndbox"] == {"xmin": "0", "ymin": "1.5", "xmax": "30", "ymax": "48"}
    again = read(year)
    assert again.labels.names == ("dog", "cat & <co>")
    assert boxes(again) == boxes(table)


def test_written_boxes_come_back_to_the_last_digit(tmp_path: Path) -> None:
    generator = random.Random(0)
    table = made(tmp_path, ["a.png"])
    table.boxes.xyxy[0] = [generator.uniform(0, 40) for _ in range(4)]
    write(table, tmp_path / "out", name="voc")
    assert boxes(read(tmp_path / "out")) == boxes(table)


def test_images_that_differ_in_their_suffix_only_keep_labels_of_their_own(tmp_path: Path) -> None:
    for name in ("a.png", "a.jpg"):
        picture(tmp_path / name)
    assert not write(made(tmp_path, ["a.png", "a.jpg"]), tmp_path / "out", name="voc")
    again = read(tmp_path / "out", images=tmp_path)
    assert again.images.file.tolist() == ["a.jpg", "a.png"]
    assert again.images.split.tolist() == ["train", "train"]
    assert again.boxes.image.tolist() == [1]


def test_what_voc_cannot_hold_is_listed(tmp_path: Path) -> None:
    table = made(tmp_path, ["a.png"], crowd=True, score=0.5, area=7.0, attributes={"n": 3})
    assert sorted(write(table, tmp_path / "out", name="voc").losses) == [
        "area of an object was not kept",
        "attribute became plain text",
        "flag 'crowd' was not kept",
        "score of an annotation was not kept",
    ]


def test_white_space_around_a_class_is_listed(tmp_path: Path) -> None:
    table = made(tmp_path, ["a.png"])
    names = Annotations(**{**vars(table), "labels": LabelMap(("dog", "cat "))})
    losses = write(names, tmp_path / "out", name="voc")
    assert list(losses) == ["1 x name of a class is read back as 'cat' (first: 'cat ')"]


def test_a_name_that_leads_out_of_the_folder_is_not_written(tmp_path: Path) -> None:
    losses = write(made(tmp_path, ["../../a.png"]), tmp_path / "out", name="voc")
    assert losses.losses["image outside of the folder was left out"].count == 1
    assert losses.losses["box of an image that was left out"].count == 1
    assert list(tmp_path.rglob("*.xml")) == []


def test_voc_is_not_written_to_one_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="VOC is written to a folder, not to one file"):
        write(made(tmp_path, ["a.png"]), tmp_path / "out.xml", name="voc")


def test_boxes_that_are_not_finite_are_not_written(tmp_path: Path) -> None:
    table = made(tmp_path, ["a.png"])
    table.boxes.xyxy[0, 0] = np.nan
    losses = write(table, tmp_path / "out", name="voc")
    assert losses.losses["box that is not finite was not written"].count == 1
    assert len(read(tmp_path / "out").boxes) == 0
