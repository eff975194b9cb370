"""Scalabel and BDD100K: files as they are published, every shape, and every trap."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco

from rondel.errors import DataError
from rondel_detection.data.formats import scalabel
from rondel_detection.data.formats.format import Source, find_format
from rondel_detection.data.geometry import bitmap_counts
from rondel_detection.data.labels import LabelMap
from rondel_detection.data.table import Annotations, Outline, Status, TableBuilder

Json = dict[str, Any]
BOX = {"x1": 10.5, "y1": 5.0, "x2": 30.0, "y2": 25.25}


def label(category: str | None = "car", **shapes: Any) -> Json:
    """A label as BDD100K's detection files hold it."""
    attributes = {"occluded": False, "truncated": False, "trafficLightColor": "NA"}
    said = {"id": "0", "category": category, "attributes": attributes, "manualShape": True}
    return {**said, "box3d": None, "poly2d": None, **shapes}


def frame(*labels: Any, **more: Any) -> Json:
    size = {"width": 64, "height": 48}
    return {"name": "a.jpg", "size": size, "labels": list(labels), **more}


def save(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def read(tmp_path: Path, *frames: Any, config: Json | None = None) -> Annotations:
    content = list(frames) if config is None else {"frames": list(frames), "config": config}
    return scalabel.read(Source(save(tmp_path / "labels.json", content)))


def picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (30, 20)).save(path)


def test_box2d_holds_edges(tmp_path: Path) -> None:
    table = read(tmp_path, frame(label(box2d=BOX)), frame(label(box2d=BOX), name="b.jpg"))
    assert table.boxes.xyxy.tolist() == [[10.5, 5, 30, 25.25]] * 2
    assert table.images.file.tolist() == ["a.jpg", "b.jpg"]
    assert table.images.line.tolist() == [1, 2]
    assert table.boxes.attributes[0] == {"trafficLightColor": "NA"}
    assert list(table.losses) == []


def test_flags_are_attributes_however_they_are_spelled(tmp_path: Path) -> None:
    said = {"Occluded": True, "truncated": True, "crowd": True, "difficult": "no", "n": 2}
    table = read(tmp_path, frame({**label(box2d=BOX, score=0.25), "attributes": said}))
    row = table.boxes
    assert (row.occluded[0], row.truncated[0], row.crowd[0]) == (True, True, True)
    assert not row.difficult[0]
    assert row.attributes[0] == {"difficult": "no", "n": 2}
    assert row.score.tolist() == [0.25]


def test_a_score_that_is_no_number_costs_the_score_alone(tmp_path: Path) -> None:
    table = read(tmp_path, frame(label(box2d=BOX, score="high")))
    assert np.isnan(table.boxes.score).tolist() == [True]
    assert list(table.losses.losses) == ["score that is no number was dropped"]


def test_attributes_of_old_files_are_a_list(tmp_path: Path) -> None:
    table = read(tmp_path, frame({**label(box2d=BOX), "attributes": [0, "NA"]}))
    assert table.boxes.attributes[0] == {"0": 0, "1": "NA"}
    assert list(table.losses.losses) == ["attributes without names were numbered"]


def test_null_labels_are_unlabelled_and_no_labels_empty(tmp_path: Path) -> None:
    missing = {"name": "c.jpg"}
    table = read(tmp_path, frame(), frame(name="b.jpg", labels=None), missing)
    assert table.images.status.tolist() == [1, 0, 0]
    assert table.images.width.tolist() == [64, 64, 0]


def test_ids_may_be_text_or_numbers(tmp_path: Path) -> None:
    several = [label(box2d=BOX, id=each) for each in ("7", 8, None)]
    assert read(tmp_path, frame(*several)).boxes.id.tolist() == ["7", 8, 2]


