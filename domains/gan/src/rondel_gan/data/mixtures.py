"""Mixtures of Gaussians in the plane: problems on which one sees and counts lost modes.

Shapes: points (N, 2), centres (M, 2). All of them are divided by the deviation of a coordinate, so
that the data has deviation 1 as a net likes it; `Points.scale` leads back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rondel import DataManifest
from rondel.data_manifest import hash_arrays

Array = np.ndarray[Any, Any]
COUNT = 100_000
SEED = 0
RING_MODES = 8
RING_RADIUS = 2.0
RING_DEVIATION = 0.02
GRID_SIDE = 5
GRID_SPACING = 2.0
GRID_DEVIATION = 0.05


@dataclass(frozen=True, kw_only=True)
class Points:
    """Points of a mixture of equal, round Gaussians.

    Args:
        name: What people call it.
        values: (N, 2) float32.
        labels: (N,) the mode of each point.
        centres: (M, 2) of the modes.
        deviation: Of each coordinate around its centre.
        scale: What the textbook's coordinates were multiplied by.
        manifest: The hash of the content.
    """

    name: str
    values: Tensor
    labels: Tensor
    centres: Tensor
    deviation: float
    scale: float
    manifest: DataManifest


def draw_ring() -> Points:
    """Draw 8 Gaussians on a circle of radius 2, of deviation 0.02."""
    angles = np.arange(RING_MODES) * (2 * np.pi / RING_MODES)
    centres = RING_RADIUS * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return draw("ring", centres, RING_DEVIATION)


def draw_grid() -> Points:
    """Draw 25 Gaussians from -4 to 4, 2 apart, of deviation 0.05."""
    line = GRID_SPACING * (np.arange(GRID_SIDE) - GRID_SIDE // 2)
    centres = np.stack(np.meshgrid(line, line, indexing="ij"), axis=-1).reshape(-1, 2)
    return draw("grid", centres, GRID_DEVIATION)


def draw(name: str, centres: Array, deviation: float, *, count: int = COUNT) -> Points:
    """Draw the same points every time, as many of each mode, and scale them.

    Args:
        name: Of the mixture.
        centres: (M, 2), their mean in the origin.
        deviation: Of each coordinate around its centre.
        count: Of points.
    """
    labels = np.arange(count) % len(centres)
    noise = np.random.default_rng(SEED).standard_normal((count, 2))
    scale = float(1 / np.sqrt(np.mean(centres**2) + deviation**2))
    values = (scale * (centres[labels] + deviation * noise)).astype(np.float32)
    return Points(
        name=name,
        values=torch.from_numpy(values),
        labels=torch.from_numpy(labels),
        centres=torch.from_numpy((scale * centres).astype(np.float32)),
        deviation=scale * deviation,
        scale=scale,
        manifest=hash_arrays({"values": values, "labels": labels}, name=name),
    )
