"""A set of real images in memory, and its split. Shapes: (N, C, H, W) in [-1, 1]."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rondel import DataManifest
from rondel.errors import DataError
from rondel_gan.data.mixtures import Points

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
        held_out: How many images the set itself keeps for evaluation, if it says so.
        test_is_last: Those are the last ones; otherwise they are drawn.
    """

    name: str
    pixels: Tensor
    labels: Tensor | None = None
    classes: tuple[str, ...] = ()
    source_range: str
    manifest: DataManifest
    held_out: int | None = None
    test_is_last: bool = False


@dataclass(frozen=True, kw_only=True)
class Split:
    """The samples to train on, with labels if known, and those kept for evaluation."""

    train: Tensor
    train_labels: Tensor | None
    held_out: Tensor
    held_out_labels: Tensor | None


def split(data: Images | Points, share: float | None) -> Split:
    """Split at random, but always the same way: numbers of different seeds stay comparable.

    Args:
        data: The whole set.
        share: Of the samples to hold out; None for what the set says, else a fifth.

    Raises:
        DataError: There are too few samples.
    """
    if isinstance(data, Points):
        rows, own, last = data.values, None, False
    else:
        rows, own, last = data.pixels, data.held_out, data.test_is_last
    held_out, train = held_out_rows(len(rows), share, own=own, last=last, where=data.name)
    labels = data.labels
    return Split(
        train=rows[train],
        train_labels=None if labels is None else labels[train],
        held_out=rows[held_out],
        held_out_labels=None if labels is None else labels[held_out],
    )


def held_out_rows(
    count: int, share: float | None, *, own: int | None, last: bool, where: str
) -> tuple[Tensor, Tensor]:
    """Return the indices of the rows to hold out, and of the others.

    Args:
        count: Of all rows.
        share: To hold out; None for what the set says, else a fifth.
        own: How many the set says.
        last: Those are its last ones.
        where: The set, for the message.

    Raises:
        DataError: There are too few rows.
    """
    check_count(count, where=where)
    kept = round(count * (share if share is not None else OWN_SHARE))
    if share is None and own is not None:
        kept = own
    kept = min(max(kept, 2), count - 2)  # a covariance needs two
    if share is None and last:
        return torch.arange(count)[-kept:], torch.arange(count)[:-kept]
    order = torch.randperm(count, generator=torch.Generator().manual_seed(SPLIT_SEED))
    return order[-kept:], order[:-kept]


def scaled_bytes(pixels: np.ndarray[Any, Any]) -> Tensor:
    """Return unsigned bytes (N, C, H, W) as float32 in [-1, 1]."""
    return torch.from_numpy(pixels).float() / 127.5 - 1


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