def test_the_size_is_that_of_the_frame_the_config_or_the_header(tmp_path: Path) -> None:
    picture(tmp_path / "c.jpg")
    config = {"imageSize": {"width": 1280, "height": 720}, "categories": []}
    frames = [frame(), frame(name="b.jpg", size=None)]
    table = read(tmp_path, *frames, config=config)
    assert table.images.width.tolist() == [64, 1280]
    table = read(tmp_path, frame(name="c.jpg", size=None), frame(name="../c.jpg", size=None))
    assert table.images.width.tolist() == [30, 0]
    assert table.images.file.tolist() == ["c.jpg", "../c.jpg"]


def test_a_name_that_is_a_url_becomes_the_name_of_its_file(tmp_path: Path) -> None:
    table = read(tmp_path, frame(name="https://host/bdd/frames%20x/b1%20c.jpg?x=1"))
    assert table.images.file.tolist() == ["b1 c.jpg"]
    assert list(table.losses) == [
        "1 x name that is a URL became the name of its file (first: labels.json: frame 1)"
    ]


def test_frames_of_a_video_lie_in_its_folder(tmp_path: Path) -> None:
    picture(tmp_path / "v1/v1-0001.jpg")
    table = read(tmp_path, frame(name="v1-0001.jpg", videoName="v1", frameIndex=0))
    assert table.images.file.tolist() == ["v1/v1-0001.jpg"]
    assert table.images.attributes[0] == {"videoName": "v1", "frameIndex": 0}


def test_classes_are_the_leaves_of_the_tree_in_its_order(tmp_path: Path) -> None:
    vehicle = {"name": "vehicle", "subcategories": [{"name": "truck"}, {"name": "car"}]}
    config = {"categories": [{"name": "zebra"}, vehicle, "sign", {"name": "car"}]}
    table = read(tmp_path, frame(label("car", box2d=BOX), label("ape", box2d=BOX)), config=config)
    assert table.labels.names == ("zebra", "truck", "car", "sign", "ape")
    assert table.labels.groups == {1: "vehicle", 2: "vehicle"}
    assert table.boxes.label.tolist() == [2, 4]
    # without a config, by name
    table = read(tmp_path, frame(label("car", box2d=BOX), label("ape", box2d=BOX)))
    assert table.labels.names == ("ape", "car")


def path2d(*vertices: tuple[float, float], types: str = "", closed: bool = True) -> Json:
    kinds = types or "L" * len(vertices)
    return {"vertices": [list(vertex) for vertex in vertices], "types": kinds, "closed": closed}


def test_closed_paths_are_outlines_of_one_object(tmp_path: Path) -> None:
    parts = [path2d((0, 0), (10, 0), (10, 10)), path2d((20, 5), (30, 5), (30, 15), (20, 15))]
    table = read(tmp_path, frame(label(poly2d=parts), label(poly2d=parts[:1], box2d=BOX)))
    assert table.boxes.xyxy.tolist() == [[0, 0, 30, 15], [10.5, 5, 30, 25.25]]
    assert table.boxes.area.tolist() == [150, 50]
    assert [len(p) for p in table.boxes.outline[0].polygons] == [3, 4]
    assert list(table.losses) == []


def test_curves_become_exact_boxes(tmp_path: Path) -> None:
    curve = path2d((0, 0), (0, 30), (40, 30), (40, 0), types="LCCC")
    table = read(tmp_path, frame(label(poly2d=[curve]), label(poly2d=[curve], box2d=BOX)))
    assert table.boxes.xyxy.tolist() == [[0, 0, 40, 22.5], [10.5, 5, 30, 25.25]]
    assert table.boxes.outline == {}
    assert np.isnan(table.boxes.area).all()
    assert list(table.losses.losses) == [
        "path with curves became its enclosing box",
        "outline with curves or open ends was not kept",
    ]


def test_a_curve_beside_a_polygon_leaves_no_outline(tmp_path: Path) -> None:
    curve = path2d((0, 0), (0, 30), (40, 30), (40, 0), types="LCCC")
    corner = path2d((50, 20), (60, 20), (60, 40))
    table = read(tmp_path, frame(label(poly2d=[curve, corner])))
    assert table.boxes.xyxy.tolist() == [[0, 0, 60, 40]]
    assert table.boxes.outline == {}


