from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from rondel.errors import UsageError
from rondel_detection.data.formats import FORMATS, find_format, read, write


def labels(folder: Path, **more: Any) -> Path:
    image = {
        "id": 391895,
        "width": 640,
        "height": 360,
        "coco_url": "http://images.cocodataset.org/train2017/000000391895.jpg",
        "neg_category_ids": [12, 3],
        "not_exhaustive_category_ids": [],
    }
    category = {"id": 3, "name": "acorn", "synset": "acorn.n.01", "frequency": "r"}
    annotation = {"id": 1, "image_id": 391895, "category_id": 3, "bbox": [1, 2, 3, 4], "area": 9.5}
    path = folder / "lvis_v1_train.json"
    content = {"images": [image], "annotations": [annotation], "categories": [category]}
    path.write_text(json.dumps(content | more), encoding="utf-8")
    return path


def test_lvis_is_not_taken_for_coco(tmp_path: Path) -> None:
    path = labels(tmp_path)
    assert find_format(path).name == "lvis"
    assert find_format(tmp_path).name == "lvis"
    assert FORMATS["coco"].recognise(path) == FORMATS["coco"].recognise(tmp_path) == ""


def test_the_file_name_comes_from_the_url_with_the_folder_of_coco(tmp_path: Path) -> None:
    table = read(labels(tmp_path))
    assert table.format == "lvis"
    assert table.images.file.tolist() == ["train2017/000000391895.jpg"]
    assert table.boxes.xyxy.tolist() == [[1, 2, 4, 6]]
    assert table.labels.ids == (3,)


def test_the_folder_of_the_url_is_looked_for_above_the_labels(tmp_path: Path) -> None:
    (tmp_path / "train2017").mkdir()
    Image.new("RGB", (8, 6)).save(tmp_path / "train2017" / "000000391895.jpg")
    (tmp_path / "annotations").mkdir()
    assert read(labels(tmp_path / "annotations")).root == tmp_path


def test_what_an_image_was_searched_for_is_kept_as_attribute_and_listed(tmp_path: Path) -> None:
    table = read(labels(tmp_path))
    assert table.images.attributes[0]["neg_category_ids"] == [12, 3]
    (line,) = table.losses
    assert line.startswith(
        "1 x classes that are known to be absent are only an image attribute (neg_category_ids)"
    )


def test_lvis_is_read_only(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="LVIS JSON can be read, but not written"):
        write(read(labels(tmp_path)), tmp_path / "out", name="lvis")
