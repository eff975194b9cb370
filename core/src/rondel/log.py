"""A window of the log: values that become one row.

Values are kept, not read: floats on the CPU, detached tensors on a device. The window is part of
the state, so a resumed run writes the row it would have written.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

Value = float | Tensor


class Window:
    """Losses, gradient norms and loss parts since the last row.

    Args:
        length: Updates per row.
    """

    def __init__(self, length: int) -> None:
        self.length = length
        self._series: dict[str, list[Value]] = {}
        self._parts: dict[str, list[tuple[Any, Any]]] = {}

    def add(self, name: str, value: Value) -> None:
        """Keep one value of a series: a number, or a detached tensor that is read later."""
        self._series.setdefault(name, []).append(value)

    def add_parts(self, parts: Mapping[str, tuple[Any, Any]]) -> None:
        """Keep the named parts of one loss as (sum, count)."""
        for name, part in parts.items():
            self._parts.setdefault(name, []).append(part)

    def full(self, name: str) -> bool:
        """Tell whether a series is as long as a row covers."""
        return len(self._series.get(name, ())) >= self.length

    def drain(self) -> dict[str, float]:
        """Return the means of the window, read from the device at once, and start anew."""
        values = {name: mean(series) for name, series in self._series.items()}
        for name, parts in self._parts.items():
            total, count = (sum(map(float, column)) for column in zip(*parts, strict=True))
            values[f"loss.{name}"] = total / (count if count > 0 else 1.0)
        self._series, self._parts = {}, {}
        return values

    def state_dict(self) -> dict[str, Any]:
        """Return everything that the next row will need."""
        return {
            "series": {name: list(values) for name, values in self._series.items()},
            "parts": {name: [list(part) for part in parts] for name, parts in self._parts.items()},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Put an open window back."""
        self._series = {name: list(values) for name, values in state["series"].items()}
        self._parts = {
            name: [(total, count) for total, count in parts]
            for name, parts in state["parts"].items()
        }


def mean(values: list[Value]) -> float:
    """Average numbers, or tensors with a single read from the device."""
    if any(isinstance(value, Tensor) for value in values):
        return float(torch.stack([torch.as_tensor(value) for value in values]).double().mean())
    return sum(float(value) for value in values) / len(values)
