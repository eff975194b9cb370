"""Weights from files: what fits, what is told, and that nothing is fetched unasked."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision.models.detection import FasterRCNN

from rondel import Bundle
from rondel.errors import CheckpointError, DataError, UsageError
from rondel_detection.config import ModelConfig
from rondel_detection.models.catalogue import make_detector, without_weights
from rondel_detection.models.detector import Detector
from rondel_detection.models.hub import find_weights
from rondel_detection.models.torchvision_backbone import pyramid_backbone
from rondel_detection.models.weights import load_weights

State = dict[str, Tensor]


def slim(classes: int = 3, *, seed: int = 0) -> Detector:
    torch.manual_seed(seed)
    return make_detector(ModelConfig(name="fasterrcnn_slim", width=0.5), classes, (64, 64))


class Backbone(nn.Module):
    """A detector's backbone, without the rest that would take long to make."""

    def __init__(self, **keys: Any) -> None:
        super().__init__()
        config = ModelConfig.model_validate({"name": "fcos", "backbone": "resnet18", **keys})
        self.model = nn.ModuleDict({"backbone": pyramid_backbone(config, dense=True)})


def save(state: State, path: Path) -> Path:
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, path)
    return path


def same(detector: nn.Module, other: nn.Module, *, but: tuple[str, ...] = ()) -> None:
    state = other.state_dict()
    for name, tensor in detector.state_dict().items():
        assert torch.equal(tensor, state[name]) == (not name.startswith(but or ("-",))), name


def test_a_file_of_the_same_detector_fills_all_of_it(tmp_path: Path) -> None:
    source, detector = slim(seed=1), slim()
    report = load_weights(detector, save(source.state_dict(), tmp_path / "w.safetensors"))
    same(detector, source)
    assert set(report.matched) == set(detector.state_dict())
    assert not any((report.missing, report.reshaped, report.left_over))
    total = len(report.matched)
    assert str(report) == f"{tmp_path / 'w.safetensors'}: {total} of {total} tensors loaded"


def test_the_memory_layout_of_the_detector_stays(tmp_path: Path) -> None:
    detector = slim()
    strides = [p.stride() for p in detector.parameters()]
    load_weights(detector, save(slim(seed=1).state_dict(), tmp_path / "w.safetensors"))
    assert [p.stride() for p in detector.parameters()] == strides


@pytest.mark.parametrize("prefix", ["", "module.", "ema.module.model."])
def test_torchvisions_own_names_and_those_of_other_trainers_fit(
    prefix: str, tmp_path: Path
) -> None:
    source, detector = slim(seed=1), slim()
    assert isinstance(source.model, FasterRCNN)
    state = {prefix + name: tensor for name, tensor in source.model.state_dict().items()}
    report = load_weights(detector, save(state, tmp_path / "w.safetensors"))
    same(detector, source)
    assert not report.left_over


def test_a_head_of_other_classes_stays_fresh_and_is_listed(tmp_path: Path) -> None:
    source, detector, before = slim(5, seed=1), slim(3), slim(3)
    report = load_weights(detector, save(source.state_dict(), tmp_path / "w.safetensors"))
    head = "model.roi_heads.box_predictor."
    assert [entry.name for entry in report.reshaped] == [
        f"{head}{name}"
        for name in ("bbox_pred.bias", "bbox_pred.weight", "cls_score.bias", "cls_score.weight")
    ]
    assert str(report.reshaped[-1]) == f"{head}cls_score.weight [6, 128] -> [4, 128]"
    assert "4 of another shape, left as they were: " in str(report)
    for name, tensor in detector.state_dict().items():
        origin = before if name.startswith(head) else source
        assert torch.equal(tensor, origin.state_dict()[name]), name


def test_a_bare_backbone_fits_below_its_prefix(tmp_path: Path) -> None:
    torch.manual_seed(1)
    network = torchvision.models.resnet18(weights=None)
    network.bn1.running_mean.fill_(3.0)
    detector = Backbone(norm="frozen")
    path = save(network.state_dict(), tmp_path / "resnet18.safetensors")
    report = load_weights(detector, path)
    state = detector.state_dict()
    for name, tensor in network.state_dict().items():
        if not name.startswith("fc.") and "num_batches" not in name:
            assert torch.equal(state[f"model.backbone.body.{name}"], tensor), name
    assert report.left_over == ("fc.bias", "fc.weight")
    assert all(name.startswith("model.backbone.fpn.") for name in report.missing)
    assert "2 in the file, of no use here: fc.bias, fc.weight" in str(report)


