"""A generator for other runtimes, as ONNX or as a torch program, compared with the original.

Inputs are ``noise`` (N, Z) and, of a generator with classes, ``labels`` (N,) int64; the output is
``images`` (N, C, H, W) in [-1, 1], or ``points`` (N, 2). A translator takes and returns images. A
CycleGAN becomes two files, a VAE-GAN has its encoder in a second one.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from rondel.errors import RondelError, UsageError
from rondel.onnx_export import reason_of, require_packages, silence, to_onnx
from rondel.torch_export import to_pt2
from rondel_gan.writing import write_bytes

if TYPE_CHECKING:
    from rondel_gan.bundle import GanBundle

LARGEST_DIFFERENCE = 1e-4
"""Of a value, relative to the largest one if that is above 1."""
TRACED, COMPARED = 2, (1, 5)
"""Rows that a net is traced with, and numbers of rows that it is compared on."""
Run = Callable[[Mapping[str, Tensor]], Tensor]


class Mean(nn.Module):
    """The part of an encoder's answer that is used: (N, C, H, W) -> (N, Z)."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, images: Tensor) -> Tensor:
        """Return the mean of the code of each image."""
        mean: Tensor = self.encoder(images)[0]
        return mean


@dataclass(frozen=True)
class Part:
    """One net that gets a file of its own.

    Args:
        net: What is exported.
        shapes: Of its inputs by name, without N; () for labels.
        output: Name of what it makes.
        classes: Of its labels.
    """

    net: nn.Module
    shapes: Mapping[str, tuple[int, ...]]
    output: str
    classes: int = 0

    def inputs(self, count: int) -> dict[str, Tensor]:
        """Return made-up inputs, always the same."""
        draw = torch.Generator().manual_seed(count)
        return {
            name: torch.randn((count, *shape), generator=draw)
            if shape
            else torch.randint(self.classes, (count,), generator=draw)
            for name, shape in self.shapes.items()
        }


def export(bundle: GanBundle, out: Path, name: str) -> Path:
    """Write every net of a bundle in a format, once each was found equal to the original.

    Args:
        bundle: The model.
        out: The file of the generator; others lie beside it.
        name: 'onnx' or 'pt2'.

    Returns:
        The file of the generator.

    Raises:
        UsageError: There is no such format, the packages for it are missing, a net cannot be
            exported, or a file cannot be written; the reason is given.
        RondelError: An exported program computes something else.
    """
    if name not in WRITERS:
        raise UsageError(
            f"generators are not exported as {name!r}", hint=f"Known are {' and '.join(WRITERS)}."
        )
    if name == "onnx":
        require_packages("rondel-gan")
    contents = {
        out if not title else out.with_stem(f"{out.stem}-{title}"): exported(
            part, facts_of(bundle, part), out, name
        )
        for title, part in parts_of(bundle).items()
    }
    for file, content in contents.items():
        write_bytes(content, file)
    return out


def parts_of(bundle: GanBundle) -> dict[str, Part]:
    """Return the nets that get a file, by what is added to its name."""
    nets, shape = bundle.modules, bundle.shape
    if bundle.translates:
        source = tuple(bundle.facts["source"])
        parts = {"": Part(nets["generator"], {"images": source}, "translations")}
        if "inverse" in nets:
            parts["back"] = Part(nets["inverse"], {"images": shape}, "translations")
        return parts
    generator = bundle.maker.generator
    shapes: dict[str, tuple[int, ...]] = {"noise": (generator.latent,)}
    if generator.classes:
        shapes["labels"] = ()
    made = "points" if len(shape) == 1 else "images"
    parts = {"": Part(generator, shapes, made, generator.classes)}
    if "encoder" in nets:
        parts["encoder"] = Part(Mean(nets["encoder"]), {made: shape}, "noise")
    return parts


def facts_of(bundle: GanBundle, part: Part) -> dict[str, Any]:
    """Return what the user of a file must know."""
    facts: dict[str, Any] = {"values": "images are in [-1, 1]; (x + 1) * 127.5 are pixels"}
    if "labels" in part.shapes:
        facts["classes"] = list(bundle.maker.classes)
    if "noise" in part.shapes:
        facts["noise"] = noise_of(bundle)
    return facts


def noise_of(bundle: GanBundle) -> str:
    """Say what the numbers of the noise are."""
    config = bundle.settings
    gaussians = f"{config.model.latent} standard normal numbers"
    if config.loop != "info":
        return gaussians
    codes = config.info
    return f"{gaussians}, a one-hot category of {codes.categories}, {codes.continuous} codes in [-1, 1]"


def exported(part: Part, facts: Mapping[str, Any], out: Path, name: str) -> bytes:
    """Return the content of a file, once it was found equal to the original.

    Raises:
        UsageError: The net cannot be exported.
        RondelError: The exported program computes something else.
    """
    net = copy.deepcopy(part.net).cpu().eval()
    try:
        with silence():
            content, run = WRITERS[name](traced(net, part), part, facts)
    except Exception as error:
        # an exporter that meets what it does not know can raise anything
        raise UsageError(
            f"{type(part.net).__name__} cannot be exported as {name} by torch {torch.__version__}: "
            f"{reason_of(error)}",
            hint="The weights are in the bundle's tensors.safetensors.",
        ) from error
    found = max(difference(net, run, part.inputs(count)) for count in COMPARED)
    if not found <= LARGEST_DIFFERENCE:  # as NaN is
        raise RondelError(
            f"the exported program differs from the model by {found:.2g}",
            where=str(out),
            hint="Nothing was written. Another version of torch may do better.",
        )
    return content


def traced(net: nn.Module, part: Part) -> torch.export.ExportedProgram:
    """Return a net as a graph, of any number of rows."""
    inputs = tuple(part.inputs(TRACED).values())
    shapes = tuple({0: torch.export.Dim.DYNAMIC} for _ in inputs)
    with torch.no_grad():
        return torch.export.export(net, inputs, dynamic_shapes=shapes, strict=False)


def as_onnx(
    program: torch.export.ExportedProgram, part: Part, facts: Mapping[str, Any]
) -> tuple[bytes, Run]:
    """Write an ONNX model with metadata, and open it by onnxruntime."""
    content, session = to_onnx(
        program, inputs=list(part.shapes), outputs=[part.output], facts=facts
    )

    def run(inputs: Mapping[str, Tensor]) -> Tensor:
        (answer,) = session.run([part.output], {key: inputs[key].numpy() for key in inputs})
        return torch.from_numpy(answer)

    return content, run


def as_pt2(
    program: torch.export.ExportedProgram,
    part: Part,  # noqa: ARG001 - a program keeps no names
    facts: Mapping[str, Any],
) -> tuple[bytes, Run]:
    """Write a torch program, and read it back."""
    content, module = to_pt2(program, facts)

    def run(inputs: Mapping[str, Tensor]) -> Tensor:
        answer: Tensor = module(*inputs.values())
        return answer

    return content, run


WRITERS: dict[
    str,
    Callable[[torch.export.ExportedProgram, Part, Mapping[str, Any]], tuple[bytes, Run]],
] = {"onnx": as_onnx, "pt2": as_pt2}
"""The formats."""


@torch.no_grad()
def difference(net: nn.Module, run: Run, inputs: Mapping[str, Tensor]) -> float:
    """Return how far an exported program is from the original, as `LARGEST_DIFFERENCE` counts."""
    expected, got = net(*inputs.values()), run(inputs)
    return float((got - expected).abs().max() / expected.abs().max().clamp(min=1))