def test_run_lengths_are_those_of_coco(tmp_path: Path) -> None:
    mask = np.zeros((48, 64), dtype=np.uint8)
    mask[5:9, 10:12] = 1
    mask[7, 12] = 1
    packed = coco.encode(np.asfortranarray(mask))
    rle = {"counts": packed["counts"].decode(), "size": [48, 64]}
    table = read(tmp_path, frame(label(rle=rle), label(rle=rle, box2d=BOX)))
    assert table.boxes.xyxy.tolist() == [[10, 5, 13, 9], [10.5, 5, 30, 25.25]]
    assert table.boxes.area.tolist() == [9, 9]
    assert table.boxes.outline[0].counts == bitmap_counts(mask.astype(bool))
    other = read(tmp_path, frame(label(rle=rle), size={"width": 640, "height": 480}))
    assert list(other.losses.losses) == ["mask of another size than the image became its box"]
    assert other.boxes.outline == {}


def test_shapes_in_three_dimensions_and_graphs_are_listed(tmp_path: Path) -> None:
    solid: Json = {"orientation": [0, 0, 0], "location": [1, 2, 3], "dimension": [1, 1, 1]}
    graph: Json = {"nodes": [], "edges": []}
    table = read(tmp_path, frame(label(box2d=BOX, box3d=solid, graph=graph), label(box3d=solid)))
    assert len(table.boxes) == 1
    assert {kind: loss.count for kind, loss in table.losses.losses.items()} == {
        "box3d was not kept": 2,
        "graph was not kept": 1,
        "label without a shape in two dimensions was dropped": 1,
    }


@pytest.mark.parametrize(
    ("defective", "loss"),
    [
        (label(None, box2d=BOX), "shape without a label was dropped"),  # as in lane files
        (label("", box2d=BOX), "shape without a label was dropped"),
        (label(box2d={**BOX, "x1": None}), "box2d without finite coordinates was dropped"),
        (label(box2d={**BOX, "x1": math.inf}), "box2d without finite coordinates was dropped"),
        (label(box2d=[1, 2, 3, 4]), "box2d without finite coordinates was dropped"),
        (label(), "label without a shape in two dimensions was dropped"),
        (label(poly2d=[path2d((0, 0), (9, 9), closed=False)]), "open path without an area was dropped"),
        (label(poly2d=[path2d((0, 0), (9, 9), types="L")]), "poly2d whose types do not fit its vertices was dropped"),
        (label(poly2d=[path2d((0, 0), (9, 9), types="LX")]), "poly2d whose types do not fit its vertices was dropped"),
        (label(poly2d=[{"vertices": []}]), "poly2d of fewer than 1 points was dropped"),
        (label(poly2d=[3]), "poly2d of fewer than 1 points was dropped"),
        (label(poly2d={"a": 1}), "poly2d that is no list was dropped"),
        (label(rle={"counts": "~~", "size": [48, 64]}), "rle that is no run-length mask was dropped"),
        (label(rle={"counts": [3], "size": [48, 64]}), "rle that is no run-length mask was dropped"),
        (label(rle={"size": 5}), "rle that is no run-length mask was dropped"),
        (label(rle={"counts": [48 * 64], "size": [48, 64]}), "mask without a pixel was dropped"),
        ("car", "label that is no JSON object was dropped"),
    ],
)  # fmt: skip
def test_what_has_no_box_is_dropped_and_listed_and_the_rest_is_kept(
    tmp_path: Path, defective: Any, loss: str
) -> None:
    table = read(tmp_path, frame(defective, label("bus", box2d=BOX)))
    assert table.labels.names == ("bus",)
    assert table.boxes.line.tolist() == [2]
    assert list(table.losses) == [f"1 x {loss} (first: labels.json: frame 1, label 1)"]


