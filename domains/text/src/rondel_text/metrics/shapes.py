"""The error for tensors whose shapes do not belong together."""

from __future__ import annotations

from torch import Tensor

from rondel.errors import UsageError


def misfit(expected: str, **tensors: Tensor) -> UsageError:
    """Return the error that names the shapes which came and those which belong there."""
    shapes = ", ".join(f"{name} {tuple(tensor.shape)}" for name, tensor in tensors.items())
    return UsageError(f"a metric got the shapes {shapes}", hint=f"It takes {expected}.")
