"""Words and pictures of the command line become the right request, and detections the right files."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from rondel.errors import DataError, UsageError
from rondel_detection.data.formats import read
from rondel_detection.data.labels import LabelMap
from rondel_detection.documents import DOCUMENTS, image_ids, to_annotations
from rondel_detection.drawing import colour_of
from rondel_detection.inputs import find_pictures, parse
from rondel_detection.outputs import Output, open_output
from rondel_detection.prediction import Detections

LABELS = LabelMap(("cat", "Straße", "=SUM(A1)"), (3, 17, 90))
LIMIT = 10_000


def picture(path: Path, width: int = 60, height: int = 40) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (width, height), (128, 128, 128)).save(path)
    return str(path)


def found_in(source: str, *rows: tuple[float, float, float, float, float, int]) -> Detections:
    """Detections of rows x1, y1, x2, y2, score, label."""
    table = np.array(rows, dtype=np.float64).reshape(-1, 6)
    labels = table[:, 5].astype(np.int64)
    return Detections(
        table[:, :4],
        table[:, 4],
        labels,
        names=tuple(LABELS.names[label] for label in labels),
        ids=tuple(LABELS.ids[label] for label in labels),
        size=(40, 60),
        source=source,
    )


@pytest.fixture
def found(tmp_path: Path) -> list[Detections]:
    """Detections in three pictures of two folders, of which one is empty."""
    return [
        found_in(
            picture(tmp_path / "photos" / "a.png"),
            (1.23456, 2, 30, 20.5, 0.91234567, 1),
            (5, 6, 25, 16, 0.5, 2),
        ),
        found_in(picture(tmp_path / "photos" / "b.jpg")),
        found_in(picture(tmp_path / "photos" / "sub" / "c.png"), (0, 0, 60, 40, 0.75, 0)),
    ]


def written(found: Sequence[Detections], out: Path | None, *words: str) -> str:
    """Write detections as the command line does; returns the text for stdout."""
    request = parse([*(one.source for one in found), *words], max_pixels=LIMIT)
    output = open_output(LABELS, request, out)
    for one in found:
        output.add(one)
    return output.finish()


# -- words and pictures ----------------------------------------------------------------------------


def test_words_and_pictures_are_told_apart() -> None:
    words = ["threshold=0.5", "tile=640", "overlap=0.3", "format=yolo", "draw=yes"]
    request = parse(["a.jpg", *words, "batch_size=2", "device=cpu", "b=c.png"], max_pixels=7)
    assert request.paths == ("a.jpg", "b=c.png")
    options = request.options
    assert (options.threshold, options.tile, options.overlap) == (0.5, 640, 0.3)
    assert (options.batch_size, options.max_pixels) == (2, 7)
    assert (request.format, request.draw, request.device) == ("yolo", True, "cpu")
    assert parse(["a.jpg", "tile=canvas"], max_pixels=7).options.tile == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["treshold=0.5"], "'treshold=0.5' is not understood. Did you mean threshold=0.5?"),
        (["zzzz=1"], "'zzzz=1' is not understood. Write threshold=0.3 tile=640"),
        (["threshold=much"], "threshold='much' makes no sense. It is a score from 0 to 1"),
        (["threshold=1.5"], "threshold is 1.5. A score is a number from 0 to 1."),
        (["tile=0"], "tile='0' makes no sense. It is the side of a tile in pixels, or 'canvas'"),
        (["batch_size=0"], "batch_size is 0. It is at least 1."),
        (["draw=maybe"], "draw='maybe' makes no sense. It is yes or no."),
        ([], "no picture is named. Give files, folders or patterns, and threshold=0.3"),
    ],
)
def test_a_word_that_makes_no_sense_says_what_would(words: list[str], message: str) -> None:
    pictures = ["a.jpg"] if words else []
    with pytest.raises(UsageError) as caught:
        parse([*pictures, *words], max_pixels=LIMIT)
    assert message in str(caught.value)


def test_folders_and_patterns_are_searched_for_pictures(tmp_path: Path) -> None:
    one, two = picture(tmp_path / "b.png"), picture(tmp_path / "x" / "a.JPG")
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / "._b.png").write_text("left behind")
    assert find_pictures([str(tmp_path)]) == (one, two)
    assert find_pictures([str(tmp_path / "**" / "*.*")]) == (one, two)
    assert find_pictures([two, str(tmp_path)]) == (two, one)
    assert find_pictures(["missing.png"]) == ("missing.png",)


def test_a_file_whose_name_looks_like_a_pattern_is_a_file(tmp_path: Path) -> None:
    assert find_pictures([picture(tmp_path / "a[1].png")]) == (str(tmp_path / "a[1].png"),)


def test_a_folder_without_pictures_is_named(tmp_path: Path) -> None:
    for place in (str(tmp_path), str(tmp_path / "*.jpg")):
        with pytest.raises(UsageError) as caught:
            find_pictures([place])
        assert str(caught.value).startswith(f"{place}: holds no pictures. Known are .bmp")


# -- text ------------------------------------------------------------------------------------------


def test_json_lines_have_one_row_for_each_picture(found: list[Detections]) -> None:
    rows = [json.loads(line) for line in written(found, None).splitlines()]
    assert [Path(row["file"]).name for row in rows] == ["a.png", "b.jpg", "c.png"]
    assert rows[0]["width"] == 60
    assert rows[0]["height"] == 40
    assert rows[0]["detections"][0] == {
        "box": [1.235, 2.0, 30.0, 20.5],
        "score": 0.912346,
        "label": "Straße",
        "id": 17,
    }
    assert rows[1]["detections"] == []


def test_a_json_file_holds_the_same_rows(found: list[Detections], tmp_path: Path) -> None:
    lines = [json.loads(line) for line in written(found, None).splitlines()]
    text = written(found, tmp_path / "new" / "out.json")
    assert json.loads((tmp_path / "new" / "out.json").read_text(encoding="utf-8")) == lines
    assert text == f"3 detections in 3 pictures: {tmp_path / 'new' / 'out.json'}\n"
    written(found, tmp_path / "out.jsonl")
    file = (tmp_path / "out.jsonl").read_text(encoding="utf-8")
    assert [json.loads(line) for line in file.splitlines()] == lines


def test_csv_has_one_row_for_each_detection_and_no_formulas(found: list[Detections]) -> None:
    rows = list(csv.DictReader(io.StringIO(written(found, None, "format=csv"))))
    assert len(rows) == 3
    assert rows[0]["label"] == "Straße"
    assert rows[1]["label"] == "'=SUM(A1)"
    assert [rows[2][key] for key in ("x1", "y1", "x2", "y2", "id")] == [
        "0.0",
        "0.0",
        "60.0",
        "40.0",
        "3",
    ]


def test_coco_results_can_be_loaded_by_pycocotools(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ["000000000139.jpg", "000000000285.jpg"]
    found = [
        found_in(picture(tmp_path / names[0]), (1, 2, 11, 22, 0.5, 1)),
        found_in(picture(tmp_path / names[1]), (0, 0, 60, 40, 0.9, 0)),
    ]
    written(found, tmp_path / "results.json", "format=coco-results")
    truth = COCO()
    truth.dataset = {
        "images": [{"id": 139}, {"id": 285}],
        "categories": [{"id": 3}, {"id": 17}],
        "annotations": [],
        "info": {},
    }
    truth.createIndex()
    loaded = truth.loadRes(str(tmp_path / "results.json"))
    capsys.readouterr()
    rows = loaded.loadAnns(loaded.getAnnIds(imgIds=[139]))
    assert [(row["category_id"], row["bbox"], row["score"]) for row in rows] == [
        (17, [1.0, 2.0, 10.0, 20.0], 0.5)
    ]


def test_images_without_numbers_for_names_are_counted_from_one() -> None:
    assert image_ids(["7.jpg", "0012.png"]) == [7, 12]
    assert image_ids(["7.jpg", "a/7.png"]) == [1, 2]
    assert image_ids(["a.jpg", "5.png"]) == [1, 2]


# -- labels ----------------------------------------------------------------------------------------


def test_predictions_become_annotations_below_their_common_folder(
    found: list[Detections], tmp_path: Path
) -> None:
    table = to_annotations(found, LABELS)
    assert table.root == tmp_path / "photos"
    assert table.images.file.tolist() == ["a.png", "b.jpg", "sub/c.png"]
    assert table.boxes.image.tolist() == [0, 0, 2]
    assert table.boxes.score.tolist() == [0.912346, 0.5, 0.75]
    assert table.labels == LABELS


FORMATS = [("coco", ""), ("coco", "out.json"), ("labelme", ""), ("voc", ""), ("yolo", "")]


@pytest.mark.parametrize(("name", "file"), FORMATS)
def test_labels_are_read_back_as_they_were_predicted(
    name: str, file: str, found: list[Detections], tmp_path: Path
) -> None:
    out = tmp_path / "labels" / file if file else tmp_path / "labels"
    written(found, out, f"format={name}")
    table = read(out, name=name, images=tmp_path / "photos")
    names = {Path(str(f)).name: row for row, f in enumerate(table.images.file)}
    for one in found:
        rows = np.flatnonzero(table.boxes.image == names[Path(one.source).name])
        read_names = [table.labels.names[label] for label in table.boxes.label[rows]]
        assert sorted(read_names) == sorted(one.names)
        boxes = sorted(table.boxes.xyxy[rows].tolist())
        np.testing.assert_allclose(boxes, sorted(one.boxes.tolist()), atol=0.01)


def test_coco_labels_have_the_ids_of_the_training_labels(
    found: list[Detections], tmp_path: Path
) -> None:
    written(found, tmp_path / "out.json", "format=coco")
    content = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert {row["id"]: row["name"] for row in content["categories"]} == dict(
        zip(LABELS.ids, LABELS.names, strict=True)
    )
    assert sorted(row["category_id"] for row in content["annotations"]) == [3, 17, 90]


def test_labelme_files_find_their_pictures(found: list[Detections], tmp_path: Path) -> None:
    written(found, tmp_path / "labels", "format=labelme")
    file = tmp_path / "labels" / "sub" / "c.json"
    content = json.loads(file.read_text(encoding="utf-8"))
    assert not Path(content["imagePath"]).is_absolute()
    assert (file.parent / content["imagePath"]).resolve() == Path(found[2].source)
    assert content["shapes"][0]["label"] == "cat"


def test_labelme_files_can_lie_beside_their_pictures(
    found: list[Detections], tmp_path: Path
) -> None:
    written(found, tmp_path / "photos", "format=labelme")
    content = json.loads((tmp_path / "photos" / "a.json").read_text(encoding="utf-8"))
    assert content["imagePath"] == "a.png"
    with pytest.raises(UsageError) as caught:
        written(found, tmp_path / "photos", "format=labelme")
    assert str(caught.value) == (
        f"{tmp_path / 'photos' / 'a.json'}: is there already. Give another --out, or add "
        "overwrite=yes if it may be replaced."
    )
    written(found, tmp_path / "photos", "format=labelme", "overwrite=yes")


# -- drawn pictures --------------------------------------------------------------------------------


def kind_and_size(path: Path) -> tuple[str | None, tuple[int, int]]:
    with Image.open(path) as drawn:
        return drawn.format, drawn.size


def has_colour(path: Path, label: int) -> bool:
    with Image.open(path) as drawn:
        pixels = np.asarray(drawn.convert("RGB")).astype(int)
    return bool((np.abs(pixels - colour_of(label)).sum(axis=2) < 40).any())


def test_a_folder_gets_a_document_and_drawn_pictures(
    found: list[Detections], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert "drawn" in written(found, out)
    files = sorted(p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file())
    assert files == ["drawn/a.png", "drawn/b.jpg", "drawn/sub/c.png", "predictions.json"]
    assert has_colour(out / "drawn" / "a.png", 1)
    assert not has_colour(out / "drawn" / "a.png", 0)
    assert kind_and_size(out / "drawn" / "sub" / "c.png") == ("PNG", (60, 40))


def test_labels_and_drawn_pictures_go_into_one_folder(
    found: list[Detections], tmp_path: Path
) -> None:
    written(found, tmp_path / "out", "format=labelme", "draw=yes")
    assert (tmp_path / "out" / "sub" / "c.json").is_file()
    assert (tmp_path / "out" / "drawn" / "sub" / "c.png").is_file()
    written(found[:1], tmp_path / "plain", "draw=no")
    assert [p.name for p in (tmp_path / "plain").iterdir()] == ["predictions.json"]


@pytest.mark.parametrize("name", ["drawn.png", "drawn.jpg"])
def test_one_picture_can_be_drawn_into_one_file(
    name: str, found: list[Detections], tmp_path: Path
) -> None:
    written(found[:1], tmp_path / name)
    assert kind_and_size(tmp_path / name)[0] == ("PNG" if name.endswith("png") else "JPEG")
    assert has_colour(tmp_path / name, 1)


def test_drawn_pictures_of_other_kinds_are_png(tmp_path: Path) -> None:
    one = found_in(picture(tmp_path / "a.bmp"), (1, 2, 30, 20, 0.9, 1))
    written([one], tmp_path / "out")
    assert kind_and_size(tmp_path / "out" / "drawn" / "a.bmp.png")[0] == "PNG"


# -- what cannot be --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("out", "words", "message"),
    [
        (None, ["draw=yes"], "drawn pictures need a place. Add --out FOLDER."),
        (None, ["format=yolo"], "format='yolo' needs a place. Add --out FOLDER."),
        (None, ["format=labelmee"], "format='labelmee' cannot be written. Did you mean 'labelme'?"),
        (None, ["format=lvis"], "format='lvis' cannot be written."),
        ("a.csv", ["format=json"], "a.csv: format='json' is no .csv file. Name it *.json, or give"),
        ("a.json", ["format=yolo"], "a.json: format='yolo' is no .json file. Give a folder."),
        ("a.json", ["draw=yes"], "a.json: drawn pictures do not go into this file. Give a folder."),
        ("a.png", [], "a.png: 3 pictures do not go into one. Give a folder."),
        ("v1.2", ["format=yolo"], "v1.2: '.2' makes it look like a file. Give a folder for format"),
        ("there.bin", [], "there.bin: is a file, and no kind of output. Known are .json"),
        ("there.json", [], "there.json: is there already. Give another --out, or add overwrite="),
    ],
)
def test_contradictions_are_refused_before_anything_is_looked_at(
    out: str | None, words: list[str], message: str, found: list[Detections], tmp_path: Path
) -> None:
    for name in ("there.bin", "there.json"):
        (tmp_path / name).write_text("mine")
    with pytest.raises(UsageError) as caught:
        written(found, None if out is None else tmp_path / out, *words)
    assert message in str(caught.value)
    assert (tmp_path / "there.json").read_text() == "mine"


def test_a_picture_is_never_drawn_over_itself(found: list[Detections]) -> None:
    with pytest.raises(UsageError, match=r"a\.png: is the picture itself\. Give another --out"):
        written(found[:1], Path(found[0].source), "overwrite=yes")


def test_one_drawn_picture_has_no_format(found: list[Detections], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is a drawn picture"):
        written(found[:1], tmp_path / "a.png", "format=json")


def test_a_place_that_cannot_be_written_is_named(found: list[Detections], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UsageError, match=r"cannot be written: .*Give another --out"):
        written(found, tmp_path / "file" / "a.json")


def test_a_picture_that_has_gone_is_named_when_it_is_drawn(tmp_path: Path) -> None:
    gone = found_in(str(tmp_path / "gone.png"), (1, 2, 30, 20, 0.9, 1))
    output: Any = Output(LABELS, parse([gone.source], max_pixels=LIMIT), drawn=tmp_path / "out")
    with pytest.raises(DataError, match=r"gone\.png"):
        output.add(gone)
    assert output.found == [gone]


def test_every_document_of_nothing_is_well_formed() -> None:
    assert [DOCUMENTS[name].text([]) for name in ("jsonl", "json", "coco-results")] == [
        "",
        "[]\n",
        "[]\n",
    ]
    assert DOCUMENTS["csv"].text([]).count("\n") == 1
