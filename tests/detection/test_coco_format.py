from __future__ import annotations

import gc
import io
import json
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from rondel.errors import DataError
from rondel_detection.data.formats import FORMATS, find_format, read, write
from rondel_detection.data.formats.coco_columns import run_lengths
from rondel_detection.data.labels import LabelMap
from rondel_detection.data.table import Annotations, Outline, Status, TableBuilder

IMAGES: list[dict[str, Any]] = [
    {"id": 7, "file_name": "a.png", "width": 64, "height": 48},
    {"id": 0, "file_name": "sub/b.png", "width": 40, "height": 40},
]
CATEGORIES = [
    {"id": 0, "name": "cat", "supercategory": "animal"},
    {"id": 90, "name": "cup", "supercategory": ""},
]


def annotation(number: int, image: int = 7, category: int = 90, **more: Any) -> dict[str, Any]:
    return {"id": number, "image_id": image, "category_id": category, "bbox": [1, 2, 10, 20]} | more


def labels(folder: Path, *annotations: Any, name: str = "labels.json", **more: Any) -> Path:
    """Write a COCO file; a part that is None is left out."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"images": IMAGES, "annotations": list(annotations), "categories": CATEGORIES}
    kept = {key: value for key, value in {**content, **more}.items() if value is not None}
    path.write_text(json.dumps(kept), encoding="utf-8")
    return path


def picture(path: Path, size: tuple[int, int] = (64, 48)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size).save(path)


def loaded(path: Path) -> COCO:
    with redirect_stdout(io.StringIO()):
        return COCO(str(path))


def made(root: Path, count: int = 3) -> Annotations:
    """Two labelled images with boxes, one without, all of their own splits."""
    builder = TableBuilder(root, "made")
    for number in range(count):
        builder.add_image(f"{number}.png", width=64, height=48, id=number + 5)
    builder.add_box(0, (1.5, 2.25, 30.0, 40.0), 1, id=11)
    builder.add_box(0, (0.0, 0.0, 64.0, 48.0), 0, id=12, crowd=True, area=99.5)
    builder.add_box(1, (3.0, 4.0, 5.0, 6.0), 1, id=13, difficult=True, occluded=True)
    return builder.build(LabelMap(("cat", "cup"), (17, 3), {0: "animal"}))


def test_ids_with_gaps_and_zero_are_kept_and_become_contiguous_classes(tmp_path: Path) -> None:
    table = read(labels(tmp_path, annotation(0), annotation(900, image=0, category=0)))
    assert table.format == "coco"
    assert table.labels.names == ("cat", "cup")
    assert table.labels.ids == (0, 90)
    assert table.labels.groups == {0: "animal"}
    assert table.images.id.tolist() == [7, 0]
    assert table.boxes.id.tolist() == [0, 900]
    assert table.boxes.label.tolist() == [1, 0]
    assert table.boxes.image.tolist() == [0, 1]
    assert table.boxes.xyxy.tolist() == [[1, 2, 11, 22]] * 2
    assert not table.losses


def test_images_without_annotations_are_labelled_and_empty(tmp_path: Path) -> None:
    table = read(labels(tmp_path))
    assert table.images.status.tolist() == [Status.LABELLED] * 2
    assert len(table.boxes) == 0


def test_a_list_of_images_without_annotations_is_unlabelled(tmp_path: Path) -> None:
    table = read(labels(tmp_path, annotations=None))
    assert table.images.status.tolist() == [Status.UNLABELLED] * 2


def test_missing_area_iscrowd_and_segmentation_are_no_problem(tmp_path: Path) -> None:
    table = read(labels(tmp_path, annotation(1), annotation(2, area=None, iscrowd=1)))
    assert np.isnan(table.boxes.area).all()
    assert table.boxes.crowd.tolist() == [False, True]


def test_an_unknown_image_or_category_costs_the_box_only_and_is_named(tmp_path: Path) -> None:
    path = labels(tmp_path, annotation(1, image=8), annotation(2, category=3), annotation(3))
    table = read(path)
    assert table.boxes.id.tolist() == [3]
    assert list(table.losses) == [
        f"1 x annotation of an unknown {what}"
        for what in (
            "image_id is dropped (first: labels.json: annotation 1 (image_id 8))",
            "category_id is dropped (first: labels.json: annotation 2 (category_id 3))",
        )
    ]


@pytest.mark.parametrize("bad", [None, [], [1, 2, 3], "1 2 3 4", [1, 2, None, 4], [1, 2, "x", 4]])
def test_an_annotation_without_a_box_is_dropped_and_named(tmp_path: Path, bad: Any) -> None:
    table = read(labels(tmp_path, annotation(1, bbox=bad), annotation(2)))
    assert table.boxes.id.tolist() == [2]
    assert table.boxes.xyxy.tolist() == [[1, 2, 11, 22]]
    assert list(table.losses) == [
        "1 x annotation without a box is dropped (first: labels.json: annotation 1)"
    ]


def test_a_missing_box_is_the_box_around_the_polygons(tmp_path: Path) -> None:
    parts = [[5, 6, 9, 6, 9, 30], [20.5, 1, 22, 1, 22, 3]]
    table = read(labels(tmp_path, annotation(1, bbox=None, segmentation=parts)))
    assert table.boxes.xyxy.tolist() == [[5, 1, 22, 30]]
    polygons = table.boxes.outline[0].polygons
    assert [points.ravel().tolist() for points in polygons] == parts


@pytest.mark.parametrize("packed", [False, True])
def test_a_missing_box_is_the_exact_box_around_the_mask(tmp_path: Path, packed: bool) -> None:
    bitmap = np.zeros((48, 64), dtype=np.uint8, order="F")
    bitmap[10:20, 30:33] = 1
    bitmap[15, 29] = 1
    encoded = coco_mask.encode(bitmap)
    x, y, w, h = coco_mask.toBbox(encoded).tolist()
    counts: Any = encoded["counts"].decode("ascii")
    mask = {"size": [48, 64], "counts": counts if packed else list(run_lengths(counts))}
    table = read(labels(tmp_path, annotation(1, bbox=None, segmentation=mask, iscrowd=1)))
    assert table.boxes.xyxy.tolist() == [[x, y, x + w, y + h]] == [[29, 10, 33, 20]]
    assert table.boxes.outline[0].counts == run_lengths(counts)


def test_run_lengths_are_decoded_as_pycocotools_does() -> None:
    generator = np.random.default_rng(0)
    for share in (0.0, 0.02, 0.5, 1.0):
        bitmap = np.asfortranarray((generator.random((70, 90)) < share).astype(np.uint8))
        runs = run_lengths(coco_mask.encode(bitmap)["counts"].decode("ascii"))
        again = np.repeat(np.arange(len(runs)) % 2, runs).reshape(70, 90, order="F")
        assert (again == bitmap).all()


@pytest.mark.parametrize("text", ["é", "\x10", "o", "ooooooooooooooooo"])
def test_damaged_run_lengths_cost_the_outline_only(tmp_path: Path, text: str) -> None:
    mask = {"size": [48, 64], "counts": text}
    table = read(labels(tmp_path, annotation(1, segmentation=mask)))
    assert len(table.boxes) == 1
    assert not table.boxes.outline
    assert "outline that is no polygon and no mask is dropped" in next(iter(table.losses))


def test_a_mask_of_a_gigantic_size_is_never_decoded(tmp_path: Path) -> None:
    mask = {"size": [10**9, 10**9], "counts": [5, 10**18 - 5]}
    table = read(labels(tmp_path, annotation(1, segmentation=mask)))
    assert list(table.losses) == [
        "1 x outline that is a mask of another size is dropped (first: labels.json: annotation 1)"
    ]


@pytest.mark.parametrize("bad", [[[1, 2, 3, 4]], [[1, 2, 3, 4, 5, 6, 7]], [["a"] * 6], {"size": 1}])
def test_an_outline_that_is_none_costs_only_itself(tmp_path: Path, bad: Any) -> None:
    good = [[1, 2, 3, 4, 5, 6]]
    path = labels(tmp_path, annotation(1, segmentation=bad), annotation(2, segmentation=good))
    table = read(path)
    assert len(table.boxes) == 2
    assert list(table.boxes.outline) == [1]
    assert list(table.losses) == [
        "1 x outline that is no polygon and no mask is dropped (first: labels.json: annotation 1)"
    ]


def test_an_empty_list_of_polygons_is_no_outline_and_no_loss(tmp_path: Path) -> None:
    table = read(labels(tmp_path, annotation(1, segmentation=[[]]), annotation(2, segmentation=[])))
    assert not table.boxes.outline
    assert not table.losses


def test_a_polygon_without_the_outer_list_is_understood(tmp_path: Path) -> None:
    table = read(labels(tmp_path, annotation(1, segmentation=[1, 2, 3, 4, 5, 6])))
    assert table.boxes.outline[0].polygons[0].tolist() == [[1, 2], [3, 4], [5, 6]]


def test_attributes_are_kept_and_those_of_cvat_that_are_flags_become_flags(tmp_path: Path) -> None:
    given = {"occluded": True, "truncated": False, "rotation": 30.0}
    table = read(labels(tmp_path, annotation(1, attributes=given), annotation(2, ignore=1)))
    assert table.boxes.occluded.tolist() == [True, False]
    assert table.boxes.difficult.tolist() == [False, True]
    assert table.boxes.attributes == {0: {"rotation": 30.0}}


def test_fields_without_a_column_are_listed(tmp_path: Path) -> None:
    path = labels(tmp_path, annotation(1, keypoints=[1, 2, 2]), licenses=[{"id": 1}])
    assert sorted(read(path).losses.losses) == [
        "'licenses' of the whole set is not kept",
        "field 'keypoints' of an annotation is not kept",
    ]


def test_where_a_photo_came_from_stays_an_attribute_of_the_image(tmp_path: Path) -> None:
    image = IMAGES[0] | {"license": 3, "flickr_url": "f", "phash": 5}
    table = read(labels(tmp_path, images=[image]))
    assert table.images.attributes == {0: {"license": 3, "flickr_url": "f"}}
    assert list(table.losses) == ["1 x field 'phash' of an image is not kept"]


def test_two_categories_of_one_name_become_one_class(tmp_path: Path) -> None:
    # Roboflow writes the supercategory as a class 0 that may have the name of another
    double = [{"id": 0, "name": "cat"}, {"id": 1, "name": "cat"}]
    path = labels(tmp_path, annotation(1, category=0), annotation(2, category=1), categories=double)
    table = read(path)
    assert table.labels.names == ("cat",)
    assert table.boxes.label.tolist() == [0, 0]
    assert "categories of one name became one class" in table.losses.losses


def test_missing_categories_are_named_by_their_id(tmp_path: Path) -> None:
    table = read(
        labels(tmp_path, annotation(1, category=5), annotation(2, category=2), categories=None)
    )
    assert table.labels.names == ("2", "5")
    assert table.labels.ids == (2, 5)
    assert list(table.losses) == [
        "1 x no categories: classes are named by their id (first: labels.json)"
    ]


def test_an_image_id_that_occurs_twice_is_listed_and_no_image_is_lost(tmp_path: Path) -> None:
    double = [*IMAGES, IMAGES[0] | {"file_name": "c.png"}]
    table = read(labels(tmp_path, annotation(1), images=double))
    assert table.images.file.tolist() == ["a.png", "sub/b.png", "c.png"]
    assert table.boxes.image.tolist() == [0]
    assert "image id occurs twice: its boxes belong to the first" in table.losses.losses


def test_repeated_annotation_ids_are_kept_for_the_check_to_name(tmp_path: Path) -> None:
    assert read(labels(tmp_path, annotation(1), annotation(1))).boxes.id.tolist() == [1, 1]


def test_names_are_brought_to_forward_slashes(tmp_path: Path) -> None:
    image = IMAGES[0] | {"file_name": ".\\sub\\a.png"}
    assert read(labels(tmp_path, images=[image])).images.file.tolist() == ["sub/a.png"]


@pytest.mark.parametrize("given", ["/home/else/photos/sub/a.png", "D:\\photos\\sub\\a.png"])
def test_an_absolute_path_of_another_machine_is_found_by_its_end(
    tmp_path: Path, given: str
) -> None:
    picture(tmp_path / "sub" / "a.png")
    table = read(labels(tmp_path, images=[IMAGES[0] | {"file_name": given}]))
    assert table.images.file.tolist() == ["sub/a.png"]
    assert "absolute path of an image became what exists of its end" in table.losses.losses


def test_the_garbage_collector_works_again_after_reading(tmp_path: Path) -> None:
    read(labels(tmp_path))
    assert gc.isenabled()
    with pytest.raises(DataError):
        read(labels(tmp_path, images=None), name="coco")
    assert gc.isenabled()


def test_a_name_that_leads_out_of_the_folder_is_kept_and_never_opened(tmp_path: Path) -> None:
    picture(tmp_path / "secret.png", (99, 77))
    image = {"id": 1, "file_name": "../secret.png"}
    table = read(labels(tmp_path / "set", annotation(1, image=1), images=[image]))
    assert table.images.file.tolist() == ["../secret.png"]
    assert table.images.width.tolist() == [0]
    assert len(table.boxes) == 1


def test_missing_sizes_are_read_from_the_image(tmp_path: Path) -> None:
    picture(tmp_path / "a.png", (33, 22))
    table = read(labels(tmp_path, images=[{"id": 7, "file_name": "a.png"}]))
    assert (table.images.width.tolist(), table.images.height.tolist()) == ([33], [22])


def test_a_byte_order_mark_is_no_obstacle(tmp_path: Path) -> None:
    path = labels(tmp_path, annotation(1))
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert len(read(path).boxes) == 1


def test_a_cut_off_file_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "labels.json"
    path.write_text('{"images": [],\n"annotations": [', encoding="utf-8")
    with pytest.raises(DataError, match=r"labels\.json:2:\d+: is no JSON") as caught:
        read(path)
    assert "cut off" in str(caught.value)


def test_json_without_images_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "labels.json"
    path.write_text("{}", encoding="utf-8")
    with pytest.raises(DataError, match="has no list of 'images', so it is no COCO JSON"):
        read(path, name="coco")


@pytest.mark.parametrize("bad", [{"images": [7]}, {"annotations": [[]]}, {"annotations": 3}])
def test_lists_of_something_else_than_objects_are_refused(tmp_path: Path, bad: Any) -> None:
    with pytest.raises(DataError, match=f"'{next(iter(bad))}' is no list of objects"):
        read(labels(tmp_path, **bad), name="coco")


def test_a_list_of_results_is_recognised_and_refused_with_an_explanation(tmp_path: Path) -> None:
    path = tmp_path / "detections.json"
    path.write_text(json.dumps([annotation(1, score=0.5)]), encoding="utf-8")
    assert find_format(path).name == "coco"
    with pytest.raises(DataError, match="is a list of COCO results") as caught:
        read(path)
    assert "Name the file with 'images'" in str(caught.value)


def test_cocos_own_folders_are_splits_and_their_images_are_found(tmp_path: Path) -> None:
    for name, image in (("train2017", IMAGES[0]), ("val2017", IMAGES[1])):
        labels(
            tmp_path,
            annotation(1, image["id"]),
            images=[image],
            name=f"annotations/instances_{name}.json",
        )
        picture(tmp_path / name / str(image["file_name"]))
    labels(tmp_path, name="annotations/captions_val2017.json")
    table = read(tmp_path)
    assert table.images.file.tolist() == ["train2017/a.png", "val2017/sub/b.png"]
    assert table.images.split.tolist() == ["train", "val"]
    assert table.boxes.id.tolist() == [1, 1]
    assert table.files == (
        "annotations/instances_train2017.json",
        "annotations/instances_val2017.json",
    )
    assert table.box_place(1).startswith("annotations/instances_val2017.json: annotation 1")


def test_lists_of_unlabelled_images_that_are_not_there_are_left_out(tmp_path: Path) -> None:
    labels(tmp_path, annotation(1), name="annotations/instances_val2017.json")
    picture(tmp_path / "val2017" / "a.png")
    labels(
        tmp_path,
        annotations=None,
        name="annotations/image_info_test2017.json",
        images=[{"id": 3, "file_name": "far.png"}],
    )
    table = read(tmp_path)
    assert table.images.split.tolist() == ["val", "val"]
    (line,) = table.losses
    assert line.startswith("1 x list of unlabelled images that are not there is left out (first: ")


def test_roboflows_folders_are_splits(tmp_path: Path) -> None:
    for name, image in (("train", IMAGES[0]), ("valid", IMAGES[1])):
        labels(tmp_path, images=[image], name=f"{name}/_annotations.coco.json")
    table = read(tmp_path)
    assert table.images.file.tolist() == ["train/a.png", "valid/sub/b.png"]
    assert table.images.split.tolist() == ["train", "valid"]


def test_classes_of_several_files_are_joined_by_name(tmp_path: Path) -> None:
    labels(tmp_path, annotation(1), name="annotations/instances_train.json")
    other = [{"id": 90, "name": "dog"}, {"id": 0, "name": "cup"}]
    labels(
        tmp_path,
        annotation(1),
        annotation(2, category=0),
        categories=other,
        name="annotations/instances_val.json",
    )
    table = read(tmp_path)
    assert [table.labels.names[label] for label in table.boxes.label] == ["cup", "dog", "cup"]
    assert table.labels.ids == (0, 90, 91)
    assert {
        "class id that two files use differently is changed",
        "class id that differs between files is changed",
    } <= table.losses.losses.keys()


def test_the_folder_of_the_images_is_found_from_a_lone_file(tmp_path: Path) -> None:
    picture(tmp_path / "val2017" / "a.png")
    path = labels(tmp_path, name="annotations/instances_val2017.json")
    assert read(path).root == tmp_path / "val2017"
    assert read(path, images=tmp_path).root == tmp_path


def test_pycocotools_reads_what_is_written(tmp_path: Path) -> None:
    table = made(tmp_path)
    losses = write(table, tmp_path / "out.json", name="coco")
    assert not losses
    api = loaded(tmp_path / "out.json")
    assert sorted(api.getImgIds()) == [5, 6, 7]
    assert sorted(api.getCatIds()) == [3, 17]
    assert api.loadCats(17)[0]["supercategory"] == "animal"
    found = api.loadAnns(api.getAnnIds(imgIds=[5]))
    assert [a["id"] for a in found] == [11, 12]
    assert found[0]["bbox"] == [1.5, 2.25, 28.5, 37.75]
    assert found[0]["area"] == 28.5 * 37.75
    assert (found[1]["iscrowd"], found[1]["area"]) == (1, 99.5)
    assert api.loadAnns(13)[0]["attributes"] == {"occluded": True}
    assert api.loadAnns(13)[0]["ignore"] == 1


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_pycocotools_draws_the_masks_that_are_written(tmp_path: Path) -> None:
    builder = TableBuilder(tmp_path, "made")
    builder.add_image("a.png", width=8, height=6)
    square = np.array([[1.0, 1.0], [4.0, 1.0], [4.0, 4.0], [1.0, 4.0]])
    builder.add_box(0, (1, 1, 4, 4), 0, outline=Outline((square,)))
    builder.add_box(0, (1, 2, 2, 4), 0, outline=Outline(counts=(8, 2, 38)), crowd=True)
    write(builder.build(LabelMap(("cat",))), tmp_path / "out.json", name="coco")
    api = loaded(tmp_path / "out.json")
    polygon, mask = (api.annToMask(api.anns[key]) for key in (1, 2))
    assert polygon.sum() == 9
    assert np.argwhere(mask).tolist() == [[2, 1], [3, 1]]


def test_annotation_ids_of_zero_are_shifted_since_pycocotools_takes_them_for_no_match(
    tmp_path: Path,
) -> None:
    table = read(labels(tmp_path, annotation(0), annotation(9)))
    losses = write(table, tmp_path / "out.json", name="coco")
    assert sorted(loaded(tmp_path / "out.json").getAnnIds()) == [1, 10]
    assert "annotation id (pycocotools takes 0 for no match) is renumbered" in losses.losses


def test_ids_that_are_no_numbers_are_renumbered_and_listed(tmp_path: Path) -> None:
    builder = TableBuilder(tmp_path, "made")
    builder.add_image("a.png", width=8, height=6, id="x")
    builder.add_image("b.png", width=8, height=6, id="y")
    builder.add_box(0, (1, 1, 4, 4), 0, id="p")
    losses = write(builder.build(LabelMap(("cat",), ("/m/01",))), tmp_path / "o.json", name="coco")
    assert list(losses) == [
        "2 x image id is renumbered (first: 'x')",
        "1 x class id became a number (first: '/m/01')",
        "1 x annotation id is renumbered (first: 'p')",
    ]
    assert loaded(tmp_path / "o.json").getImgIds() == [1, 2]


def test_a_folder_gets_one_file_for_each_split_and_one_for_what_is_unlabelled(
    tmp_path: Path,
) -> None:
    table = made(tmp_path)
    table.images.split[:] = ["train", "val", "val"]
    table.images.status[2] = Status.UNLABELLED
    picture(tmp_path / "0.png")
    assert not write(table, tmp_path / "out", name="coco")
    assert sorted(path.name for path in (tmp_path / "out" / "annotations").iterdir()) == [
        "image_info_val.json",
        "instances_train.json",
        "instances_val.json",
    ]
    again = read(tmp_path / "out", images=tmp_path)
    assert again.images.file.tolist() == ["0.png", "1.png"]  # 2.png is nowhere to be seen
    picture(tmp_path / "2.png")
    again = read(tmp_path / "out", images=tmp_path)
    status = dict(zip(again.images.file, again.images.status, strict=True))
    assert status == {"0.png": 1, "1.png": 1, "2.png": 0}


def test_one_file_lists_the_splits_and_the_unlabelled_images_that_it_cannot_tell(
    tmp_path: Path,
) -> None:
    table = made(tmp_path)
    table.images.split[:2] = "train"
    table.images.status[2] = Status.UNLABELLED
    assert list(write(table, tmp_path / "out.json", name="coco")) == [
        "2 x split of an image was not kept in one file (first: image '0.png', image '1.png')",
        "1 x unlabelled image looks like one without objects (first: image '2.png')",
    ]


def test_ignored_images_are_left_out_with_their_boxes_and_listed(tmp_path: Path) -> None:
    table = made(tmp_path)
    table.images.status[0] = Status.IGNORED
    losses = write(table, tmp_path / "out.json", name="coco")
    assert losses.losses["ignored image was left out"].count == 1
    assert losses.losses["box of an ignored image was left out"].count == 2
    assert sorted(loaded(tmp_path / "out.json").getImgIds()) == [6, 7]


def test_a_split_that_cannot_be_a_file_name_is_refused(tmp_path: Path) -> None:
    table = made(tmp_path)
    table.images.split[0] = "../train"
    with pytest.raises(DataError, match=r"the split '\.\./train' cannot be the name of a file"):
        write(table, tmp_path / "out", name="coco")


def test_a_split_that_is_read_back_under_another_name_is_listed(tmp_path: Path) -> None:
    table = made(tmp_path)
    table.images.split[0] = "val2017"
    losses = write(table, tmp_path / "out", name="coco")
    assert losses.losses["split of an image is read back as 'val'"].count == 1


def test_a_mask_that_does_not_fit_its_image_is_left_out(tmp_path: Path) -> None:
    table = made(tmp_path)
    assert isinstance(table.boxes.outline, dict)
    table.boxes.outline[0] = Outline(counts=(1, 2, 3))
    losses = write(table, tmp_path / "out.json", name="coco")
    assert "outline that is a mask of another size is dropped" in losses.losses


def test_a_large_file_is_recognised_by_its_beginning_and_end(tmp_path: Path) -> None:
    path = tmp_path / "labels.json"
    filler = [annotation(number) for number in range(3000)]
    ordered = {"info": {}, "annotations": filler, "images": IMAGES, "categories": CATEGORIES}
    path.write_text(json.dumps(ordered), encoding="utf-8")
    assert find_format(path).name == "coco"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"shapes": [], "imagePath": "a"}',
        '{"frames": []}',
        '[{"data": {}}]',
        "\x00",
    ],
)
def test_other_json_is_not_taken_for_coco(tmp_path: Path, text: str) -> None:
    path = tmp_path / "labels.json"
    path.write_text(text, encoding="utf-8")
    assert FORMATS["coco"].recognise(path) == FORMATS["lvis"].recognise(path) == ""
