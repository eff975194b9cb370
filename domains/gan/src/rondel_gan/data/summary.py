"""What the data looks like, for ``rondel gan inspect``."""

from __future__ import annotations

import torch

from rondel_gan.config import GanConfig
from rondel_gan.data.images import Images, split
from rondel_gan.data.reader import read_images


def inspect(config: GanConfig) -> str:
    """Describe the images: how many, their size and values, their classes, their hash."""
    images = read_images(config)
    parts = split(images, config.held_out)
    count, channels, height, width = images.pixels.shape
    color = "grey" if channels == 1 else "rgb"
    rows = {
        "data": images.name,
        "images": f"{count} ({len(parts.train)} to train on, {len(parts.held_out)} held out)",
        "size": f"{height} x {width}, {color}",
        "values": f"{images.source_range}, scaled to -1 to 1; mean {images.pixels.mean():.3f}",
        "classes": describe_classes(images),
        "hash": images.manifest.hash[:16],
    }
    return "\n".join(f"{name:<8} {text}" for name, text in rows.items())


def describe_classes(images: Images) -> str:
    """List the classes with their counts, or say that there are none."""
    if images.labels is None:
        return "none (the images have no labels)"
    counts = torch.bincount(images.labels, minlength=len(images.classes)).tolist()
    return ", ".join(f"{name}: {n}" for name, n in zip(images.classes, counts, strict=True))
