"""A bundle predicts for pictures of any kind, and is read back as it was written."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import rondel
from rondel import DataManifest, Loss
from rondel.errors import CheckpointError, DataError, UsageError
from rondel_detection import bundle as bundle_module
from rondel_detection.bundle import DetectionBundle, counting
from rondel_detection.config import DetectionConfig, ModelConfig
from rondel_detection.data.batch import Predictions, Targets
from rondel_detection.data.canvas import Canvas
from rondel_detection.data.formats import write
from rondel_detection.data.labels import LabelMap
from rondel_detection.data.source import gather
from rondel_detection.data.table import TableBuilder
from rondel_detection.models.catalogue import make_detector
from rondel_detection.models.detector import Detector
from rondel_detection.prediction import Detections

LABELS = LabelMap(("red", "blue"), (7, 90))
CANVAS = Canvas(height=64, width=96, longest=96, enlarge=2.0, stride=32)
COLOURS = {"red": (255, 0, 0), "blue": (0, 0, 255)}


class OnePatch(Detector):
    """Finds one patch of pure red and one of pure blue in a picture, exactly, with score 0.8.

    Besides, there is a box of score 0.1 in every picture.
    """

    def __init__(self) -> None:
        super().__init__(2)
        self.batches: list[int] = []

    def loss(self, images: Tensor, targets: Targets, seeds: Tensor) -> Loss:
        raise NotImplementedError

    def detect(self, images: Tensor, sizes: Tensor) -> Predictions:
        assert not self.training
        self.batches.append(len(images))
        rows = []
        for number, image in enumerate(images.int()):
            for label, channel in enumerate((0, 2)):
                mask = (image[channel] > 200) & (image[1] < 60) & (image[2 - channel] < 60)
                y, x = mask.nonzero(as_tuple=True)
                if len(x):
                    ends = (x.min(), y.min(), x.max() + 1, y.max() + 1)
                    rows.append((number, *map(int, ends), 0.8, label))
            rows.append((number, 0, 0, 5, 5, 0.1, 1))
        found = torch.tensor(rows, dtype=torch.float32).reshape(-1, 7)
        columns = (found[:, 0].long(), found[:, 1:5], found[:, 5], found[:, 6].long())
        return Predictions(*columns)


def painted(width: int, height: int, box: tuple[int, int, int, int], name: str) -> Image.Image:
    """A grey picture with one patch."""
    made = Image.new("RGB", (width, height), (120, 120, 120))
    made.paste(COLOURS[name], box)
    return made


@pytest.fixture
def detector() -> OnePatch:
    return OnePatch()


@pytest.fixture
def bundle(detector: OnePatch) -> DetectionBundle:
    return DetectionBundle.of(
        DetectionConfig(max_pixels=1_000_000), detector, labels=LABELS, canvas=CANVAS
    )


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Five pictures in a folder, of different sizes."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(5):
        size = (96 * (number + 1), 64 * (number + 1))
        box = tuple(side * (number + 1) for side in (24, 16, 48, 32))
        made = painted(*size, box, ("red", "blue")[number % 2])  # type: ignore[arg-type]
        made.save(folder / f"{number}.png")
    return folder


# -- saving ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def centre() -> DetectionBundle:
    """A bundle of the smallest real detector, untrained."""
    model = ModelConfig(width=0.25, weights="gone.safetensors", score_threshold=0.005)
    config = DetectionConfig(model=model)
    torch.manual_seed(0)
    made = make_detector(config.model, len(LABELS), (CANVAS.height, CANVAS.width))
    data = DataManifest.of("set", (), samples=1)
    return DetectionBundle.of(config, made, labels=LABELS, canvas=CANVAS, data=data)


def test_a_loaded_bundle_predicts_as_the_saved_one_without_its_first_weights(
    centre: DetectionBundle, tmp_path: Path
) -> None:
    loaded = rondel.load(centre.save(tmp_path / "bundle"))
    assert isinstance(loaded, DetectionBundle)
    noise = torch.randint(0, 256, (3, 100, 150), dtype=torch.uint8)
    (one,), (other,) = (b.predict(noise, threshold=0.0) for b in (centre, loaded))
    assert len(one) > 0
    np.testing.assert_array_equal(one.boxes, other.boxes)
    np.testing.assert_array_equal(one.scores, other.scores)
    assert one.names == other.names
    assert loaded.labels == LABELS
    assert loaded.canvas == CANVAS
    assert loaded.data == centre.data


def test_a_damaged_bundle_is_refused(centre: DetectionBundle, tmp_path: Path) -> None:
    path = centre.save(tmp_path / "bundle")
    tensors = path / "tensors.safetensors"
    content = bytearray(tensors.read_bytes())
    content[-1] ^= 1
    tensors.write_bytes(content)
    with pytest.raises(CheckpointError):
        DetectionBundle.load(path)


def test_a_network_from_a_folder_of_transformers_is_read_back_without_the_folder(
    tmp_path: Path,
) -> None:
    transformers = pytest.importorskip("transformers")
    backbone = transformers.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 8, 16, 16], depths=[1, 1, 1, 1], out_features=["stage4"]
    )
    shape = transformers.DetrConfig(
        use_timm_backbone=False,
        use_pretrained_backbone=False,
        backbone=None,
        backbone_config=backbone,
        d_model=32,
        encoder_layers=1,
        decoder_layers=1,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        num_queries=7,
    )
    folder = tmp_path / "folder"
    transformers.DetrForObjectDetection(shape).save_pretrained(folder)
    config = DetectionConfig(model=ModelConfig(name="detr", weights=str(folder)))
    made = make_detector(config.model, len(LABELS), (CANVAS.height, CANVAS.width))
    one = DetectionBundle.of(config, made, labels=LABELS, canvas=CANVAS)
    path = one.save(tmp_path / "bundle")
    folder.rename(tmp_path / "elsewhere")
    noise = torch.randint(0, 256, (3, 64, 96), dtype=torch.uint8)
    (found,), (again,) = (b.predict(noise, threshold=0) for b in (one, DetectionBundle.load(path)))
    assert len(found) > 0
    np.testing.assert_array_equal(found.boxes, again.boxes)
    np.testing.assert_array_equal(found.scores, again.scores)


# -- pictures in Python ----------------------------------------------------------------------------


def kinds(path: Path) -> dict[str, object]:
    with Image.open(path) as opened:
        picture = opened.convert("RGB")
    array = np.asarray(picture)
    return {
        "str": str(path),
        "path": path,
        "pillow": picture,
        "array": array,
        "reversed": np.ascontiguousarray(array[..., ::-1])[..., ::-1],
        "tensor": torch.tensor(array).permute(2, 0, 1),
        "several": [path],
        "tuple": (path,),
    }


@pytest.mark.parametrize(
    "kind", ["str", "path", "pillow", "array", "reversed", "tensor", "several", "tuple"]
)
def test_pictures_of_every_kind_are_found_in_their_own_pixels(
    kind: str, bundle: DetectionBundle, photos: Path
) -> None:
    (found,) = bundle.predict(kinds(photos / "2.png")[kind])  # type: ignore[arg-type]
    assert isinstance(found, Detections)
    assert found.boxes.dtype == np.float64
    np.testing.assert_allclose(found.boxes, [[72, 48, 144, 96]], atol=3)
    assert found.scores.tolist() == [pytest.approx(0.8)]
    assert (found.labels.tolist(), found.names, found.ids) == ([0], ("red",), (7,))
    assert found.size == (192, 288)
    assert found.source == (
        "picture in memory"
        if kind in ("pillow", "array", "reversed", "tensor")
        else str(photos / "2.png")
    )


def test_a_batch_of_different_sizes_equals_one_by_one(
    bundle: DetectionBundle, detector: OnePatch, photos: Path
) -> None:
    paths = sorted(photos.iterdir())
    together = bundle.predict(paths, batch_size=3)
    assert detector.batches == [3, 2]
    alone = [bundle.predict(path)[0] for path in paths]
    for one, other in zip(together, alone, strict=True):
        np.testing.assert_array_equal(one.boxes, other.boxes)
        assert one.size == other.size
    assert [found.names for found in together] == [("red",), ("blue",)] * 2 + [("red",)]


def test_the_threshold_is_a_lowest_score(bundle: DetectionBundle, photos: Path) -> None:
    counts = [len(bundle.predict(photos / "0.png", threshold=t)[0]) for t in (0.05, 0.3, 0.9)]
    assert counts == [2, 1, 0]


def test_boxes_refer_to_the_picture_as_a_person_sees_it(
    bundle: DetectionBundle, tmp_path: Path
) -> None:
    upright = painted(96, 64, (10, 20, 40, 30), "red")
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise: the stored pixels lie on their left side
    lying = upright.transpose(Image.Transpose.ROTATE_90)
    lying.save(tmp_path / "a.png", exif=exif)
    (found,) = bundle.predict(tmp_path / "a.png")
    assert found.size == (64, 96)
    np.testing.assert_allclose(found.boxes, [[10, 20, 40, 30]], atol=1)
    with Image.open(tmp_path / "a.png") as opened:
        (same,) = bundle.predict(opened)
    np.testing.assert_allclose(same.boxes, found.boxes)
    assert same.source == str(tmp_path / "a.png")


def test_transparent_parts_of_a_picture_are_white(bundle: DetectionBundle) -> None:
    picture = painted(96, 64, (10, 20, 40, 30), "red").convert("RGBA")
    picture.putalpha(0)
    assert len(bundle.predict(picture)[0]) == 0


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        (3, "predict: int is no picture. Give a path, a Pillow image, an array (H, W, 3)"),
        (np.zeros((5, 5), np.uint8), "a picture is an array (H, W, 3), not of shape (5, 5)"),
        (torch.zeros(5, 5, 3, dtype=torch.uint8), "a picture is a tensor (3, H, W), not of shape"),
        (torch.zeros(3, 5, 5), "a picture has 8 bits (uint8), not float32. Scale values of 0 to 1"),
        (np.zeros((5, 5, 3), object), "a picture has 8 bits (uint8), not object"),
        (np.zeros((0, 5, 3), np.uint8), "a picture is an array (H, W, 3), not of shape (0, 5, 3)"),
        (Image.new("I;16", (5, 5)), "a Pillow image of mode 'I;16' has more than 8 bits. Convert"),
    ],
)
def test_what_is_no_picture_is_refused(
    picture: object, message: str, bundle: DetectionBundle
) -> None:
    with pytest.raises(UsageError) as caught:
        bundle.predict([picture])  # type: ignore[list-item]
    assert message in str(caught.value)


def test_no_pictures_give_no_detections(bundle: DetectionBundle) -> None:
    assert bundle.predict([]) == []


def test_a_picture_that_is_too_large_is_refused(bundle: DetectionBundle, tmp_path: Path) -> None:
    Image.new("RGB", (1001, 1000)).save(tmp_path / "large.png")
    with pytest.raises(DataError, match=r"1001 x 1000 pixels, more than max_pixels=1000000"):
        bundle.predict(tmp_path / "large.png")


# -- the command line ------------------------------------------------------------------------------


def test_files_are_predicted_as_json_lines(
    bundle: DetectionBundle, detector: OnePatch, photos: Path
) -> None:
    text = bundle.predict_files([str(photos), "batch_size=2", "threshold=0.2"], None)
    rows = [json.loads(line) for line in text.splitlines()]
    assert [Path(row["file"]).name for row in rows] == [f"{n}.png" for n in range(5)]
    assert [row["detections"][0]["id"] for row in rows] == [7, 90, 7, 90, 7]
    assert detector.batches == [2, 2, 1]


def test_tiles_are_a_word_of_the_command_line(
    bundle: DetectionBundle, detector: OnePatch, photos: Path
) -> None:
    text = bundle.predict_files([str(photos / "4.png"), "tile=240", "overlap=0.5"], None)
    (row,) = map(json.loads, text.splitlines())
    assert sum(detector.batches) > 9
    np.testing.assert_allclose(row["detections"][0]["box"], [120, 80, 240, 160], atol=6)


def test_unreadable_pictures_are_named_and_all_others_written(
    bundle: DetectionBundle, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (photos / "1.png").write_bytes((photos / "1.png").read_bytes()[:90])
    (photos / "3.png").write_text("no picture at all")
    missing = str(photos / "9.png")
    with pytest.raises(DataError) as caught:
        bundle.predict_files([str(photos), missing], tmp_path / "out.jsonl")
    message = str(caught.value)
    assert message.startswith("3 of 6 pictures could not be read:\n")
    assert all(str(photos / name) in message for name in ("1.png", "3.png", "9.png"))
    assert message.endswith("The others are done.")
    rows = (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()
    assert [Path(json.loads(row)["file"]).name for row in rows] == ["0.png", "2.png", "4.png"]
    with pytest.raises(DataError):
        bundle.predict_files([str(photos)], None)
    printed = capsys.readouterr().out.splitlines()
    assert [json.loads(line)["file"] for line in printed[1:]] == [
        json.loads(r)["file"] for r in rows
    ]


def test_only_the_first_of_many_unreadable_pictures_are_named(bundle: DetectionBundle) -> None:
    with pytest.raises(DataError, match=r"14 of 14 pictures(.|\n)*and 4 more"):
        bundle.predict_files([f"missing{number}.png" for number in range(14)], None)


def test_what_was_found_before_an_interruption_is_not_lost(
    bundle: DetectionBundle,
    photos: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    look = bundle_module.look

    def interrupted(*arguments: object) -> object:
        if "3.png" in str(arguments[1]):
            raise KeyboardInterrupt
        return look(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(bundle_module, "look", interrupted)
    with pytest.raises(KeyboardInterrupt):
        bundle.predict_files([str(photos), "batch_size=1"], None)
    assert len(capsys.readouterr().out.splitlines()) == 3


def test_a_device_that_is_not_there_is_named(bundle: DetectionBundle, photos: Path) -> None:
    with pytest.raises(UsageError, match=r"device='abacus' cannot be used: .*Try cpu"):
        bundle.predict_files([str(photos), "device=abacus"], None)


def test_long_work_is_counted_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    with counting(9, interval_s=-1) as count:
        count(4)
    assert capsys.readouterr().err == "4 of 9 pictures\n"
    with counting(9) as count:
        count(4)
    assert capsys.readouterr().err == ""


# -- measuring -------------------------------------------------------------------------------------

Label = Callable[..., Path]


@pytest.fixture
def label(photos: Path) -> Label:
    """Writes labels of the photos: the name in the file by the true class, in the file's order."""

    def make(names: dict[str, str]) -> Path:
        builder = TableBuilder(photos, format="test")
        for number in range(5):
            size = (96 * (number + 1), 64 * (number + 1))
            row = builder.add_image(f"{number}.png", width=size[0], height=size[1])
            x1, y1, x2, y2 = (side * (number + 1) for side in (24, 16, 48, 32))
            builder.add_box(row, (x1, y1, x2, y2), list(names).index(("red", "blue")[number % 2]))
        out = photos / "labels.json"
        write(builder.build(LabelMap(tuple(names.values()))), out, name="coco")
        return out

    return make


