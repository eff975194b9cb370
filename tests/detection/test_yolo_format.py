from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from rondel.errors import DataError, UsageError
from rondel_detection.data.formats import FORMATS, find_format, read, write
from rondel_detection.data.labels import LabelMap
from rondel_detection.data.table import Annotations, Status, TableBuilder


def picture(path: Path, size: tuple[int, int] = (100, 200)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size).save(path)


def text(path: Path, content: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")
    return path


def one_image(folder: Path, *lines: str, names: Any = ("cat", "dog"), **more: Any) -> Path:
    """A set of one image, described by data.yaml."""
    picture(folder / "images" / "a.jpg")
    text(folder / "labels" / "a.txt", "".join(f"{line}\n" for line in lines))
    given = list(names) if isinstance(names, tuple) else names
    content = {"train": "images", "val": "images/none", "names": given} | more
    return text(folder / "data.yaml", yaml.safe_dump(content))


def boxes(table: Annotations) -> list[list[float]]:
    return table.boxes.xyxy.round(9).tolist()  # type: ignore[no-any-return]


def kinds(table: Annotations) -> list[str]:
    """The losses, without that of the empty 'val' of `one_image`."""
    return [kind for kind in table.losses.losses if "folder or list" not in kind]


def test_boxes_are_shares_of_the_image_by_centre_and_size(tmp_path: Path) -> None:
    table = read(one_image(tmp_path, "1 0.5 0.5 0.2 0.5", "0 0 0 0.5 0.5"))
    assert boxes(table) == [[40, 50, 60, 150], [-25, -50, 25, 50]]
    assert table.boxes.label.tolist() == [1, 0]
    assert table.labels.names == ("cat", "dog")
    assert table.labels.ids == (0, 1)
    assert table.images.file.tolist() == ["images/a.jpg"]
    assert table.images.split.tolist() == ["train"]
    assert (table.images.width[0], table.images.height[0]) == (100, 200)
    assert table.box_place(1) == "labels/a.txt:2: annotation 1 (image 'images/a.jpg')"
    assert kinds(table) == []


def test_names_may_be_a_table_with_gaps(tmp_path: Path) -> None:
    table = read(one_image(tmp_path, "7 .5 .5 .1 .1", names={7: "dog", 0: "cat"}))
    assert table.labels.names == ("cat", "dog")
    assert table.labels.ids == (0, 7)
    assert table.boxes.label.tolist() == [1]


def test_two_numbers_of_one_name_become_one_class(tmp_path: Path) -> None:
    table = read(one_image(tmp_path, "1 .5 .5 .1 .1", "2 .5 .5 .1 .1", names=("cat", "dog", "cat")))
    assert table.labels.names == ("cat", "dog")
    assert table.boxes.label.tolist() == [1, 0]
    assert kinds(table) == ["classes of one name became one"]


def test_an_empty_file_is_empty_and_a_missing_one_is_unlabelled_and_listed(tmp_path: Path) -> None:
    one_image(tmp_path)
    picture(tmp_path / "images" / "b.jpg")
    table = read(tmp_path)
    assert table.images.status.tolist() == [Status.LABELLED, Status.UNLABELLED]
    assert kinds(table) == [
        "image without a label file is unlabelled (YOLO's tools take it for empty)"
    ]


def test_a_sixth_column_is_the_score_of_a_detection(tmp_path: Path) -> None:
    table = read(one_image(tmp_path, "1 0.5 0.5 0.2 0.5 0.75", "1 0.5 0.5 0.2 0.5"))
    assert table.boxes.score[0] == 0.75
    assert np.isnan(table.boxes.score[1])


def test_a_polygon_becomes_its_box_with_an_outline_and_is_listed(tmp_path: Path) -> None:
    table = read(one_image(tmp_path, "0 0.1 0.1 0.5 0.2 0.3 0.9"))
    assert boxes(table) == [[10, 20, 50, 180]]
    assert table.boxes.outline[0].polygons[0].tolist() == [[10, 20], [50, 40], [30, 180]]
    assert table.boxes.area.tolist() == [3000]
    assert kinds(table) == ["polygon became the enclosing box, with an outline"]


def test_four_corners_give_the_same_box_whether_polygon_or_rotated_box(tmp_path: Path) -> None:
    table = read(one_image(tmp_path, "0 0.5 0.1 0.9 0.5 0.5 0.9 0.1 0.5"))
    assert boxes(table) == [[10, 20, 90, 180]]
    assert kinds(table) == ["four corners became the enclosing box, with an outline"]


def test_keypoints_behind_a_box_are_not_taken_for_a_polygon(tmp_path: Path) -> None:
    line = "0 0.5 0.5 0.2 0.5 0.1 0.1 0.2 0.2"
    table = read(one_image(tmp_path, line, kpt_shape=[2, 2]))
    assert boxes(table) == [[40, 50, 60, 150]]
    assert kinds(table) == ["keypoints of an object are not kept"]


def test_dotas_corners_are_pixels_with_a_name_and_a_difficulty(tmp_path: Path) -> None:
    picture(tmp_path / "images" / "P1.png")
    content = (
        "imagesource:GoogleEarth\ngsd:0.1\n10 20 30 20 30 60 10 60 plane 1\n1 2 3 2 3 6 1 6 ship\n"
    )
    text(tmp_path / "labelTxt" / "P1.txt", content)
    table = read(tmp_path)
    assert table.format == "yolo"
    assert boxes(table) == [[10, 20, 30, 60], [1, 2, 3, 6]]
    assert [table.labels.names[label] for label in table.boxes.label] == ["plane", "ship"]
    assert table.boxes.difficult.tolist() == [True, False]


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("0 .5 .5 .1", "line of 4 columns was dropped"),
        ("0 1 2 3 4 5 6 7", "line of 8 columns was dropped"),
        ("0 .5 .5 .1 wide", "line with something else than numbers was dropped"),
        ("0 .5 .5 .1 nan", "line with something else than numbers was dropped"),
        ("0.5 .5 .5 .1 .1", "line with a class that is no whole number was dropped"),
        ("-1 .5 .5 .1 .1", "line with a class that is no whole number was dropped"),
        ("2 .5 .5 .1 .1", "box of a class beyond the 2 names was dropped"),
    ],
)
def test_a_bad_line_costs_itself_only_and_is_named(tmp_path: Path, line: str, kind: str) -> None:
    table = read(one_image(tmp_path, "1.0 0.5 0.5 0.2 0.5", "", line))
    assert len(table.boxes) == 1
    assert table.losses.losses[kind].examples == ["labels/a.txt:3"]


