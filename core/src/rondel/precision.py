"""Where and in what arithmetic the forward pass runs."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch

from rondel.errors import UsageError

DTYPES = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Precision:
    """The arithmetic of a run.

    Args:
        device: Where the run computes.
        dtype: Of the autocast forward pass; None for full precision.
    """

    device: torch.device
    dtype: torch.dtype | None

    @classmethod
    def of(cls, name: str, device: torch.device) -> Precision:
        """Return the precision of a name; 'auto' is bf16 on hardware that has it."""
        if name != "auto":
            return cls(device, DTYPES[name])
        bf16 = device.type == "cuda" and torch.cuda.is_bf16_supported()
        return cls(device, torch.bfloat16 if bf16 else None)

    def autocast(self) -> AbstractContextManager[Any] | None:
        """Return the context of a forward pass; None where entering one would only cost time."""
        return None if self.dtype is None else torch.autocast(self.device.type, dtype=self.dtype)

    def make_scaler(self) -> torch.amp.GradScaler | None:
        """Return a gradient scaler for fp16, else None."""
        return torch.amp.GradScaler(self.device.type) if self.dtype is torch.float16 else None


def device_name(wanted: str) -> str:
    """Turn 'auto' into the best device there is.

    Raises:
        UsageError: There is no such device here.
    """
    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if wanted.startswith("cuda") and not torch.cuda.is_available():
        raise UsageError(
            f"device {wanted!r} is not there: torch sees no GPU",
            where="run.device",
            hint="Use --device cpu, or install a torch build with CUDA.",
        )
    return wanted