def test_frames_that_are_none_are_skipped_and_listed(tmp_path: Path) -> None:
    table = read(tmp_path, frame(), 3, {"labels": []}, frame(name="d.jpg", labels="x"))
    assert table.images.file.tolist() == ["a.jpg", "d.jpg"]
    assert table.images.status.tolist() == [1, 0]
    assert {kind: loss.examples for kind, loss in table.losses.losses.items()} == {
        "frame without a name was skipped": ["labels.json: frame 2", "labels.json: frame 3"],
        "labels that are no list were dropped": ["labels.json: frame 4"],
    }


def test_the_first_release_of_bdd100k_has_a_file_for_each_image(tmp_path: Path) -> None:
    area = [[0, 0, "L"], [20, 0, "L"], [20, 10, "L"]]
    lane = [[0, 0, "L"], [0, 30, "C"], [40, 30, "C"], [40, 0, "C"]]
    objects = [
        {"category": "car", "id": 0, "attributes": {"occluded": True}, "box2d": BOX},
        {"category": "area/drivable", "id": 1, "poly2d": area},
        {"category": "lane/single white", "id": 2, "poly2d": lane},
    ]
    content = {"name": "b1c6", "frames": [{"timestamp": 10000, "objects": objects}]}
    save(tmp_path / "b1c6.json", content)
    table = scalabel.read(Source(tmp_path))
    assert table.images.file.tolist() == ["b1c6.jpg"]
    assert table.boxes.xyxy.tolist() == [[10.5, 5, 30, 25.25], [0, 0, 20, 10]]
    assert list(table.losses.losses) == [
        "name without a suffix was completed",
        "open path without an area was dropped",
    ]


