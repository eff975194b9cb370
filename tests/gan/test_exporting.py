"""What is exported computes what the bundle computes, in the runtime that it was made for."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from rondel import keyed
from rondel.config import parse_overrides, resolve
from rondel.errors import RondelError, UsageError
from rondel_gan import exporting
from rondel_gan.build import build
from rondel_gan.bundle import GanBundle
from rondel_gan.config import GanConfig

SMALL = ("evaluation.proxy_updates=5", "evaluation.samples=64", "model.width=16")
GAMES = {
    "plain": (),
    "dcgan": ("model.name=dcgan", "model.width=4"),
    "resnet": ("model.name=resnet", "model.width=4"),
    "r3gan": ("model.name=r3gan", "model.width=4"),
    "projection": ("model.condition=projection",),
    "info": ("loop=info", "info.categories=4"),
    "vae": ("loop=vae",),
    "growing": ("loop=growing", "model.width=8"),
    "points": ("dataset=ring",),
    "cycle": ("dataset=photos", "translation.width=4"),
}


@cache
def bundle_of(name: str) -> GanBundle:
    overrides = [*SMALL, *GAMES[name]]
    config: Any = resolve(GanConfig, [parse_overrides(GanConfig, overrides)]).config
    keyed.reseed(keyed.key(0, "build"))
    return build(config).bundle()


def run_onnx(path: Path, inputs: Mapping[str, Tensor]) -> Tensor:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (made,) = session.run(None, {name: value.numpy() for name, value in inputs.items()})
    return torch.from_numpy(made)


def run_pt2(path: Path, inputs: Mapping[str, Tensor]) -> Tensor:
    with mock.patch("torch.load", side_effect=AssertionError("a pickle was read")):
        program = torch.export.load(path)
    made: Tensor = program.module()(*inputs.values())
    return made


RUNNERS = {"onnx": run_onnx, "pt2": run_pt2}


@pytest.mark.parametrize("name", [name for name in GAMES if name != "cycle"])
@pytest.mark.parametrize("kind", RUNNERS)
def test_an_exported_generator_makes_the_samples_of_the_bundle(
    kind: str, name: str, tmp_path: Path
) -> None:
    bundle = bundle_of(name)
    path = bundle.export(tmp_path / f"g.{kind}", kind)
    assert path == tmp_path / f"g.{kind}"
    maker = bundle.maker
    for count in (1, 7):
        inputs = {"noise": maker.noise(count, seed=5)}
        labels = maker.labels(count, None)
        if labels is not None:
            inputs["labels"] = labels
        with torch.no_grad():
            made = RUNNERS[kind](path, inputs)
        torch.testing.assert_close(made, maker.samples(count, seed=5), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", RUNNERS)
def test_a_cycle_gan_becomes_two_files(kind: str, tmp_path: Path) -> None:
    bundle = bundle_of("cycle")
    bundle.export(tmp_path / f"g.{kind}", kind)
    images = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    for file, direction in (("g", "there"), ("g-back", "back")):
        with torch.no_grad():
            made = RUNNERS[kind](tmp_path / f"{file}.{kind}", {"images": images})
        expected = bundle.translate(images, direction=direction)  # type: ignore[arg-type]
        torch.testing.assert_close(made, expected, rtol=1e-4, atol=1e-5)


def test_the_encoder_of_a_vae_gan_has_a_file(tmp_path: Path) -> None:
    bundle = bundle_of("vae")
    bundle.export(tmp_path / "g.onnx", "onnx")
    images = torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
    codes = run_onnx(tmp_path / "g-encoder.onnx", {"images": images})
    torch.testing.assert_close(codes, bundle.encode(images), rtol=1e-4, atol=1e-5)


def test_an_onnx_file_says_what_its_user_must_know(tmp_path: Path) -> None:
    for name, words in (
        ("projection", "32 standard normal numbers"),
        ("info", "32 standard normal numbers, a one-hot category of 4, 2 codes in [-1, 1]"),
    ):
        model = onnx.load(bundle_of(name).export(tmp_path / f"{name}.onnx", "onnx"))
        facts = {entry.key: json.loads(entry.value) for entry in model.metadata_props}
        assert facts["noise"] == words
        assert "[-1, 1]" in facts["values"]
        labels = [str(digit) for digit in range(10)] if name == "projection" else None
        assert facts.get("classes") == labels
        names = [entry.name for entry in model.graph.input]
        assert names == (["noise", "labels"] if labels else ["noise"])
        assert [entry.name for entry in model.graph.output] == ["images"]


def test_an_export_that_computes_something_else_is_not_written(tmp_path: Path) -> None:
    def wrong(program: Any, part: Any, facts: Any) -> Any:
        return b"", lambda inputs: part.net(*inputs.values()).detach() + 0.01

    out = tmp_path / "g.onnx"
    with (
        mock.patch.dict(exporting.WRITERS, {"onnx": wrong}),
        pytest.raises(RondelError, match=re.escape(f"{out}: the exported program differs")),
    ):
        bundle_of("plain").export(out, "onnx")
    assert not out.exists()


def test_an_export_that_computes_nan_is_not_written(tmp_path: Path) -> None:
    def wrong(program: Any, part: Any, facts: Any) -> Any:
        return b"", lambda inputs: part.net(*inputs.values()).detach() * torch.nan

    with (
        mock.patch.dict(exporting.WRITERS, {"pt2": wrong}),
        pytest.raises(RondelError, match=r"differs from the model by nan. Nothing was written"),
    ):
        bundle_of("plain").export(tmp_path / "g.pt2", "pt2")


class Erratic(nn.Module):
    """Does what no graph can hold."""

    def forward(self, noise: Tensor) -> Tensor:
        """Branch on a value."""
        return noise if float(noise.sum()) > 0 else -noise


def test_a_net_that_cannot_be_exported_is_refused_with_a_reason(tmp_path: Path) -> None:
    part = exporting.Part(Erratic(), {"noise": (4,)}, "images")
    with pytest.raises(UsageError, match=r"Erratic cannot be exported as pt2 by torch .*: \w+"):
        exporting.exported(part, {}, tmp_path / "g.pt2", "pt2")


def test_missing_packages_are_named(tmp_path: Path) -> None:
    with (
        mock.patch("rondel.onnx_export.importlib.util.find_spec", return_value=None),
        pytest.raises(UsageError, match=re.escape('pip install "rondel-gan[onnx]"')),
    ):
        bundle_of("plain").export(tmp_path / "g.onnx", "onnx")
    assert not any(tmp_path.iterdir())


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"cannot be written: .*Give another --out"):
        bundle_of("plain").export(tmp_path / "file" / "g.pt2", "pt2")
