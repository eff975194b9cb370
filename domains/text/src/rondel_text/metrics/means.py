"""Means over samples of several scores at once, by name.

Each score is a `MeanMetric` of the core, so its interval and its merging are those of the core.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from rondel.metric import MeanMetric


class Means:
    """The mean of each named score; NaN if nothing was added.

    Args:
        names: Of the scores, in the order in which they are reported.
    """

    def __init__(self, *names: str) -> None:
        self._means = {name: MeanMetric() for name in names}

    def add(self, **values: Tensor) -> None:
        """Add the values of a batch to each score, any shape; nothing is read back."""
        for name, batch in values.items():
            self._means[name].update(batch)

    def add_rows(self, rows: Sequence[Sequence[float]]) -> None:
        """Add samples: the values of all scores, in the order of their names, for each."""
        columns = torch.tensor(rows, dtype=torch.float64).reshape(-1, len(self._means)).unbind(1)
        self.add(**dict(zip(self._means, columns, strict=True)))

    def merge(self, state: Mapping[str, Any]) -> None:
        """Add the state of another process."""
        for name, mean in self._means.items():
            mean.merge(state[name])

    def state_dict(self) -> dict[str, Any]:
        """Return the sums of each score, on the CPU."""
        return {name: mean.state_dict() for name, mean in self._means.items()}

    def compute(self) -> dict[str, float]:
        """Return the mean of each score."""
        return {name: mean.compute() for name, mean in self._means.items()}
