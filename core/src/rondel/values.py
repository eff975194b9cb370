"""Plain values that change during training and belong into checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class Values(dict[str, Any]):
    """A dict that can be tracked: numbers, strings, tensors and containers of them.

    Example:
        >>> values = Values(threshold=0.5)
        >>> values["threshold"] += 0.1  # after run.track("values", values)
    """

    def state_dict(self) -> dict[str, Any]:
        """Return the values."""
        return dict(self)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Put the values back."""
        self.clear()
        self.update(state)