def test_boxes_beyond_the_image_stay_as_they_are_for_the_check_to_name(tmp_path: Path) -> None:
    assert boxes(read(one_image(tmp_path, "0 1.5 -0.5 0.2 0.2"))) == [[140, -120, 160, -80]]


def test_an_image_that_is_missing_keeps_its_row_and_loses_its_boxes(tmp_path: Path) -> None:
    one_image(tmp_path, "0 .5 .5 .1 .1", train="train.txt")
    text(tmp_path / "train.txt", "images/gone.jpg\nimages/a.jpg\n")
    text(tmp_path / "labels" / "gone.txt", "0 .5 .5 .1 .1\n")
    table = read(tmp_path)
    assert table.images.file.tolist() == ["images/gone.jpg", "images/a.jpg"]
    assert table.images.width.tolist() == [0, 100]
    assert table.boxes.image.tolist() == [1]
    assert kinds(table) == ["box in an image that cannot be read (images=FOLDER?) was dropped"]


def test_a_label_file_without_an_image_is_listed(tmp_path: Path) -> None:
    one_image(tmp_path, "0 .5 .5 .1 .1")
    text(tmp_path / "labels" / "orphan.txt", "0 .5 .5 .1 .1\n")
    table = read(tmp_path)
    assert kinds(table) == ["label file without an image is left out"]


