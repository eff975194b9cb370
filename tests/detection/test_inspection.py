"""What inspect says of a set, and the page that it writes."""

from __future__ import annotations

import base64
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rondel.cli.main import main
from rondel.errors import DirectoryError
from rondel_detection.config import DetectionConfig
from rondel_detection.data.defects import defect
from rondel_detection.data.formats import write
from rondel_detection.data.labels import LabelMap
from rondel_detection.data.survey import summary, survey
from rondel_detection.data.table import Annotations, Status, TableBuilder
from rondel_detection.inspection import inspect
from rondel_detection.pages.charts import heat_map, log_bins, nice_ceiling
from rondel_detection.pages.samples import Album, representative, suspicious

NASTY = "<img src=x onerror=alert(1)>\"'&\x1b[31m"


def photos(folder: Path, count: int = 10) -> TableBuilder:
    folder.mkdir(exist_ok=True)
    builder = TableBuilder(folder, "coco")
    for row in range(count):
        noise = np.random.default_rng(row).integers(0, 255, (6, 8, 3), dtype=np.uint8)
        picture = Image.fromarray(noise).resize((640, 480), Image.Resampling.BICUBIC)
        picture.save(folder / f"{row}.jpg", quality=60)
        split = "val" if row % 5 == 4 else "train"
        builder.add_image(f"{row}.jpg", width=640, height=480, split=split)
        for box in range(row % 4):
            builder.add_box(row, (20 + 100 * box, 40, 90 + 100 * box, 200), box % 2)
    return builder


def written(folder: Path, builder: TableBuilder, *names: str) -> DetectionConfig:
    write(builder.build(LabelMap(names or ("cat", "dog"))), folder, name="coco")
    return DetectionConfig(data=folder)