def test_names_of_older_files_are_understood(tmp_path: Path) -> None:
    source, detector = slim(seed=1), slim()
    state = source.state_dict()
    for kind in ("weight", "bias"):
        state[f"model.rpn.head.conv.{kind}"] = state.pop(f"model.rpn.head.conv.0.0.{kind}")
    report = load_weights(detector, save(state, tmp_path / "w.safetensors"))
    same(detector, source)
    assert report.missing == report.left_over == ()


def test_statistics_of_batches_do_not_fit_groups_and_the_message_says_what_to_set(
    tmp_path: Path,
) -> None:
    path = save(torchvision.models.resnet18(weights=None).state_dict(), tmp_path / "a.safetensors")
    with pytest.raises(UsageError) as error:
        load_weights(Backbone(norm="group"), path)
    assert str(error.value) == (
        f"model.weights={path}: the weights have the statistics of batch normalisation, "
        "the detector has groups. Set model.norm=frozen."
    )
    path = save(Backbone(norm="group").state_dict(), tmp_path / "b.safetensors")
    with pytest.raises(UsageError) as error:
        load_weights(Backbone(norm="frozen"), path)
    assert str(error.value) == (
        f"model.weights={path}: the weights lack the statistics of batch normalisation that the "
        "detector keeps. Set model.norm=group."
    )


class Saved(Bundle):
    """A bundle as a domain writes it."""

    domain = "detection"


def save_bundle(detector: Detector, path: Path) -> Path:
    return Saved(config={}, facts={}, modules={"detector": detector}).save(path)


@pytest.mark.parametrize(
    ("bundle", "named"),
    [("run", "run"), ("run/bundle", "run"), ("run", "run/tensors.safetensors")],
)
def test_a_bundle_its_file_or_the_run_with_it_fills_a_detector(
    bundle: str, named: str, tmp_path: Path
) -> None:
    source, detector = slim(seed=1), slim()
    save_bundle(source, tmp_path / bundle)
    report = load_weights(detector, tmp_path / named)
    same(detector, source)
    assert len(report.matched) == len(detector.state_dict())


def test_a_damaged_bundle_is_refused(tmp_path: Path) -> None:
    path = save_bundle(slim(), tmp_path / "bundle")
    file = path / "tensors.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    with pytest.raises(CheckpointError, match=r"tensors\.safetensors"):
        load_weights(slim(), path)


def test_a_folder_with_one_file_means_that_file(tmp_path: Path) -> None:
    save(slim(seed=1).state_dict(), tmp_path / "model.safetensors")
    detector = slim()
    load_weights(detector, tmp_path)
    same(detector, slim(seed=1))
    save(slim().state_dict(), tmp_path / "other.safetensors")
    with pytest.raises(UsageError) as error:
        load_weights(detector, tmp_path)
    assert str(error.value) == (
        f"model.weights={tmp_path}: the folder is no bundle and has 2 .safetensors files. "
        "Name the file itself."
    )
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=r"is no bundle and has no \.safetensors file"):
        load_weights(detector, tmp_path / "empty")


