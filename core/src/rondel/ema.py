"""The moving average of a module: parameters averaged, buffers copied."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


class Average:
    """An exponential moving average of the parameters that an update owns (Polyak, 1992).

    The decay grows with the number of updates, ``min(decay, (1 + n) / (10 + n))``, so that the
    average is not dominated by the initial weights.

    Args:
        parameters: What is averaged, in the order of the update.
        modules: The modules whose buffers are copied.
        decay: Weight of the past.
    """

    def __init__(
        self, parameters: Sequence[nn.Parameter], modules: Sequence[nn.Module], decay: float
    ) -> None:
        self.decay = decay
        self.updates = 0
        self._live: list[Tensor] = list(parameters)
        self._live_buffers = [buffer for module in modules for buffer in module.buffers()]
        self._mean = [p.detach().clone() for p in self._live]
        self._buffers = [buffer.detach().clone() for buffer in self._live_buffers]
        self._depth = 0

    @torch.no_grad()
    def update(self) -> None:
        """Move the average towards the present parameters and copy the buffers."""
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        torch._foreach_lerp_(self._mean, self._live, 1.0 - decay)
        if self._buffers:
            torch._foreach_copy_(self._buffers, self._live_buffers)
        self.updates += 1

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Put the average in place of the parameters, and the parameters back at the end.

        Within such a block the average is in place already: an inner one changes nothing.
        """
        self._depth += 1
        if self._depth == 1:
            self._swap()
        try:
            yield
        finally:
            self._depth -= 1
            if self._depth == 0:
                self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        for live, mean in self._pairs():
            kept = live.clone()
            live.copy_(mean)
            mean.copy_(kept)

    def _pairs(self) -> list[tuple[Tensor, Tensor]]:
        return [
            *zip(self._live, self._mean, strict=True),
            *zip(self._live_buffers, self._buffers, strict=True),
        ]

    def state_dict(self) -> dict[str, Any]:
        """Return the averages and their counter."""
        return {"updates": self.updates, "mean": list(self._mean), "buffers": list(self._buffers)}

    @torch.no_grad()
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Put averages and counter back."""
        self.updates = state["updates"]
        for mean, saved in zip(self._mean, state["mean"], strict=True):
            mean.copy_(saved)
        for buffer, saved in zip(self._buffers, state["buffers"], strict=True):
            buffer.copy_(saved)
