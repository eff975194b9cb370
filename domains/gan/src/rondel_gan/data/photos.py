"""Image-to-image tasks without a download: patches of scikit-learn's two photographs.

A Chinese temple and a dahlia, 640 x 427 (CC BY 2.0), cut into patches of 32 x 32 that do not
overlap: 260 of each.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from rondel import DataManifest
from rondel.data_manifest import hash_files
from rondel_gan.data.folder import decode, read_header
from rondel_gan.data.images import scaled_bytes
from rondel_gan.data.pairs import Pairs

SIDE = 32
PHOTOS = ("china.jpg", "flower.jpg")


def read_colorize() -> Pairs:
    """Return the paired task: a grey patch, and the same one in colour."""
    return Pairs(
        name="colorize",
        a=torch.cat([patches(photo, "grey") for photo in PHOTOS]),
        b=torch.cat([patches(photo, "rgb") for photo in PHOTOS]),
        paired=True,
        names=("grey", "colour"),
        manifest=manifest("colorize"),
    )


def read_photos() -> Pairs:
    """Return the task without partners: patches of the temple, and patches of the dahlia."""
    return Pairs(
        name="photos",
        a=patches(PHOTOS[0], "rgb"),
        b=patches(PHOTOS[1], "rgb"),
        paired=False,
        names=("china", "flower"),
        manifest=manifest("photos"),
    )


def patches(photo: str, color: Literal["grey", "rgb"]) -> Tensor:
    """Cut a photograph into (N, C, 32, 32), row by row; what is left at the edges is dropped."""
    pixels = decode(read_header(folder() / photo), color)
    channels, height, width = pixels.shape
    rows, columns = height // SIDE, width // SIDE
    whole = pixels[:, : rows * SIDE, : columns * SIDE]
    tiles = whole.reshape(channels, rows, SIDE, columns, SIDE).transpose(1, 3, 0, 2, 4)
    return scaled_bytes(np.ascontiguousarray(tiles.reshape(-1, channels, SIDE, SIDE)))


def manifest(name: str) -> DataManifest:
    """Hash both photographs."""
    files = [folder() / photo for photo in PHOTOS]
    return hash_files(files, folder(), name=name, samples=len(patches(PHOTOS[0], "grey")))


def folder() -> Path:
    """Return where scikit-learn keeps its photographs."""
    import sklearn.datasets

    return Path(sklearn.datasets.__file__).parent / "images"
