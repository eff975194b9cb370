"""What a report is made of: validation rows, and what is said of them.

Shapes: N rows, O outputs of a target, T targets.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from rondel import Watch, keyed
from rondel_tabular.data.dataset import Dataset
from rondel_tabular.data.part import Part
from rondel_tabular.data.target import Target
from rondel_tabular.losses import ROW_LOSSES
from rondel_tabular.metrics import measure

Ask = Callable[[Tensor, Tensor], list[Tensor]]
"""What a model says of rows: takes numbers (N, P) and levels (N, K), returns (N, O) by target."""
MOST_ROWS = 100_000
"""Of a larger validation part, so many rows are drawn."""


@dataclass(frozen=True)
class Evidence:
    """A trained model and the rows that it is judged by.

    Args:
        dataset: The rows, with targets that have their temperature.
        said: What is said of each validation row, by target, (N, O) each.
        ask: What the model says of any rows.
        scales: What the loss of each target is multiplied by.
        watch: The metric that decided which state is the best.
        seed: Of whatever is drawn.
    """

    dataset: Dataset
    said: Sequence[Tensor]
    ask: Ask
    scales: Sequence[float]
    watch: Watch
    seed: int

    def rows(self, most: int = MOST_ROWS) -> Tensor:
        """Return the places of all validation rows, or of as many drawn ones, ascending."""
        count = self.dataset.valid.rows
        if count <= most:
            return torch.arange(count)
        drawn = keyed.generator(self.seed, "tabular", "report")
        return torch.randperm(count, generator=drawn)[:most].sort().values

    def watched(self, said: Sequence[Tensor], part: Part) -> float:
        """Return the watched metric of what is said of rows."""
        plain = [replace(target, temperature=1.0) for target in self.dataset.targets]
        return measure(plain, said, part, self.scales)[self.watch.metric]


@dataclass(frozen=True)
class View:
    """What is said of one target, in the rows that have a value.

    Args:
        target: With its temperature.
        rows: (N,) places among the validation rows.
        outputs: (N, O) before the temperature.
        values: (N,) class indices, or standardised values.
        weights: (N,) how much each row counts.
    """

    target: Target
    rows: Tensor
    outputs: Tensor
    values: Tensor
    weights: Tensor

    @classmethod
    def of(cls, evidence: Evidence, place: int) -> View:
        """Look at one of the targets."""
        valid, rows = evidence.dataset.valid, evidence.rows()
        rows = rows[~valid.values[rows, place].isnan()]
        return cls(
            evidence.dataset.targets[place],
            rows,
            evidence.said[place][rows].double(),
            valid.values[rows, place],
            valid.weights[rows].double(),
        )

    @property
    def classes(self) -> Tensor:  # (N,)
        """The index of each row's class."""
        return self.values.long()

    @property
    def losses(self) -> Tensor:  # (N,)
        """The loss of each row, after the temperature."""
        outputs = self.outputs / self.target.temperature
        return ROW_LOSSES[self.target.head](self.target, outputs, self.values.double())

    @property
    def true(self) -> Tensor:  # (N,)
        """The number of each row, in the unit of the target."""
        return self.target.in_unit(self.values)

    @property
    def point(self) -> Tensor:  # (N,)
        """The number that is said of each row, in the unit of the target."""
        return self.target.in_unit(self.target.point(self.outputs))
