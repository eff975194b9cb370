"""Inception as the FID papers use it, from a local file of weights, with clean-fid's resize.

The network is TensorFlow's of 2015-12-05 (Heusel et al., 2017, with that graph): torchvision's
inception_v3 but for its 1008 outputs, averages that leave out the padding, and a maximum in the
last block. The resize is that of clean-fid (Parmar et al., 2022): bicubic with antialiasing, in
float, clipped, on the device. Nothing is ever downloaded.
Shapes: images (N, C, H, W) in [-1, 1], features (N, 2048), logits (N, 1008).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import inception_v3

from rondel.errors import ConfigError

FILE = "pt_inception-2015-12-05-6726825d.pth"
CHECKSUM = "6726825d"
"""How the SHA-256 of the weights begins; it is a part of the name of the file."""
OUTPUTS = 1008
SIZE = 299
CHUNK = 32
AVERAGED = (
    *("Mixed_5b", "Mixed_5c", "Mixed_5d"),
    *("Mixed_6b", "Mixed_6c", "Mixed_6d", "Mixed_6e"),
    "Mixed_7b",
)
"""Blocks whose average leaves out the padding."""


class Inception(nn.Module):
    """The network in two parts: features, and what its classifier makes of them.

    Args:
        weights: The state of the whole network, under torchvision's names.
    """

    distance = "fid"
    protocol = "inception-tf,clean"
    resize = f"resized to {SIZE} x {SIZE} as clean-fid does"
    classes: tuple[str, ...] = ()
    """Its classes are not those of the data, so none is ever predicted."""

    def __init__(self, weights: Mapping[str, Tensor]) -> None:
        super().__init__()
        body = inception_v3(weights=None, aux_logits=False, num_classes=OUTPUTS, init_weights=False)
        body.load_state_dict(weights)
        for name in AVERAGED:
            getattr(body, name).branch_pool.register_forward_pre_hook(without_padding)
        body.Mixed_7c.register_forward_hook(with_maximum)
        self.head = body.fc
        body.fc = nn.Identity()
        self.body = body
        self.eval().requires_grad_(False)

    def forward(self, levels: Tensor) -> Tensor:
        """Return the features of levels, (N, 3, 299, 299) in [0, 255]."""
        features: Tensor = self.body((levels - 128) / 128)
        return features

    @torch.no_grad()
    def features(self, images: Tensor) -> Tensor:
        """Return the features in float64, on the CPU, computed in pieces."""
        weight = self.head.weight
        pieces = (piece.to(weight.device, weight.dtype) for piece in torch.split(images, CHUNK))
        found = [self(clean_resize(levels(piece))).cpu().double() for piece in pieces]
        return torch.cat(found)

    @torch.no_grad()
    def probabilities(self, features: Tensor) -> Tensor:
        """Return the probabilities of its own classes, without the bias, as the score has them."""
        weight = self.head.weight.cpu().double()
        probabilities: Tensor = (features @ weight.T).softmax(dim=1)
        return probabilities

    def predict(self, features: Tensor) -> Tensor:
        """Return the output that is highest for each row of features, (N,)."""
        classes: Tensor = self.probabilities(features).argmax(dim=1)
        return classes


def load_inception(path: Path, *, checksum: str = CHECKSUM) -> Inception:
    """Read the network from a local file.

    Args:
        path: The file of weights, as pytorch-fid and torch-fidelity offer it.
        checksum: How its SHA-256 has to begin.

    Raises:
        ConfigError: The file cannot be read, or is another one.
    """
    where = f"evaluation.inception={path}"
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ConfigError(
            f"cannot be read: {error.strerror}",
            where=where,
            hint=f"Give a local {FILE}; nothing is downloaded.",
        ) from error
    if not found.startswith(checksum):
        raise ConfigError(
            f"has the SHA-256 {found}, not one that begins with {checksum}",
            where=where,
            hint=f"Give {FILE}, whole and unchanged; with others the numbers are no FID.",
        )
    weights: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return Inception(weights)


def levels(images: Tensor) -> Tensor:
    """Turn [-1, 1] into whole levels of 8 bits and three channels, (N, 3, H, W)."""
    rounded = ((images.clamp(-1, 1) + 1) * 127.5).round()
    return rounded.expand(-1, 3, -1, -1) if rounded.shape[1] == 1 else rounded


def clean_resize(levels: Tensor) -> Tensor:
    """Resize (N, C, H, W) levels as clean-fid does, which is what Pillow does in float."""
    size = (SIZE, SIZE)
    # in double, as Pillow has its weights: in single precision large images are off by 0.003
    exact = levels.double()
    resized = F.interpolate(exact, size, mode="bicubic", antialias=True, align_corners=False)
    return resized.clamp(0, 255).to(levels.dtype)


def without_padding(_: nn.Module, averages: tuple[Tensor]) -> tuple[Tensor]:
    """Turn averages of 3 x 3 with zeros around the border into those without."""
    ones = averages[0].new_ones(1, 1, *averages[0].shape[2:])
    inside = F.avg_pool2d(ones, 3, stride=1, padding=1)
    return (averages[0] / inside,)


def with_maximum(block: nn.Module, inputs: tuple[Tensor], output: Tensor) -> Tensor:
    """Replace the last branch of a block, which averages, by one of maxima."""
    maxima = F.max_pool2d(inputs[0], 3, stride=1, padding=1)
    branch = block.get_submodule("branch_pool")(maxima)
    return torch.cat([output[:, : -branch.shape[1]], branch], dim=1)