def test_a_bundle_is_measured_on_labels_matched_by_name(
    bundle: DetectionBundle, label: Label
) -> None:
    values = bundle.evaluate(label({"blue": "blue", "red": "red"}))
    assert values["map"] == pytest.approx(1.0)
    assert all(isinstance(value, float) for value in values.values())


def test_swapped_names_would_be_noticed(bundle: DetectionBundle, label: Label) -> None:
    assert bundle.evaluate(label({"blue": "red", "red": "blue"}))["map"] < 0.1


def test_labels_of_an_unknown_class_are_refused(bundle: DetectionBundle, label: Label) -> None:
    with pytest.raises(DataError) as caught:
        bundle.evaluate(label({"blue": "blue", "red": "green"}))
    assert "the classes 'green' are unknown to the model" in str(caught.value)
    assert "It knows 'red', 'blue'" in str(caught.value)


def test_the_validation_part_of_the_training_data_is_found_again(
    detector: OnePatch, label: Label
) -> None:
    labels = label({"red": "red", "blue": "blue"})
    config = DetectionConfig(data=labels, validation=labels)
    parts = gather(config)
    made = DetectionBundle.of(
        config, detector, labels=parts.labels, canvas=CANVAS, data=parts.manifest
    )
    assert made.evaluate(None)["map"] == pytest.approx(1.0)
    assert sum(detector.batches) == len(parts.valid) == 5
    label({"red": "blue", "blue": "red"})
    with pytest.raises(DataError) as caught:
        made.evaluate(None)
    message = str(caught.value)
    assert message.startswith("labels.json: the data is no longer what the model was trained on: ")
    assert message.endswith("or name other data: rondel detection evaluate BUNDLE DATA.")
