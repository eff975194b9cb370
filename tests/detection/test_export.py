"""What is exported computes what the detector computes, and what cannot be is refused with a reason."""

from __future__ import annotations

import io
import json
import re
import zipfile
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor

from rondel import Loss, onnx_export
from rondel.errors import RondelError, UsageError
from rondel.torch_export import check_plain
from rondel_detection import exporting
from rondel_detection.bundle import DetectionBundle
from rondel_detection.config import DetectionConfig, ModelConfig, ModelName
from rondel_detection.data.batch import Predictions, Targets
from rondel_detection.data.canvas import Canvas
from rondel_detection.data.labels import LabelMap
from rondel_detection.exporting import Run, compare, distance, export, sample_pictures
from rondel_detection.models.catalogue import make_detector
from rondel_detection.models.detector import Detector
from rondel_detection.programs import Outputs, program_of, sizes_of

CANVAS = Canvas(height=64, width=96, longest=96, enlarge=2.0, stride=32)
LABELS = LabelMap(("cat", "Straße", "dog"), (3, 17, 90))


@pytest.fixture(scope="module")
def bundle() -> DetectionBundle:
    """A bundle of a small centre detector, untrained."""
    model = ModelConfig(width=0.25, max_detections=30, score_threshold=0.005)
    config = DetectionConfig(model=model)
    torch.manual_seed(3)
    detector = make_detector(config.model, len(LABELS), (CANVAS.height, CANVAS.width))
    return DetectionBundle.of(config, detector, labels=LABELS, canvas=CANVAS)


