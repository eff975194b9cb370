"""Multi-scale training: a batch at another size, on the device it is on."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from rondel_detection.data.batch import Targets


def rescale(images: Tensor, targets: Targets, scale: float, stride: int) -> tuple[Tensor, Targets]:
    """Return a batch whose canvas is ``scale`` times as large.

    Each side of the canvas becomes the nearest multiple of the stride, so that the two factors may
    differ a little where the sides have no common divisor; boxes, sizes, proposals and masks
    follow each its own. Nothing waits for the device. Pixels are antialiased, as the data set
    scales them: on a CPU that takes no longer.

    Args:
        images: (B, 3, H, W) uint8.
        targets: What is on them.
        scale: Factor; at 1 the inputs themselves are returned.
        stride: Of the detector.
    """
    height, width = images.shape[-2:]
    size = tuple(max(1, round(side * scale / stride)) * stride for side in (height, width))
    if scale == 1.0 or size == (height, width):
        return images, targets
    new, old = pair(size[1], size[0], images.device), pair(width, height, images.device)
    proposals, masks = targets.proposals, targets.masks
    return interpolated(images, size), targets._replace(
        boxes=moved(targets.boxes, new, old),
        sizes=targets.sizes * new.flip(0) / old.flip(0),
        proposals=None if proposals is None else moved(proposals, new, old),
        masks=None if masks is None else nearest(masks, size),
    )


def pair(x: int, y: int, device: torch.device) -> Tensor:
    """Return two numbers, (2,) float32, filled in on the device: there is no copy to wait for."""
    made = torch.full((2,), float(x), device=device)
    made[1] = float(y)
    return made


def moved(boxes: Tensor, new: Tensor, old: Tensor) -> Tensor:
    """Return boxes, (B, K, 4), of a canvas ``old`` on a canvas ``new``, both (2,) x and y.

    Multiplied first, so that an edge of the old canvas comes exactly to that of the new one.
    """
    points = boxes.reshape(*boxes.shape[:-1], 2, 2)
    return (points * new / old).flatten(-2)


def interpolated(images: Tensor, size: tuple[int, ...]) -> Tensor:
    """Scale pictures, (B, 3, H, W) uint8, bilinearly, to uint8."""
    if images.device.type == "cpu":
        return F.interpolate(images, size=size, mode="bilinear", antialias=True)
    # accelerators have no kernel for 8 bits
    values = images.to(torch.float32)
    made = F.interpolate(values, size=size, mode="bilinear", antialias=True)
    return made.round_().clamp_(0, 255).to(torch.uint8)


def nearest(masks: Tensor, size: tuple[int, ...]) -> Tensor:
    """Scale masks, (B, M, H, W) bool."""
    return F.interpolate(masks.to(torch.uint8), size=size, mode="nearest-exact").to(torch.bool)
