"""The supervised loop: predict a column of a table from the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from rondel import Baseline, DataManifest, Loop, Loss, Run, Section, Stream, Watch
from rondel_tabular.bundle import TabularBundle
from rondel_tabular.config import TabularConfig
from rondel_tabular.data.dataset import Dataset
from rondel_tabular.inspection import sections_of
from rondel_tabular.losses import row_sum
from rondel_tabular.metrics import LOWER_IS_BETTER, metrics_of


class Supervised(Loop):
    """Fit a network to a target column, one pass over the rows after another.

    Args:
        model: Takes numbers (N, P) and levels (N, K), returns (N, outputs).
        dataset: Encoded training and validation rows, with their schema and target.
        config: Epochs, batch size, the update.
        data: What the rows were read from.
        baseline: What guessing achieves on the validation rows.
    """

    def __init__(
        self,
        model: nn.Module,
        dataset: Dataset,
        config: TabularConfig,
        *,
        data: DataManifest,
        baseline: Baseline,
    ) -> None:
        self.model, self.dataset, self.config = model, dataset, config
        self.task = dataset.target.task
        self.data, self.baseline = data, baseline
        self.watch = Watch(config.watch, "min" if config.watch in LOWER_IS_BETTER else "max")
        hides = dataset.schema.levels and config.unknown_rate
        self.training = Stream(
            dataset.train.tensors,
            batch_size=config.batch_size,
            noise=self.hidden_levels if hides else None,
        )
        self.validation = Stream(
            dataset.valid.tensors, batch_size=4096, shuffle=False, name="valid"
        )

    def train(self, run: Run) -> None:
        """Train, and evaluate after every epoch."""
        planned = self.training.planned(self.config.epochs)
        fit = run.update("model", self.model, self.config.update, total=planned)
        run.once(self.introduce, run)
        for _ in run.epochs(self.config.epochs):
            for batch in run.batches(self.training):
                fit(self.loss, *batch)
            run.evaluate(self)

    def loss(
        self,
        numbers: Tensor,  # (N, P)
        levels: Tensor,  # (N, K)
        targets: Tensor,  # (N,)
        hidden: Tensor | None = None,  # (N, K) True where a category is to be unknown
    ) -> Loss:
        """Return the loss of the network on a batch."""
        if hidden is not None:
            levels = levels.masked_fill(hidden, 0)
        return row_sum(self.task, self.model(numbers, levels), targets)

    def evaluate(self, run: Run) -> Mapping[str, Any]:
        """Measure the network on the validation rows."""
        metrics = metrics_of(self.dataset.target)
        for numbers, levels, targets in run.batches(self.validation):
            metrics.update(self.model(numbers, levels), targets)
        return metrics.by_name

    def sections(self, run: Run) -> Sequence[Section]:  # noqa: ARG002 - the table says it all
        """Describe columns and target in the report."""
        return sections_of(self.dataset)

    def bundle(self) -> TabularBundle:
        """Return the network with its present weights, the schema and the target."""
        return TabularBundle.of(self.model, self.dataset, self.config, self.data)

    def introduce(self, run: Run) -> None:
        """Say what was made of the table, and what was left out of it."""
        dropped = ", ".join(f"{name} ({why})" for name, why in self.dataset.dropped.items())
        left_out = (f"left out: {dropped}",) if dropped else ()
        for note in (self.dataset.summary(), *left_out, *self.dataset.notes):
            run.say(note)

    def hidden_levels(self, size: int, generator: torch.Generator) -> Tensor:
        """Draw which categories of a batch are hidden, so that 'unknown' is trained."""
        drawn = torch.rand(size, len(self.dataset.schema.levels), generator=generator)
        return drawn < self.config.unknown_rate
