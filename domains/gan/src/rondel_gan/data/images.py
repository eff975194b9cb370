"""A set of real images in memory, and its split. Shapes: (N, C, H, W) in [-1, 1]."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from rondel import DataManifest
from rondel.errors import DataError

FEWEST = 20
"""Below this neither a player nor a covariance can be had."""
MOST_BYTES = 4 << 30
"""Images are held in memory as float32."""
OWN_SHARE = 0.2
SPLIT_SEED = 0


@dataclass(frozen=True, kw_only=True)
class Images:
    """Real images with what is known about them.

    Args:
        name: What people call the set; the file or folder.
        pixels: (N, C, H, W) float32 in [-1, 1].
        labels: (N,) indices of classes, if known.
        classes: Their names.
        source_range: The values in the source, for people.
        manifest: The hash of the content.
        held_out: Images that the set itself keeps for evaluation, if it says so.
    """

    name: str
    pixels: Tensor
    labels: Tensor | None = None
    classes: tuple[str, ...] = ()
    source_range: str
    manifest: DataManifest
    held_out: int | None = None


@dataclass(frozen=True, kw_only=True)
class Split:
    """The images to train on, with labels if known, and those kept for evaluation."""

    train: Tensor
    train_labels: Tensor | None
    held_out: Tensor
    held_out_labels: Tensor | None


def split(images: Images, share: float | None) -> Split:
    """Split at random, but always the same way: numbers of different seeds stay comparable.

    Args:
        images: The whole set.
        share: Of the images to hold out; None for what the set says, else a fifth.

    Raises:
        DataError: There are too few images.
    """
    count = len(images.pixels)
    check_count(count, where=images.name)
    kept = round(count * (share if share is not None else OWN_SHARE))
    if share is None and images.held_out is not None:
        kept = images.held_out
    kept = min(max(kept, 2), count - 2)  # a covariance needs two
    order = torch.randperm(count, generator=torch.Generator().manual_seed(SPLIT_SEED))
    train, held_out = order[:-kept], order[-kept:]
    labels = images.labels
    return Split(
        train=images.pixels[train],
        train_labels=None if labels is None else labels[train],
        held_out=images.pixels[held_out],
        held_out_labels=None if labels is None else labels[held_out],
    )


def check_count(count: int, *, where: str) -> None:
    """Refuse too few images.

    Raises:
        DataError: There are fewer than `FEWEST`.
    """
    if count < FEWEST:
        found = "no images" if count == 0 else "one image" if count == 1 else f"{count} images"
        raise DataError(
            f"holds {found}, but at least {FEWEST} are needed",
            where=where,
            hint="Check that it is the right place, or add images.",
        )


def check_memory(count: int, height: int, width: int, channels: int, *, where: str) -> None:
    """Refuse what does not fit into memory, before anything is decoded.

    Raises:
        DataError: The images need more than `MOST_BYTES` as float32.
    """
    needed = 4 * count * height * width * channels
    if needed > MOST_BYTES:
        raise DataError(
            f"{count} images of {height} x {width} need {needed / 2**30:.1f} GiB in memory, "
            f"more than {MOST_BYTES / 2**30:.0f} GiB",
            where=where,
            hint="Give fewer or smaller images.",
        )
