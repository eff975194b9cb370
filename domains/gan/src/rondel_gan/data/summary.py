"""What the data looks like, for ``rondel gan inspect``."""

from __future__ import annotations

import torch
from torch import Tensor

from rondel_gan.config import GanConfig
from rondel_gan.data.images import Images, split
from rondel_gan.data.mixtures import Points
from rondel_gan.data.pairs import Pairs, split_pairs
from rondel_gan.data.reader import EMBEDDED, Data, read_path


def inspect(config: GanConfig) -> str:
    """Describe the data: how much there is, its size and values, its classes, its hash."""
    data = found(config)
    if isinstance(data, Points):
        rows = describe_points(data, config.held_out)
    elif isinstance(data, Pairs):
        rows = describe_pairs(data, config.held_out)
    else:
        rows = describe_images(data, config.held_out)
    rows = {"data": data.name, **rows, "hash": data.manifest.hash[:16]}
    width = max(len(name) for name in rows)
    return "\n".join(f"{name:<{width}}  {text}" for name, text in rows.items())


def found(config: GanConfig) -> Data:
    """Read the data, whether or not the loop works with it.

    Raises:
        DataError: It cannot be used; the message names the file.
    """
    return EMBEDDED[config.dataset]() if config.data is None else read_path(config.data, config)


def describe_images(images: Images, share: float | None) -> dict[str, str]:
    """Describe images of one kind."""
    parts = split(images, share)
    return {
        "images": counted(parts.train, parts.held_out),
        "size": size_of(images.pixels),
        "values": f"{images.source_range}, scaled to -1 to 1; mean {images.pixels.mean():.3f}",
        "classes": describe_classes(images),
    }


def describe_points(points: Points, share: float | None) -> dict[str, str]:
    """Describe points of a mixture."""
    parts = split(points, share)
    deviation = points.values.std(dim=0).mean()
    return {
        "points": counted(parts.train, parts.held_out),
        "modes": f"{len(points.centres)}, of deviation {points.deviation:.4f}",
        "values": f"scaled by {points.scale:.4f}; deviation {deviation:.3f}",
    }


def describe_pairs(pairs: Pairs, share: float | None) -> dict[str, str]:
    """Describe images of two kinds."""
    parts = split_pairs(pairs, share)
    a, b = pairs.names
    return {
        a: f"{counted(parts.train_a, parts.held_out_a)}, {size_of(pairs.a)}",
        b: f"{counted(parts.train_b, parts.held_out_b)}, {size_of(pairs.b)}",
        "partners": "each has one" if pairs.paired else "none",
    }


def counted(train: Tensor, held_out: Tensor) -> str:
    """Say how many samples there are, and what they are for."""
    return f"{len(train) + len(held_out)} ({len(train)} to train on, {len(held_out)} held out)"


def size_of(pixels: Tensor) -> str:
    """Say the size and colour of images."""
    _, channels, height, width = pixels.shape
    return f"{height} x {width}, {'grey' if channels == 1 else 'rgb'}"


def describe_classes(images: Images) -> str:
    """List the classes with their counts, or say that there are none."""
    if images.labels is None:
        return "none (the images have no labels)"
    counts = torch.bincount(images.labels, minlength=len(images.classes)).tolist()
    return ", ".join(f"{name}: {n}" for name, n in zip(images.classes, counts, strict=True))