def test_folders_alone_are_enough_and_name_the_splits(tmp_path: Path) -> None:
    for split in ("train", "val"):
        picture(tmp_path / "images" / split / "a.jpg")
        text(tmp_path / "labels" / split / "a.txt", "1 .5 .5 .1 .1\n")
    text(tmp_path / "classes.txt", "cat\ndog\n\n")
    assert find_format(tmp_path).name == "yolo"
    table = read(tmp_path)
    assert table.images.file.tolist() == ["images/train/a.jpg", "images/val/a.jpg"]
    assert table.images.split.tolist() == ["train", "val"]
    assert table.labels.names == ("cat", "dog")


def test_classes_without_names_are_called_by_their_numbers(tmp_path: Path) -> None:
    picture(tmp_path / "a.jpg")
    text(tmp_path / "a.txt", "17 .5 .5 .1 .1\n3 .5 .5 .1 .1\n")
    table = read(tmp_path)
    assert table.labels.names == ("3", "17")
    assert table.labels.ids == (3, 17)
    assert table.boxes.label.tolist() == [1, 0]
    assert kinds(table) == ["classes have no names and are called by their numbers"]


def test_roboflows_paths_that_lead_out_of_the_folder_are_found_in_it(tmp_path: Path) -> None:
    home = tmp_path / "set"
    picture(home / "train" / "images" / "a.jpg")
    text(home / "train" / "labels" / "a.txt", "0 .5 .5 .1 .1\n")
    picture(tmp_path / "train" / "images" / "foreign.jpg")
    text(home / "data.yaml", "names: [cat]\nnc: 1\ntrain: ../train/images\nval: ../valid/images\n")
    table = read(home)
    assert table.images.file.tolist() == ["train/images/a.jpg"]
    assert len(table.boxes) == 1
    assert kinds(table) == []


def test_darknets_description_with_cvats_folders_is_read(tmp_path: Path) -> None:
    text(tmp_path / "obj.data", "classes = 2\ntrain = data/train.txt\nnames = data/obj.names\n")
    text(tmp_path / "obj.names", "cat\ndog\n")
    text(tmp_path / "train.txt", "data/obj_train_data/a.jpg\n")
    picture(tmp_path / "obj_train_data" / "a.jpg")
    text(tmp_path / "obj_train_data" / "a.txt", "1 .5 .5 .1 .1\n")
    assert find_format(tmp_path).name == "yolo"
    table = read(tmp_path)
    assert table.images.file.tolist() == ["obj_train_data/a.jpg"]
    assert table.images.split.tolist() == ["train"]
    assert table.labels.names == ("cat", "dog")
    assert len(table.boxes) == 1
    assert not table.losses


def test_a_set_whose_images_lie_elsewhere_is_read_with_their_folder(tmp_path: Path) -> None:
    picture(tmp_path / "photos" / "sub" / "a.jpg")
    text(tmp_path / "set" / "labels" / "sub" / "a.txt", "0 .5 .5 .1 .1\n")
    text(tmp_path / "set" / "train.txt", "./images/sub/a.jpg\n")
    text(tmp_path / "set" / "data.yaml", "names: [cat]\ntrain: train.txt\n")
    table = read(tmp_path / "set", images=tmp_path / "photos")
    assert table.images.file.tolist() == ["sub/a.jpg"]
    assert len(table.boxes) == 1


def test_the_path_of_the_description_is_the_root(tmp_path: Path) -> None:
    one_image(tmp_path / "data", "0 .5 .5 .1 .1")
    path = text(tmp_path / "my.yaml", "path: data\nnames: [cat]\ntrain: images\n")
    table = read(path)
    assert table.root == tmp_path / "data"
    assert table.images.file.tolist() == ["images/a.jpg"]
    assert len(table.boxes) == 1


