from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from rondel.errors import DataError, UsageError
from rondel_detection.data.formats import find_format, read, write
from rondel_detection.data.table import Status

HEADER = (
    "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,"
    "IsOccluded,IsTruncated,IsGroupOf,IsDepiction,IsInside"
)
CAT, DOG = "/m/01yrx", "/m/0bt9lr"


def picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (100, 200)).save(path)


def lines(path: Path, *rows: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{row}\n" for row in rows), encoding="utf-8")
    return path


def boxes(folder: Path, *rows: str, split: str = "validation", header: str = HEADER) -> Path:
    return lines(folder / f"{split}-annotations-bbox.csv", header, *rows)


def test_sides_stand_in_the_order_x_x_y_y_and_are_shares(tmp_path: Path) -> None:
    picture(tmp_path / "validation" / "000a.jpg")
    boxes(tmp_path, f"000a,xclick,{DOG},1,0.1,0.5,0.25,0.75,0,0,0,0,0")
    lines(tmp_path / "class-descriptions-boxable.csv", f"{CAT},Cat", f"{DOG},Dog")
    assert find_format(tmp_path).name == "openimages"
    table = read(tmp_path)
    assert table.boxes.xyxy.tolist() == [[10, 50, 50, 150]]
    assert table.labels.names == ("Dog",)
    assert table.labels.ids == (DOG,)
    assert table.images.file.tolist() == ["validation/000a.jpg"]
    assert table.images.id.tolist() == ["000a"]
    assert table.images.split.tolist() == ["val"]
    assert table.box_place(0).startswith("validation-annotations-bbox.csv:2: ")
    assert list(table.losses) == [
        "1 x column 'Source' is not kept (first: validation-annotations-bbox.csv)"
    ]


def test_flags_are_kept_and_unknown_ones_are_listed(tmp_path: Path) -> None:
    picture(tmp_path / "000a.jpg")
    boxes(
        tmp_path,
        f"000a,x,{CAT},1,0,1,0,1,1,1,1,1,0",
        f"000a,x,{CAT},0.5,0,1,0,1,-1,0,0,0,-1",
    )
    table = read(tmp_path)
    assert table.boxes.occluded.tolist() == [True, False]
    assert table.boxes.truncated.tolist() == [True, False]
    assert table.boxes.crowd.tolist() == [True, False]
    assert table.boxes.attributes == {0: {"IsDepiction": True}}
    assert table.boxes.score[1] == 0.5
    assert table.labels.names == (CAT,)
    assert {
        "IsOccluded that is not known is taken as not set",
        "IsInside that is not known is taken as not set",
    } <= table.losses.losses.keys()


def test_an_image_without_boxes_is_empty_only_if_absence_was_verified(tmp_path: Path) -> None:
    for name in ("boxed", "absent", "present", "nothing"):
        picture(tmp_path / f"{name}.jpg")
    boxes(tmp_path, f"boxed,x,{CAT},1,0,1,0,1,0,0,0,0,0")
    lines(
        tmp_path / "validation-annotations-human-imagelabels.csv",
        "ImageID,Source,LabelName,Confidence",
        f"absent,verification,{CAT},0",
        f"present,verification,{CAT},0",
        f"present,verification,{DOG},1",
    )
    lines(tmp_path / "class-descriptions.csv", "LabelName,DisplayName", f"{CAT},Cat")
    table = read(tmp_path)
    status = dict(zip(table.images.id, table.images.status, strict=True))
    assert status == {
        "boxed": Status.LABELLED,
        "absent": Status.LABELLED,
        "present": Status.UNLABELLED,
        "nothing": Status.UNLABELLED,
    }
    assert table.images.attributes == {
        1: {"verified_absent": ["Cat"]},
        2: {"verified_present": [DOG], "verified_absent": ["Cat"]},
    }


def test_images_that_were_not_downloaded_are_left_out_and_counted(tmp_path: Path) -> None:
    picture(tmp_path / "000a.jpg")
    row = "x,{},1,0,1,0,1,0,0,0,0,0"
    boxes(tmp_path, f"000a,{row.format(CAT)}", f"far,{row.format(DOG)}", f"far,{row.format(CAT)}")
    table = read(tmp_path)
    assert table.images.id.tolist() == ["000a"]
    assert table.losses.losses["box of an image that is not there was left out"].count == 2


def test_without_any_image_the_rows_stay_and_the_boxes_are_listed(tmp_path: Path) -> None:
    path = boxes(tmp_path, f"000a,x,{CAT},1,0,1,0,1,0,0,0,0,0")
    table = read(path)
    assert table.images.file.tolist() == ["000a.jpg"]
    assert table.images.width.tolist() == [0]
    assert table.losses.losses["box in an image that cannot be read was dropped"].examples == [
        "validation-annotations-bbox.csv:2"
    ]


def test_a_record_without_numbers_costs_itself_only(tmp_path: Path) -> None:
    picture(tmp_path / "000a.jpg")
    boxes(tmp_path, f"000a,x,{CAT},1,0,1,0,", "", f"000a,x,{CAT},1,0,1,0,1,0,0,0,0,0")
    table = read(tmp_path)
    assert len(table.boxes) == 1
    assert "box that is not finite was dropped" in table.losses.losses


def test_two_classes_of_one_name_are_told_apart_by_their_mid(tmp_path: Path) -> None:
    picture(tmp_path / "000a.jpg")
    boxes(tmp_path, *(f"000a,x,{mid},1,0,1,0,1,0,0,0,0,0" for mid in (CAT, DOG)))
    lines(tmp_path / "class-descriptions-boxable.csv", f"{CAT},Pet", f"{DOG},Pet")
    assert read(tmp_path).labels.names == ("Pet", f"Pet ({DOG})")


def test_the_splits_of_several_files_are_kept_apart(tmp_path: Path) -> None:
    for split in ("train", "test"):
        picture(tmp_path / split / f"{split}1.jpg")
        boxes(tmp_path, f"{split}1,x,{CAT},1,0,1,0,1,0,0,0,0,0", split=f"oidv6-{split}")
    table = read(tmp_path)
    assert dict(zip(table.images.id, table.images.split, strict=True)) == {
        "test1": "test",
        "train1": "train",
    }


def test_other_csv_is_refused(tmp_path: Path) -> None:
    path = lines(tmp_path / "a.csv", "image,xmin,ymin", "a,1,2")
    with pytest.raises(DataError, match="holds no CSV file with the columns ImageID, LabelName"):
        read(path, name="openimages")


def test_open_images_is_read_only(tmp_path: Path) -> None:
    picture(tmp_path / "000a.jpg")
    table = read(boxes(tmp_path, f"000a,x,{CAT},1,0,1,0,1,0,0,0,0,0"))
    with pytest.raises(UsageError, match="Open Images CSV can be read, but not written"):
        write(table, tmp_path / "out", name="openimages")