def test_scalabel_is_recognised_by_its_frames(tmp_path: Path) -> None:
    file = save(tmp_path / "det.json", [frame()])
    assert scalabel.recognise(file) == "a JSON list of frames with 'name' and 'labels'"
    assert scalabel.recognise(tmp_path).startswith("det.json: ")
    assert find_format(tmp_path).name == find_format(file).name == "scalabel"
    whole = save(tmp_path / "whole.json", {"frames": [], "groups": None, "config": {}})
    assert scalabel.recognise(whole) == "a JSON object with 'frames'"
    others: list[Any] = [[], {}, [{"name": "x"}], [[1]], {"images": []}, [{"data": {}, "id": 1}]]
    for other in others:
        assert scalabel.recognise(save(tmp_path / "other.json", other)) == ""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[{"name": "a.jpg",\n "labels": [', ":2:13: is no JSON: Expecting value"),
        ("{}", ":1:1: is no file of Scalabel: it has no list of frames"),
        ("3", ":1:1: is no file of Scalabel: it has no list of frames"),
    ],
)
def test_what_is_no_scalabel_file_is_an_error_with_line_and_column(
    tmp_path: Path, text: str, message: str
) -> None:
    file = tmp_path / "det.json"
    file.write_text(text)
    with pytest.raises(DataError) as caught:
        scalabel.read(Source(file))
    assert f"{file}{message}" in str(caught.value)


# writing


def table_of(**image: Any) -> TableBuilder:
    builder = TableBuilder(Path("/nowhere"), "test")
    builder.add_image("x/a.jpg", width=64, height=48, **image)
    return builder


def test_the_writer_makes_what_scalabel_loads(tmp_path: Path) -> None:
    builder = table_of(attributes={"weather": "rain", "videoName": "v"})
    builder.add_image("b.jpg", width=64, height=48, status=Status.UNLABELLED)
    builder.add_box(0, (1.5, 2, 30, 20.25), 1, occluded=True, score=0.5, attributes={"n": 3})
    labels = LabelMap(("zebra", "car", "bus", "sign"), groups={1: "vehicle", 2: "vehicle"})
    report = scalabel.write(builder.build(labels), tmp_path / "out")
    assert list(report) == []
    vehicle = {"name": "vehicle", "subcategories": [{"name": "car"}, {"name": "bus"}]}
    size = {"width": 64, "height": 48}
    assert json.loads((tmp_path / "out/scalabel.json").read_text()) == {
        "frames": [
            {
                "name": "x/a.jpg",
                "videoName": "v",
                "size": size,
                "attributes": {"weather": "rain"},
                "labels": [
                    {
                        "id": 0,
                        "category": "car",
                        "attributes": {"n": 3, "occluded": True},
                        "score": 0.5,
                        "box2d": {"x1": 1.5, "y1": 2.0, "x2": 30.0, "y2": 20.25},
                    }
                ],
            },
            {"name": "b.jpg", "size": size, "attributes": None, "labels": None},
        ],
        "groups": None,
        "config": {
            "imageSize": None,
            "attributes": None,
            "categories": [{"name": "zebra"}, vehicle, {"name": "sign"}],
        },
    }


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    mask = np.zeros((48, 64), dtype=bool)
    mask[5:8, 50:52] = [[1, 1], [0, 1], [1, 0]]
    triangle = np.array([[0.1, 0.2], [10.3, 0.2], [10.3, 10.7]])
    builder = table_of(id="frame-7")
    both = Outline((triangle, triangle + 5))
    builder.add_box(0, (0, 0, 9, 9), 0, outline=both, id="k", area=107.1, crowd=True)
    counts = Outline(counts=bitmap_counts(mask))
    builder.add_box(0, (3, 2, 0, 1), 1, outline=counts, id=7, area=4, difficult=True)
    table = builder.build(LabelMap(("b", "a", "never"), groups={2: "g"}))
    assert list(scalabel.write(table, tmp_path / "out.json")) == []
    again = scalabel.read(Source(tmp_path / "out.json"))
    assert again.boxes.xyxy.tolist() == table.boxes.xyxy.tolist()
    assert again.boxes.id.tolist() == ["k", 7]
    assert again.images.id.tolist() == ["frame-7"]
    assert again.boxes.outline[1].counts == counts.counts
    polygons = [part.tolist() for part in again.boxes.outline[0].polygons]
    assert polygons == [part.tolist() for part in both.polygons]
    assert (again.boxes.crowd.tolist(), again.boxes.difficult.tolist()) == (
        [True, False],
        [False, True],
    )
    assert again.labels == table.labels


def test_what_the_writer_cannot_keep_is_listed(tmp_path: Path) -> None:
    builder = table_of(split="val")
    builder.add_image("b.jpg", status=Status.IGNORED)
    builder.add_image("c.jpg", status=Status.UNLABELLED)
    builder.add_box(0, (0, 0, 5, 5), 0, outline=Outline((np.zeros((2, 2)),)))
    builder.add_box(0, (0, 0, 5, 5), 0, outline=Outline(counts=(5,)), area=3.0)
    builder.add_box(0, (0, 0, math.nan, 5), 0)
    builder.add_box(0, (0, 0, 1, 1), 0, crowd=True, attributes={"crowd": "big", "Occluded": True})
    builder.add_box(1, (0, 0, 1, 1), 0)
    builder.add_box(2, (0, 0, 1, 1), 0, outline=Outline((np.eye(3, 2),)))
    report = scalabel.write(builder.build(LabelMap(("a",), ("x",))), tmp_path / "out")
    assert {kind: loss.count for kind, loss in report.losses.items()} == {
        "ignored image was left out": 1,
        "box of an ignored image was left out": 1,
        "split of an image was not kept": 1,
        "id of a class was not kept": 1,
        "box that is not finite was not written": 1,
        "outline that cannot be written was left out": 2,
        "attribute 'crowd' gives way to the flag of that name": 1,
        "attribute 'Occluded' gives way to the flag of that name": 1,
        "unlabelled image with boxes became a labelled one": 1,
        "area of an object was worked out from its outline": 1,
        "area of an object was not kept": 1,
    }
    again = scalabel.read(Source(tmp_path / "out"))
    assert again.images.status.tolist() == [1, 1]
