"""The embedded default set: scikit-learn's digits, 1,797 grey images of 8 x 8 (BSD-3)."""

from __future__ import annotations

import torch

from rondel.data_manifest import hash_arrays
from rondel_gan.data.images import Images

HELD_OUT = 500
HIGHEST = 16


def read_digits() -> Images:
    """Read the digits; no download."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    pixels = torch.tensor(digits.images, dtype=torch.float32)[:, None]
    labels = torch.tensor(digits.target)
    return Images(
        name="digits",
        pixels=pixels / (HIGHEST / 2) - 1,
        labels=labels,
        classes=tuple(str(name) for name in digits.target_names),
        source_range=f"0 to {HIGHEST}",
        manifest=hash_arrays({"images": digits.images, "target": digits.target}, name="digits"),
        held_out=HELD_OUT,
    )
