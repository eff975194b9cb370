"""What torchvision's models need of the canvas: normalised pictures, grids and anchors on them.

All pictures stand on one canvas already, so that nothing is resized here and the anchors are the
same for all images. Letters: B images, N anchors, (H, W) the canvas.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.detection.image_list import ImageList

Grid = tuple[int, int]


class Normalise(nn.Module):
    """Turns uint8 pictures into floats with the mean and deviation that a model expects.

    Args:
        mean: Of each channel, of 1.
        deviation: Of each channel, of 1.
    """

    scale: Tensor  # (3, 1, 1)
    shift: Tensor  # (3, 1, 1)

    def __init__(self, mean: Sequence[float], deviation: Sequence[float]) -> None:
        super().__init__()
        means, deviations = (
            torch.tensor(values, dtype=torch.float64)[:, None, None] for values in (mean, deviation)
        )
        # the state of a detector is that of its torchvision model and nothing else
        self.register_buffer("scale", (1 / (255 * deviations)).float(), persistent=False)
        self.register_buffer("shift", (-means / deviations).float(), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Return (B, 3, H, W) floats of (B, 3, H, W) uint8 pictures, channels last in memory."""
        pixels = images.to(self.scale.dtype, memory_format=torch.channels_last)
        return torch.addcmul(self.shift, pixels, self.scale)


def precise(values: Tensor) -> Tensor:
    """Return values in float32 at least: box arithmetic in half precision is off by pixels."""
    return values if values.dtype == torch.float64 else values.float()


def halved(canvas: Grid, times: int) -> Grid:
    """Return the grid of a feature map after so many layers of stride 2."""
    rows, columns = canvas
    return -(-rows // 2**times), -(-columns // 2**times)


def anchors_on(canvas: Grid, grids: Sequence[Grid], generator: Any, like: Tensor) -> list[Tensor]:
    """Return the anchors of each level, (N, 4) x1 y1 x2 y2 in pixels of the canvas.

    Args:
        canvas: Height and width.
        grids: Rows and columns of each feature map.
        generator: torchvision's ``AnchorGenerator`` or ``DefaultBoxGenerator``.
        like: Its dtype and device are those of the anchors.
    """
    one = like.new_zeros(())
    # generators look at shapes only: views of one number are as good as feature maps
    images = ImageList(one.expand(1, 1, *canvas), [canvas])
    maps = [one.expand(1, 1, *grid) for grid in grids]
    (anchors,) = generator(images, maps)
    per_cell = generator.num_anchors_per_location()
    counts = [rows * columns * k for (rows, columns), k in zip(grids, per_cell, strict=True)]
    return list(anchors.split(counts))