def page(config: DetectionConfig, folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(folder)
    inspect(config)
    return (folder / "inspection.html").read_text(encoding="utf-8")


class Outline(HTMLParser):
    """Collects the tags, headings and what a page asks for."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.headings: list[str] = []
        self.asked: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.open.append(tag)
        self.asked += [v or "" for k, v in attrs if k in ("src", "href", "srcset", "action")]

    def handle_endtag(self, tag: str) -> None:
        while self.open and self.open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "h2":
            self.headings.append(data)


# -- numbers ---------------------------------------------------------------------------------------


def counted() -> Annotations:
    builder = TableBuilder(Path(), "coco")
    builder.add_image("0.jpg", width=200, height=100, split="train")
    builder.add_image("1.jpg", width=200, height=100, split="val")
    builder.add_image("2.jpg", split="train", status=Status.UNLABELLED)
    builder.add_image("3.jpg", width=400, height=100, split="", status=Status.IGNORED)
    builder.add_box(0, (0, 0, 20, 10), 0)
    builder.add_box(0, (150, 50, 50, 100), 0)  # 100 x 50
    builder.add_box(0, (0, 0, 200, 100), 1, area=500.0)
    builder.add_box(0, (5, 5, 5, 5), 1)
    return builder.build(LabelMap(("cat", "dog", "emu")))


def test_a_survey_counts_images_boxes_and_classes() -> None:
    found = survey(counted())
    assert vars(found.whole) == {
        "name": "all",
        "images": 4,
        "with_boxes": 1,
        "empty": 1,
        "unlabelled": 1,
        "ignored": 1,
        "boxes": 4,
    }
    assert [(each.name, each.images, each.boxes) for each in found.splits] == [
        ("", 1, 0),
        ("train", 2, 4),
        ("val", 1, 0),
    ]
    assert [(each.name, each.boxes, each.of_splits, each.images) for each in found.classes] == [
        ("cat", 2, (0, 2, 0), 1),
        ("dog", 2, (0, 2, 0), 1),
        ("emu", 0, (0, 0, 0), 0),
    ]
    assert found.sizes == (((200, 100), 2), ((0, 0), 1), ((400, 100), 1))


def test_a_survey_measures_boxes_as_they_would_be_repaired() -> None:
    found = survey(counted())
    assert found.areas.tolist() == [200.0, 5000.0, 500.0]
    assert found.by_size == {"small": 2, "medium": 1, "large": 0}
    np.testing.assert_allclose(found.shares, [0.1, 0.5, 1.0])
    assert found.ratios.tolist() == [2.0, 2.0, 2.0]
    assert found.per_image.tolist() == [4, 0]
    assert found.centres.sum() == 3
    assert found.centres[18, 12] == 1  # (100, 75) of 200 x 100


def test_a_summary_says_what_there_is() -> None:
    assert summary(counted(), "photos") == [
        "photos: 4 images, 4 boxes, 3 classes",
        "  images: 1 with boxes, 1 empty, 1 unlabelled, 1 ignored",
        "  splits: none 1, train 2, val 1",
    ]


def test_an_empty_set_can_be_surveyed() -> None:
    nothing = TableBuilder(Path(), "coco").build(LabelMap(()))
    found = survey(nothing)
    assert (found.whole.images, found.splits, found.classes) == (0, (), ())
    assert summary(nothing, "x") == ["x: 0 images, 0 boxes, 0 classes"]


def test_values_beyond_a_scale_are_counted_at_its_ends() -> None:
    values = np.array([0.001, 0.011, 0.5, 1.0, 7.0, np.nan, 0.0])
    counts = log_bins(values, 0.01, 1.0, 4)
    assert counts.tolist() == [2, 0, 0, 3]


@pytest.mark.parametrize(
    ("value", "top"), [(0, 1), (1, 1), (7, 8), (11, 20), (280, 300), (9e5, 1e6)]
)
def test_axes_end_at_round_numbers(value: float, top: float) -> None:
    assert nice_ceiling(value) == top


def test_more_boxes_make_a_darker_cell() -> None:
    svg = heat_map(np.array([[0, 4], [1, 0]]), "where")
    assert svg.count("<rect") == 3  # the frame, and two cells
    opacity = [float(found) for found in re.findall(r'fill-opacity="([\d.]+)"', svg)]
    assert opacity == [1.0, 0.56]


# -- pictures --------------------------------------------------------------------------------------


def test_samples_show_every_class_rare_ones_first() -> None:
    builder = TableBuilder(Path(), "coco")
    for row in range(100):
        builder.add_image(f"{row}.jpg", width=9, height=9)
        builder.add_box(row, (1, 1, 5, 5), 0)
    builder.add_box(77, (1, 1, 5, 5), 1)
    builder.add_box(31, (1, 1, 5, 5), 2)
    annotations = builder.build(LabelMap(("a", "b", "c")))
    chosen = representative(annotations, 6)
    assert {77, 31} <= set(chosen)
    assert len(set(chosen)) == 6
    assert max(chosen) - min(chosen) > 60
    assert chosen == representative(annotations, 6)


def test_unlabelled_images_are_no_samples() -> None:
    assert representative(counted(), 9) == [0, 1]


def test_the_worst_images_come_first_and_general_remarks_count_for_none() -> None:
    found = [
        defect("tiny", "a", images=(4,)),
        defect("missing", "b", images=(2,)),
        defect("tiny", "c", images=(7,)),
        defect("tiny", "d", images=(7,)),
        defect("exif", "e", images=(1,)),
        defect("wrong_format", "f", images=range(50)),
    ]
    assert [(row, len(each)) for row, each in suspicious(found, 3)] == [(2, 1), (7, 2), (4, 1)]


def picture(url: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))).convert("RGB")


def red(image: Image.Image) -> int:
    pixels = np.asarray(image).astype(int)
    return int(((pixels[..., 0] > 150) & (pixels[..., 1] < 90) & (pixels[..., 2] < 90)).sum())


def test_boxes_in_question_are_red_and_seen_even_outside_of_the_picture(tmp_path: Path) -> None:
    grey = Image.new("RGB", (640, 480), (128, 128, 128))
    grey.save(tmp_path / "a.png")
    builder = TableBuilder(tmp_path, "coco")
    builder.add_image("a.png", width=640, height=480)
    builder.add_box(0, (100, 100, 300, 300), 0)
    builder.add_box(0, (700, 100, 800, 300), 0)
    album = Album(builder.build(LabelMap(("cat",))), None, 10**7)
    plain = album.show(0, max_bytes=10**6)
    assert plain is not None
    assert (plain.picture.width, plain.picture.height) == (384, 288)
    assert red(picture(plain.picture.data_url)) < 10  # what JPEG makes of orange corners
    shown = album.show(0, max_bytes=10**6, bad={1}, notes=["outside"])
    assert shown is not None
    assert (shown.picture.width, shown.picture.height) == (384, 230)  # of 800 x 480
    found = picture(shown.picture.data_url)
    assert red(found.crop((0, 0, 300, 230))) < 10
    assert red(found.crop((330, 0, 384, 230))) > 100


def test_a_box_without_area_is_drawn_large_enough_to_be_seen(tmp_path: Path) -> None:
    builder = TableBuilder(tmp_path, "coco")
    builder.add_image("gone.png", width=640, height=480)
    builder.add_box(0, (100, 100, 100, 100), 5)
    shown = Album(builder.build(LabelMap(("cat",))), None, 10**7).show(0, max_bytes=10**6, bad={0})
    assert shown is not None
    assert shown.is_blank
    assert red(picture(shown.picture.data_url)) > 10


def test_an_image_without_file_and_size_cannot_be_shown(tmp_path: Path) -> None:
    builder = TableBuilder(tmp_path, "coco")
    builder.add_image("gone.png")
    assert Album(builder.build(LabelMap(())), None, 10**7).show(0, max_bytes=1000) is None


def test_pictures_are_shrunk_until_they_are_small_enough(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (480, 640, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.png")
    builder = TableBuilder(tmp_path, "coco")
    builder.add_image("a.png", width=640, height=480)
    shown = Album(builder.build(LabelMap(())), None, 10**7).show(0, max_bytes=12_000)
    assert shown is not None
    assert shown.picture.width < 300
    assert len(shown.picture.data_url) < 12_000 * 4 / 3 + 100


# -- the page --------------------------------------------------------------------------------------


def test_inspect_describes_the_set_and_names_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    builder = photos(tmp_path / "photos")
    builder.add_box(3, (300, 40, 200, 90), 0)
    config = written(tmp_path / "photos", builder)
    monkeypatch.chdir(tmp_path)
    lines = inspect(config).splitlines()
    assert lines[0] == "photos (COCO JSON): 10 images, 14 boxes, 2 classes"
    assert lines[2] == "  splits: train 8, val 2"
    assert lines[4] == "class  boxes  train  val  images"
    assert "cat    10     9      1    7" in lines
    assert lines[-2].startswith("warning: corners in wrong order, 1 x (first: annotations/instance")
    assert lines[-1] == "Fit for training: 1 warning. The pictures are in inspection.html."


def test_the_page_shows_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "photos"
    builder = photos(folder)
    builder.add_box(3, (300, 40, 200, 90), 0)
    config = written(folder, builder)
    labels = folder / "annotations/instances_train.json"
    labels.write_text(labels.read_text().replace('{"info": {}', '{"colours": [1], "info": {}'))
    text = page(config, tmp_path, monkeypatch)
    outline = Outline(text)
    assert outline.headings == [
        "Samples",
        "Defects",
        "Most suspicious images",
        "Classes",
        "Splits",
        "Boxes and images",
        "What the reader could not keep",
        "What next",
    ]
    assert outline.tags.count("svg") == 6
    assert outline.tags.count("img") == 10 + 1 + 1  # samples, the suspect, and the viewer
    assert "rondel detection train " in text
    assert "corners in wrong order" in text


def test_the_page_asks_for_nothing_from_outside_and_is_small(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = page(
        written(tmp_path / "photos", photos(tmp_path / "photos", 30)), tmp_path, monkeypatch
    )
    asked = Outline(text).asked
    assert all(target.startswith(("data:", "#")) for target in asked)
    assert "default-src 'none'" in text
    assert re.search(r"url\((?!#)|@import|https?://", text.replace("http://www.w3.org", "")) is None
    assert len(text) < 1_100_000


def test_hostile_names_are_escaped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "photos"
    builder = photos(folder)
    builder.add_image(NASTY, width=64, height=48, split="train")
    builder.add_box(10, (5, 5, 5, 9), 0)
    config = written(folder, builder, NASTY, "</script><script>alert(2)</script>")
    text = page(config, tmp_path, monkeypatch)
    outline = Outline(text)
    assert outline.tags.count("script") == 1
    assert "<img src=x" not in text
    assert "&lt;img src=x" in text
    assert "alert(2)</script>" not in text
    monkeypatch.chdir(tmp_path)
    assert "\x1b" not in inspect(config)


def test_a_set_without_image_files_is_shown_on_blank_sheets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = written(tmp_path / "photos", photos(tmp_path / "photos"))
    for path in (tmp_path / "photos").glob("*.jpg"):
        path.unlink()
    text = page(config, tmp_path, monkeypatch)
    assert "The image files are not there: boxes stand on empty sheets." in text
    assert text.count("file missing") > 10
    assert "image missing" in text


def test_a_set_without_boxes_has_a_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    builder = TableBuilder(tmp_path / "photos", "coco")
    builder.add_image("a.jpg")
    text = page(written(tmp_path / "photos", builder), tmp_path, monkeypatch)
    assert "no boxes at all" in text
    assert Outline(text).tags.count("svg") == 1  # boxes per image


def test_the_embedded_set_is_inspected_from_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["detection", "inspect", "dataset=shapes"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("shapes (embedded): 650 images, ")
    assert "The pictures are in inspection.html." in out
    text = (tmp_path / "inspection.html").read_text()
    assert Outline(text).tags.count("img") == 13
    assert "image missing" not in text


def test_a_folder_that_cannot_be_written_to_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = written(tmp_path / "photos", photos(tmp_path / "photos", 1))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "inspection.html").mkdir()
    with pytest.raises(DirectoryError, match=r"inspection\.html: cannot write the page"):
        inspect(config)
