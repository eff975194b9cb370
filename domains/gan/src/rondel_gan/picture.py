"""Pixels as PNG: a grid of samples, points, an animated picture. Pixels (N, H, W, C) of 8 bits."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from rondel.report.figure import FONT_SIZE_PX, INK_2, SERIES, add_axes, new_figure, to_png
from rondel_gan.sampling import rendered, to_pixels

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SCATTER, MARGIN = 480, 40
"""Side of a picture of points, and of the room around it, in pixels of the report's page."""
POINTS = 5000
"""Points that are drawn of each kind."""
ROOM = 1.2
"""Of the plane that is drawn, in distances of the farthest real point."""
GRID_PIXELS = 640
"""Small images are enlarged by a whole factor, up to about this width of the grid."""
BORDER = 1
PAPER = 128
LAST = 5
"""How many times as long as the others the last frame of a film that rests is shown."""
Animation = Literal["PNG", "GIF", "WEBP"]


def grid_png(pixels: Tensor, *, columns: int | None = None) -> bytes:
    """Draw images side by side, nearly square by default, enlarged if they are small."""
    buffer = io.BytesIO()
    grid(pixels, columns=columns).save(buffer, format="PNG")
    return buffer.getvalue()


def grid(pixels: Tensor, *, columns: int | None = None) -> Image.Image:
    """Lay images side by side, as `grid_png` does."""
    count, height, width, channels = pixels.shape
    columns = columns or math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    cell_height, cell_width = height + BORDER, width + BORDER
    shape = (rows * cell_height + BORDER, columns * cell_width + BORDER, channels)
    canvas = np.full(shape, PAPER, np.uint8)
    for number, image in enumerate(pixels.numpy()):
        top = number // columns * cell_height + BORDER
        left = number % columns * cell_width + BORDER
        canvas[top : top + height, left : left + width] = image
    factor = max(1, GRID_PIXELS // shape[1])
    return as_picture(canvas.repeat(factor, axis=0).repeat(factor, axis=1))


def picture_of(samples: Tensor, *, real: Tensor) -> bytes:
    """Draw samples, a PNG: images (N, C, H, W) as a grid, points (N, 2) among real ones."""
    return grid_png(rendered(samples)) if samples.ndim == 4 else points_png(samples, real)


def rows_png(rows: Sequence[Tensor]) -> bytes:
    """Draw rows of (N, C, H, W) images below each other, grey ones beside colours, a PNG."""
    columns = len(rows[0])
    channels = max(row.shape[1] for row in rows)
    alike = [row.expand(-1, channels, -1, -1) for row in rows]
    return grid_png(to_pixels(torch.cat(alike)), columns=columns)


def points_png(points: Tensor, real: Tensor | None = None) -> bytes:
    """Draw (N, 2) points, over real ones if there are any; those say how large the plane is."""
    figure = new_figure(SCATTER, SCATTER)
    side = SCATTER - 2 * MARGIN
    axes = add_axes(figure, MARGIN, MARGIN, side, side)
    if real is not None:
        x, y = real[:POINTS].T.numpy()
        axes.scatter(x, y, s=14, color=SERIES[1], alpha=0.35, linewidths=0, label="real")
    x, y = points[:POINTS].T.numpy()
    axes.scatter(x, y, s=5, color=SERIES[0], alpha=0.6, linewidths=0, label="made")
    reach = ROOM * float((points if real is None else real).abs().max())
    axes.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
    if real is not None:
        add_legend_above(axes, marker=2.5)
    return to_png(figure)


def add_legend_above(axes: Axes, *, marker: float = 1.0) -> None:
    """Name the lines and colours of a plot on its right above, so that it stays narrow."""
    axes.legend(
        loc="lower right", bbox_to_anchor=(1, 1), ncols=2, frameon=False, labelcolor=INK_2,
        fontsize=FONT_SIZE_PX, handlelength=1.2, handletextpad=0.5, columnspacing=1.2,
        borderaxespad=0.3, markerscale=marker,
    )  # fmt: skip


def animation(
    frames: Sequence[Image.Image], *, kind: Animation, frame_ms: int, rests: bool = False
) -> bytes:
    """Return pictures of one size as one that moves, for ever.

    Args:
        frames: At least one.
        kind: An animated PNG is a PNG file; programs that know no animation show the last frame.
        frame_ms: How long each is shown.
        rests: The last one is shown longer.
    """
    durations = [frame_ms] * (len(frames) - 1) + [(LAST if rests else 1) * frame_ms]
    still = [frames[-1]] if kind == "PNG" else []
    first, *others = [*still, *frames]
    buffer = io.BytesIO()
    first.save(
        buffer,
        format=kind,
        save_all=True,
        append_images=others,
        duration=durations,
        loop=0,
        **({"default_image": True} if still else {}),
    )
    return buffer.getvalue()


def as_picture(pixels: np.ndarray) -> Image.Image:
    """Turn (H, W, C) with one or three channels into a pillow image."""
    return Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
