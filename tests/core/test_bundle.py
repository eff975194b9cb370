"""Bundles: what was saved is what is loaded, or nothing is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from rondel.bundle import Bundle
from rondel.errors import CheckpointError, UsageError


class Classifier(Bundle):
    """A linear model with the mean of its inputs."""

    domain: ClassVar[str] = "toy"

    @classmethod
    def build(cls, config: Mapping[str, Any], facts: Mapping[str, Any]) -> dict[str, nn.Module]:
        sizes = (config["width"], len(facts["labels"]))
        return {"model": nn.Sequential(nn.Linear(*sizes), nn.BatchNorm1d(sizes[1]))}

    def predict(self, inputs: Tensor) -> list[str]:
        with torch.no_grad():
            best = self.modules["model"](inputs - self.facts["mean"]).argmax(1)
        return [self.facts["labels"][i] for i in best.tolist()]


class Stranger(Classifier):
    domain: ClassVar[str] = "other"


def trained(seed: int = 0, **metrics: float) -> Classifier:
    torch.manual_seed(seed)
    config, facts = {"width": 3}, {"labels": ["Äpfel", "b"], "mean": torch.rand(3)}
    modules = Classifier.build(config, facts)
    modules["model"](torch.randn(8, 3))
    return Classifier(config=config, facts=facts, modules=modules, metrics=metrics)


def test_what_was_saved_is_what_is_loaded(tmp_path: Path) -> None:
    saved = trained(accuracy=0.9)
    path = saved.save(tmp_path / "bün dle")
    loaded = Classifier.load(path)
    x = torch.randn(20, 3)
    assert loaded.predict(x) == saved.predict(x)
    assert (loaded.config, loaded.metrics, loaded.data) == ({"width": 3}, {"accuracy": 0.9}, None)
    for name, tensor in saved.modules["model"].state_dict().items():
        assert torch.equal(loaded.modules["model"].state_dict()[name], tensor), name
    assert not loaded.modules["model"].training


def test_a_path_may_be_a_string(tmp_path: Path) -> None:
    path = trained().save(str(tmp_path / "bundle"))
    assert Classifier.load(str(path)).config == {"width": 3}


def test_a_new_bundle_replaces_an_older_one_and_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "bundle"
    trained(0).save(path)
    (path / "stray.txt").write_text("of the old one")
    newer = trained(1)
    newer.save(path)
    loaded = Classifier.load(path)
    assert torch.equal(loaded.facts["mean"], newer.facts["mean"])
    assert [p.name for p in tmp_path.iterdir()] == ["bundle"]
    assert not (path / "stray.txt").exists()


def test_a_save_that_fails_leaves_the_older_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "bundle"
    trained(0, accuracy=0.5).save(path)
    broken = trained(1)
    broken.facts["reader"] = object()
    with pytest.raises(CheckpointError):
        broken.save(path)
    assert Classifier.load(path).metrics == {"accuracy": 0.5}


@pytest.mark.parametrize("file", ["manifest.json", "tensors.safetensors"])
def test_a_damaged_byte_is_refused(tmp_path: Path, file: str) -> None:
    path = trained().save(tmp_path / "bundle")
    content = (path / file).read_bytes()
    for place in [0, len(content) // 3, len(content) // 2, len(content) - 2]:
        damaged = bytearray(content)
        damaged[place] ^= 1
        (path / file).write_bytes(damaged)
        with pytest.raises(CheckpointError):
            Classifier.load(path)
    (path / file).write_bytes(content[:-1])
    with pytest.raises(CheckpointError):
        Classifier.load(path)
    (path / file).write_bytes(content)
    Classifier.load(path)


def test_the_bundle_of_another_domain_is_refused(tmp_path: Path) -> None:
    path = trained().save(tmp_path / "bundle")
    with pytest.raises(CheckpointError) as caught:
        Stranger.load(path)
    assert str(caught.value) == (
        f"{path}: is a bundle of domain 'toy', not a bundle of 'other'. "
        "rondel.load(path) finds the right domain by itself."
    )


def test_a_folder_that_is_no_bundle_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=str(tmp_path)):
        Classifier.load(tmp_path)


def test_an_unknown_export_says_where_the_weights_are(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        trained().export(tmp_path / "m.onnx", "onnx")
    assert str(caught.value) == (
        f"domain 'toy' cannot export 'onnx' to {tmp_path / 'm.onnx'}. "
        "The weights are in the bundle's tensors.safetensors."
    )