def test_nothing_at_the_path_says_what_may_stand_there() -> None:
    with pytest.raises(UsageError) as error:
        load_weights(slim(), "no/such.safetensors")
    assert str(error.value) == (
        "model.weights=no/such.safetensors: there is no such file or folder. "
        "Name a .safetensors file or a bundle; 'hub:NAME' downloads on request."
    )


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".bin", ".ckpt"])
def test_a_pickle_is_refused_with_the_way_to_convert_it(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"old{suffix}"
    path.write_bytes(b"\x80\x04N.")
    with pytest.raises(UsageError) as error:
        load_weights(slim(), path)
    text = str(error.value)
    assert text.startswith(
        f"model.weights={path}: {suffix} files are pickles, which can run any code when they are "
        "read. Convert it once, where you trust it: python -c"
    )
    assert f"torch.load('old{suffix}', weights_only=True)" in text
    assert "'old.safetensors'" in text


def test_a_damaged_file_is_bad_data(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(b"12345678 nothing")
    with pytest.raises(DataError) as error:
        load_weights(slim(), path)
    assert str(error.value).startswith(f"{path}: cannot be read as safetensors (")
    assert str(error.value).endswith("). Is it complete? Copy or convert it again.")


def test_a_file_of_another_model_names_the_nearest_tensors(tmp_path: Path) -> None:
    detector = slim()
    path = save({"model.backbone.stem.0.0.weights": torch.zeros(7, 3)}, tmp_path / "w.safetensors")
    with pytest.raises(DataError) as error:
        load_weights(detector, path)
    assert str(error.value) == (
        f"model.weights={path}: no tensor fits the detector. The nearest are "
        "model.backbone.stem.0.0.weights [7, 3] there and model.backbone.stem.0.0.weight "
        "[16, 3, 3, 3] here. Are model.name and model.backbone those of the file?"
    )
    path = save({"zz": torch.zeros(7), "yy": torch.zeros(9)}, tmp_path / "w.safetensors")
    with pytest.raises(DataError, match=r"It has yy, zz, the detector model\.backbone"):
        load_weights(detector, path)


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object) -> None:
        raise OSError("there is no network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize("name", ["fasterrcnn_slim", "ssdlite", "fcos"])
@pytest.mark.parametrize("weights", [None, "hub:resnet18"])
def test_making_a_detector_fetches_nothing(
    name: str, weights: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched: list[object] = []
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", fetched.append)
    keys = {"name": name, "weights": weights, "backbone": "resnet18", "width": 0.5}
    make_detector(ModelConfig.model_validate(keys), 3, (64, 64))
    assert fetched == []


@pytest.mark.usefixtures("no_network")
def test_without_a_connection_the_hub_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))  # nothing is in the cache
    with pytest.raises(DataError) as error:
        load_weights(Backbone(norm="frozen"), "hub:resnet18")
    assert str(error.value) == (
        "model.weights=hub:resnet18: cannot be fetched (<urlopen error there is no network>). "
        "Fetch it on a machine with a connection, convert it to .safetensors, and name that file."
    )
    assert isinstance(error.value.__cause__, URLError)


def test_what_the_hub_gives_is_fitted_like_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    network, asked = torchvision.models.resnet18(weights=None), []

    def fetch(url: str, **keys: Any) -> State:
        asked.append((url.rsplit("/", 1)[-1], keys))
        return dict(network.state_dict())

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", fetch)
    detector = Backbone(norm="frozen")
    report = load_weights(detector, "hub:resnet18/IMAGENET1K_V1")
    ((file, keys),) = asked
    assert file.startswith("resnet18-")
    assert keys["weights_only"] is True, "a download may not run code"
    assert report.left_over == ("fc.weight", "fc.bias")
    assert torch.equal(
        detector.state_dict()["model.backbone.body.conv1.weight"], network.conv1.weight
    )


def test_unknown_weights_of_the_hub_are_answered_with_those_there_are() -> None:
    with pytest.raises(UsageError) as error:
        find_weights("hub:resnet51")
    assert str(error.value) == (
        "model.weights=hub:resnet51: torchvision has no model 'resnet51'. "
        "Did you mean 'hub:resnet50'?"
    )
    with pytest.raises(UsageError) as error:
        find_weights("hub:resnet18/COCO")
    assert str(error.value) == (
        "model.weights=hub:resnet18/COCO: 'resnet18' has no weights 'COCO'. "
        "There are IMAGENET1K_V1, DEFAULT."
    )


@pytest.mark.parametrize("weights", ["a.safetensors", "runs/x/bundle", None])
def test_a_bundle_is_built_with_the_layers_its_weights_had(weights: str | None) -> None:
    keys = {"name": "retinanet", "backbone": "resnet18", "weights": weights}
    config = ModelConfig.model_validate(keys)
    rebuilt = without_weights(config)
    assert rebuilt.weights is None
    names = [set(make_detector(model, 3, (64, 64)).state_dict()) for model in (config, rebuilt)]
    assert names[0] == names[1]
    assert any("running_mean" in name for name in names[0]) == (weights == "a.safetensors")
