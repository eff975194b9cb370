"""How like translations are to what they should be.

Shapes: images (N, C, H, W) in [-1, 1].
"""

from __future__ import annotations

import torch
from torch import Tensor

SMALLEST_ERROR = 1e-10
"""Mean squared error of an image that counts as perfect, which is 100 dB."""


def likeness(made: Tensor, targets: Tensor) -> dict[str, float]:
    """Return 'l1', the mean distance of values, and 'psnr', the mean over images in dB.

    The signal of the ratio is the range of the values, 2.

    Args:
        made: (N, C, H, W) translations.
        targets: (N, C, H, W) what they should be.
    """
    apart = made - targets
    error = apart.square().flatten(1).mean(dim=1) / 4  # of values between 0 and 1
    psnr = -10 * torch.log10(error.clamp(min=SMALLEST_ERROR)).mean()
    return {"l1": float(apart.abs().mean()), "psnr": float(psnr)}