def test_a_listed_image_outside_of_the_set_is_never_opened(tmp_path: Path) -> None:
    picture(tmp_path / "secret" / "x.jpg")
    text(tmp_path / "secret" / "x.txt", "0 .5 .5 .1 .1\n")
    outside = (tmp_path / "secret" / "x.jpg").as_posix()
    one_image(tmp_path / "set", "0 .5 .5 .1 .1", train="train.txt")
    text(tmp_path / "set" / "train.txt", f"../secret/x.jpg\n{outside}\n")
    table = read(tmp_path / "set")
    assert table.images.file.tolist() == [outside, outside]
    assert table.images.width.tolist() == [0, 0]
    assert len(table.boxes) == 0


def test_a_description_that_is_no_yaml_is_named_with_its_line(tmp_path: Path) -> None:
    path = text(tmp_path / "data.yaml", "train: images\nnames: [cat\nval: [")
    with pytest.raises(DataError, match=r"data\.yaml:3: is no YAML"):
        read(path)


def test_a_description_that_is_no_table_is_refused(tmp_path: Path) -> None:
    path = text(tmp_path / "data.yaml", "'a text\nnames: [cat]\ntrain: images\n'")
    with pytest.raises(DataError, match="is no table of 'names', 'train' and 'val'"):
        read(path)


@pytest.mark.parametrize("names", [[["cat"]], {"cat": 0}, [None]])
def test_names_that_are_none_are_refused(tmp_path: Path, names: Any) -> None:
    with pytest.raises(DataError, match="'names' is no list of names"):
        read(one_image(tmp_path, names=names))


def test_a_name_that_no_file_can_have_is_kept(tmp_path: Path) -> None:
    long = "x" * 5000 + ".jpg"
    one_image(tmp_path, train="train.txt")
    text(tmp_path / "train.txt", f"{long}\n")
    assert read(tmp_path).images.file.tolist() == [long]


def test_a_split_that_is_not_there_is_listed(tmp_path: Path) -> None:
    table = read(one_image(tmp_path, "0 .5 .5 .1 .1"))
    assert list(table.losses) == [
        "1 x folder or list of a split is not there (first: val: images/none)"
    ]


def test_a_folder_that_is_no_set_is_refused(tmp_path: Path) -> None:
    text(tmp_path / "notes.txt", "bread\nbutter\n")
    assert FORMATS["yolo"].recognise(tmp_path) == ""
    with pytest.raises(DataError, match="is no YOLO set") as caught:
        read(tmp_path, name="yolo")
    assert "Name its data.yaml" in str(caught.value)


def made(root: Path, files: list[str], **image: Any) -> Annotations:
    builder = TableBuilder(root, "made")
    for file in files:
        builder.add_image(file, **({"width": 100, "height": 200} | image))
    builder.add_box(0, (0.1, 1 / 3, 30.7, 199.9), 1)
    return builder.build(LabelMap(("cat", "dog"), (0, 1)))


def test_the_written_set_is_complete_once_the_images_lie_in_it(tmp_path: Path) -> None:
    picture(tmp_path / "set" / "images" / "sub" / "a.jpg")
    table = made(tmp_path / "set" / "images", ["sub/a.jpg"], split="train")
    assert not write(table, tmp_path / "set", name="yolo")
    given = yaml.safe_load((tmp_path / "set" / "data.yaml").read_text(encoding="utf-8"))
    assert given == {"train": "train.txt", "val": "val.txt", "nc": 2, "names": {0: "cat", 1: "dog"}}
    assert (tmp_path / "set" / "train.txt").read_text() == "./images/sub/a.jpg\n"
    again = read(tmp_path / "set")
    assert again.images.file.tolist() == ["images/sub/a.jpg"]
    np.testing.assert_allclose(again.boxes.xyxy, table.boxes.xyxy, rtol=1e-12)