@pytest.fixture(scope="module")
def files(bundle: DetectionBundle, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The bundle in both formats."""
    folder = tmp_path_factory.mktemp("exported")
    return {name: bundle.export(folder / f"model.{name}", name) for name in ("pt2", "onnx")}


@pytest.fixture(scope="module")
def photos() -> Tensor:
    """Three pictures that the parity check has not seen, (3, 3, 64, 96)."""
    pictures = sample_pictures(CANVAS).flip(-1)
    noise = torch.randint(0, 256, (1, 3, 64, 96), generator=torch.Generator().manual_seed(0))
    return torch.cat([pictures, noise.to(torch.uint8)])


@pytest.fixture(scope="module")
def runs(files: dict[str, Path]) -> dict[str, Run]:
    """What runs each file, without this package."""
    session = onnxruntime.InferenceSession(files["onnx"], providers=["CPUExecutionProvider"])

    def run_onnx(images: Tensor) -> Outputs:
        outputs = session.run(["boxes", "scores", "labels"], {"images": images.numpy()})
        boxes, scores, labels = map(torch.from_numpy, outputs)
        return boxes, scores, labels

    with mock.patch("torch.load", side_effect=AssertionError("a pickle was read")):
        program = torch.export.load(files["pt2"])
    targets = {str(node.target) for node in program.graph.nodes if node.op == "call_function"}
    assert all(target.startswith(("aten.", "<built-in", "sym_")) for target in targets), targets
    return {"onnx": run_onnx, "pt2": torch.no_grad()(program.module())}


RUNNERS = ("onnx", "pt2")


@pytest.mark.parametrize("name", RUNNERS)
def test_an_exported_detector_finds_what_the_bundle_finds(
    name: str, runs: dict[str, Run], bundle: DetectionBundle, photos: Tensor
) -> None:
    boxes, scores, labels = runs[name](photos)
    assert scores.shape == (3, 30)
    for row, found in enumerate(bundle.predict(list(photos), threshold=0.0)):
        real = scores[row] >= bundle.settings.model.score_threshold
        assert len(found) == int(real.sum()) > 5
        order = scores[row][real].argsort(descending=True, stable=True)
        np.testing.assert_allclose(scores[row][real][order], found.scores, atol=1e-6)
        np.testing.assert_allclose(boxes[row][real][order], found.boxes, atol=1e-3)
        assert labels[row][real][order].tolist() == found.labels.tolist()


@pytest.mark.parametrize("name", RUNNERS)
@pytest.mark.parametrize("count", [1, 5])
def test_an_exported_detector_takes_any_number_of_pictures(
    name: str, count: int, runs: dict[str, Run], photos: Tensor
) -> None:
    images = photos[:1].expand(count, -1, -1, -1).contiguous()
    boxes, scores, _ = runs[name](images)
    assert boxes.shape == (count, 30, 4)
    torch.testing.assert_close(scores, scores[:1].expand(count, -1))


def test_an_onnx_file_says_what_its_user_must_know(files: dict[str, Path]) -> None:
    model = onnx.load(files["onnx"])
    facts = {entry.key: json.loads(entry.value) for entry in model.metadata_props}
    assert facts["classes"] == ["cat", "Straße", "dog"]
    assert facts["ids"] == [3, 17, 90]
    assert Canvas.from_json(facts["canvas"]) == CANVAS
    assert "upper left corner" in facts["preprocessing"]
    assert facts["score_threshold"] == 0.005
    assert next(entry.version for entry in model.opset_import if not entry.domain) >= 18
    assert [entry.name for entry in model.graph.input] == ["images"]


def test_a_torch_program_says_the_same(files: dict[str, Path]) -> None:
    with zipfile.ZipFile(files["pt2"]) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("extra/facts.json"))
        assert json.loads(archive.read(name))["ids"] == [3, 17, 90]


def test_the_parity_is_printed_and_nothing_else_is_left(
    files: dict[str, Path],
    bundle: DetectionBundle,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    program = program_of(bundle.detector)
    monkeypatch.setitem(exporting.WRITERS, "pt2", lambda *_: (b"content", program))
    monkeypatch.setattr(exporting, "traced", lambda *_: None)
    bundle.export(tmp_path / "new" / "model.pt2", "pt2")
    assert [file.name for file in (tmp_path / "new").iterdir()] == ["model.pt2"]
    assert re.fullmatch(
        r"pt2: largest difference to the original: 0 pixels, 0 of a score, over \d+ detections in "
        r"2 pictures\n",
        capsys.readouterr().err,
    )


# -- faults that must be found ---------------------------------------------------------------------


def shifted(outputs: Outputs) -> Outputs:
    return outputs[0] + 0.2, outputs[1], outputs[2]


def weaker(outputs: Outputs) -> Outputs:
    return outputs[0], outputs[1] * 0.95, outputs[2]


def other_class(outputs: Outputs) -> Outputs:
    return outputs[0], outputs[1], outputs[2] + 1


def one_lost(outputs: Outputs) -> Outputs:
    scores = outputs[1].clone()
    scores[:, int(scores[0].argmax())] = 0
    return outputs[0], scores, outputs[2]


@pytest.mark.parametrize("fault", [shifted, weaker, other_class, one_lost])
def test_a_program_that_computes_something_else_is_not_written(
    fault: Any, bundle: DetectionBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = program_of(bundle.detector)
    content = (b"content", lambda images: fault(program(images)))
    monkeypatch.setitem(exporting.WRITERS, "pt2", lambda *_: content)
    monkeypatch.setattr(exporting, "traced", lambda *_: None)
    with pytest.raises(RondelError, match="does not compute what the detector does: largest diff"):
        bundle.export(tmp_path / "model.pt2", "pt2")
    assert list(tmp_path.iterdir()) == []


def test_the_order_of_detections_makes_no_difference(bundle: DetectionBundle) -> None:
    program = program_of(bundle.detector)

    def reordered(images: Tensor) -> Outputs:
        boxes, scores, labels = program(images)
        return boxes.flip(1), scores.flip(1), labels.flip(1)

    found = compare(program, reordered, sample_pictures(CANVAS))
    assert (found.box, found.score, found.pictures) == (0.0, 0.0, 2)
    assert found.detections > 20


def test_something_is_infinitely_far_from_nothing() -> None:
    box, one = torch.zeros(1, 1, 4), torch.ones(1, 1)
    some, none = (box, one, one.long()), (box, 0 * one, one.long())
    empty = (box[:, :0], one[:, :0], one.long()[:, :0])
    assert distance(some, none) == distance(some, empty) == (np.inf, np.inf)
    assert distance(none, some) == distance(empty, some) == (0.0, 0.0)


def test_a_program_with_a_pickle_in_it_is_refused(bundle: DetectionBundle) -> None:
    class Twice(torch.nn.Module):
        def forward(self, values: Tensor) -> Tensor:
            return values * 2

    program = torch.export.export(Twice(), (torch.ones(2),))
    content = io.BytesIO()
    torch.export.save(program, content)
    with pytest.raises(ValueError, match="of the program is a pickle"):
        check_plain(content.getvalue())


# -- what cannot be exported -----------------------------------------------------------------------


class Looking(Detector):
    """A detector that looks at a value, which no exporter can follow."""

    def __init__(self) -> None:
        super().__init__(1)
        self.weight = torch.nn.Parameter(torch.ones(1))

    def loss(self, images: Tensor, targets: Targets, seeds: Tensor) -> Loss:
        raise NotImplementedError

    def detect(self, images: Tensor, sizes: Tensor) -> Predictions:
        if (images * self.weight).sum() > 3:
            return Predictions.empty()
        return Predictions.empty()


def test_what_cannot_be_exported_is_refused_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        export(Looking(), CANVAS, {}, tmp_path / "model.pt2", "pt2")
    message = str(caught.value)
    assert message.startswith("Looking cannot be exported as pt2 by torch ")
    assert "data-dependent" in message
    assert message.endswith("The centre detector can, in every format.")
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_format_is_refused(bundle: DetectionBundle, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"are not exported as 'tflite'\. Known are onnx and pt2"):
        bundle.export(tmp_path / "model.tflite", "tflite")


def test_missing_packages_are_named_with_the_line_that_installs_them(
    bundle: DetectionBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_export, "PACKAGES", ("onnx", "no_such_package", "neither"))
    with pytest.raises(UsageError) as caught:
        bundle.export(tmp_path / "model.onnx", "onnx")
    assert str(caught.value) == (
        "the export to ONNX needs no_such_package, neither. "
        'Install them: pip install "rondel-detection[onnx]"'
    )


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UsageError, match=r"model\.onnx: cannot be written: .* Give another --out"):
        exporting.write(tmp_path / "file" / "model.onnx", b"content")


# -- torchvision's detectors -----------------------------------------------------------------------

LARGE = Canvas(height=128, width=128, longest=128, enlarge=2.0, stride=128)
TORCHVISION: tuple[ModelName, ...] = (
    "fasterrcnn_slim",
    "fasterrcnn",
    "ssdlite",
    "fcos",
    "retinanet",
)


def of_torchvision(name: ModelName) -> Detector:
    torch.manual_seed(1)
    backbone = None if name in ("fasterrcnn_slim", "ssdlite") else "resnet18"
    config = ModelConfig(name=name, backbone=backbone, score_threshold=1e-4)
    return make_detector(config, len(LABELS), (LARGE.height, LARGE.width)).eval()


@pytest.mark.parametrize("name", TORCHVISION)
def test_the_program_of_a_torchvision_detector_finds_what_the_detector_finds(
    name: ModelName,
) -> None:
    detector = of_torchvision(name)

    def detect(images: Tensor) -> Outputs:
        found = detector.detect(images, sizes_of(images))
        return found.boxes[None], found.scores[None], found.labels[None]

    found = compare(program_of(detector), detect, sample_pictures(LARGE))
    assert found.detections > 0
    assert found.box < 1e-4
    assert found.score < 1e-6


@pytest.mark.slow
@pytest.mark.parametrize("name", ["fasterrcnn", "ssdlite", "fcos"])
def test_a_torchvision_detector_is_exported_to_onnx(name: ModelName, tmp_path: Path) -> None:
    found = export(of_torchvision(name), LARGE, {}, tmp_path / "model.onnx", "onnx")
    assert found.detections > 0
    assert found.box < 1e-3
