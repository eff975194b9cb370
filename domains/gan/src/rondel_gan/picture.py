"""Pixels as PNG: a grid of samples, or one file per image. Pixels are (N, H, W, C) of 8 bits."""

from __future__ import annotations

import io
import math
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

GRID_PIXELS = 640
"""Small images are enlarged by a whole factor, up to about this width of the grid."""
BORDER = 1
PAPER = 128


def grid_png(pixels: Tensor) -> bytes:
    """Draw images side by side, nearly square, enlarged if they are small."""
    count, height, width, channels = pixels.shape
    columns = math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    cell_height, cell_width = height + BORDER, width + BORDER
    shape = (rows * cell_height + BORDER, columns * cell_width + BORDER, channels)
    canvas = np.full(shape, PAPER, np.uint8)
    for number, image in enumerate(pixels.numpy()):
        top = number // columns * cell_height + BORDER
        left = number % columns * cell_width + BORDER
        canvas[top : top + height, left : left + width] = image
    factor = max(1, GRID_PIXELS // shape[1])
    enlarged = canvas.repeat(factor, axis=0).repeat(factor, axis=1)
    buffer = io.BytesIO()
    as_picture(enlarged).save(buffer, format="PNG")
    return buffer.getvalue()


def save_pngs(pixels: Tensor, folder: Path) -> None:
    """Write one file per image: ``00000.png`` and so on."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, image in enumerate(pixels.numpy()):
        as_picture(image).save(folder / f"{number:05d}.png")


def as_picture(pixels: np.ndarray) -> Image.Image:
    """Turn (H, W, C) with one or three channels into a pillow image."""
    return Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