def test_an_unlabelled_image_gets_no_file_and_an_empty_one_an_empty_file(tmp_path: Path) -> None:
    table = made(tmp_path, ["a.jpg", "b.jpg", "c.jpg"])
    table.images.status[1] = Status.UNLABELLED
    picture(tmp_path / "a.jpg")
    losses = write(table, tmp_path / "out", name="yolo")
    assert list(losses) == [
        "1 x unlabelled image is an empty one for YOLO's tools (first: image 'b.jpg')"
    ]
    assert (tmp_path / "out" / "labels" / "c.txt").read_text() == ""
    assert not (tmp_path / "out" / "labels" / "b.txt").exists()


def test_a_missing_size_is_read_from_the_image_or_the_image_is_named(tmp_path: Path) -> None:
    table = made(tmp_path, ["a.jpg"], width=0, height=0)
    with pytest.raises(DataError, match="the size of the image is not known") as caught:
        write(table, tmp_path / "out", name="yolo")
    assert str(caught.value).startswith("image 'a.jpg': ")
    assert "images=FOLDER" in str(caught.value)
    picture(tmp_path / "a.jpg")
    assert not write(table, tmp_path / "out", name="yolo")


def test_a_size_that_is_not_that_of_the_file_is_listed(tmp_path: Path) -> None:
    # such as that of a photo before its EXIF rotation
    picture(tmp_path / "a.jpg", (200, 100))
    (kind,) = write(made(tmp_path, ["a.jpg"]), tmp_path / "out", name="yolo").losses
    assert kind.startswith("size and box in pixels change where an image file has another size")


def test_images_that_would_share_a_label_file_are_named(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"'a\.jpg' and 'a\.png' would share the file labels/a\.txt"
    ):
        write(made(tmp_path, ["a.jpg", "a.png"]), tmp_path / "out", name="yolo")


def test_what_yolo_cannot_hold_is_listed(tmp_path: Path) -> None:
    builder = TableBuilder(tmp_path, "made")
    picture(tmp_path / "a.jpg")
    builder.add_image("a.jpg", width=100, height=200, id=5, attributes={"a": 1})
    builder.add_box(0, (1, 2, 3, 4), 0, id=9, area=1.5, attributes={"b": 2})
    table = builder.build(LabelMap(("cat",), (90,), {0: "animal"}))
    for flag in ("crowd", "difficult", "truncated", "occluded"):
        getattr(table.boxes, flag)[0] = True
    assert sorted(write(table, tmp_path / "out", name="yolo").losses) == [
        "annotation id was not kept",
        "area of an object was not kept",
        "attributes of an annotation were not kept",
        "attributes of an image were not kept",
        "flag 'crowd' was not kept",
        "flag 'difficult' was not kept",
        "flag 'occluded' was not kept",
        "flag 'truncated' was not kept",
        "id of a class was not kept",
        "image id was not kept",
        "supercategory of a class was not kept",
    ]


def test_an_image_in_a_folder_called_images_keeps_its_own_labels(tmp_path: Path) -> None:
    picture(tmp_path / "a.jpg")
    picture(tmp_path / "images" / "a.jpg")
    table = made(tmp_path, ["a.jpg", "images/a.jpg"])
    assert not write(table, tmp_path / "out", name="yolo")
    again = read(tmp_path / "out", images=tmp_path)
    assert again.images.file.tolist() == ["a.jpg", "images/a.jpg"]
    assert again.boxes.image.tolist() == [0]


@pytest.mark.parametrize("file", ["../../a.jpg", "/a.jpg", "two\nlines.jpg"])
def test_a_name_that_cannot_be_listed_or_leads_out_is_not_written(
    tmp_path: Path, file: str
) -> None:
    losses = write(made(tmp_path, [file]), tmp_path / "out", name="yolo")
    assert losses.losses["image whose name cannot be listed was left out"].count == 1
    assert losses.losses["box of an image that was left out"].count == 1
    assert list((tmp_path / "out" / "labels").iterdir()) == []


def test_yolo_is_not_written_to_one_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="YOLO is written to a folder, not to one file"):
        write(made(tmp_path, ["a.jpg"]), tmp_path / "data.yaml", name="yolo")
