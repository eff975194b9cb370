"""What the loops of this package share: the loss, the evaluation, the report, the bundle.

Shapes: N rows, k members, P numbers, K categories, T targets, O outputs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from rondel import Baseline, DataManifest, Loop, Loss, Run, Section, Stream, Watch
from rondel.batcher import Batcher, FixedSize
from rondel_tabular.bundle import TabularBundle
from rondel_tabular.calibration import calibrated
from rondel_tabular.config import TabularConfig
from rondel_tabular.data.batches import Repeated
from rondel_tabular.data.dataset import Dataset
from rondel_tabular.losses import all_together, row_losses, say, scales_of
from rondel_tabular.metrics import TableMetrics, mode_of
from rondel_tabular.report.evidence import Evidence
from rondel_tabular.report.explanation import explain
from rondel_tabular.streaming.stored import InWindows

LEAST_UPDATES = 32
"""Of an epoch, unless the batch size is set: a small table is gone over several times."""


class TableLoop(Loop):
    """A loop that trains a network on a table; subclasses say when what is trained.

    Args:
        model: Takes numbers (N, P) and levels (N, K), returns (N, k, O).
        dataset: Encoded training and validation rows, with their schema and targets.
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
        self.data, self.baseline = data, baseline
        self.watch = Watch(config.watch, mode_of(config.watch))
        self.scales = scales_of(dataset, config)
        rows = len(dataset.stored[0]) if dataset.stored else dataset.train.rows
        self.batch_size = config.batch_size or rows_per_update(rows)
        updates = math.ceil(rows / self.batch_size)
        self.times = 1 if config.batch_size else math.ceil(LEAST_UPDATES / updates)
        self.training = self.stream(FixedSize(self.batch_size))
        valid = dataset.stored[1] if dataset.stored else dataset.valid
        self.validation = Stream(valid, batch_size=4096, shuffle=False, name="valid")

    def stream(self, batcher: Batcher) -> Stream:
        """Return batches of the training rows."""
        hides = self.dataset.schema.levels and self.config.unknown_rate
        noise = self.hidden_levels if hides else None
        if self.dataset.stored is None:
            repeated = Repeated(batcher, self.times)
            return Stream(self.dataset.train, batcher=repeated, noise=noise)
        rows = self.dataset.stored[0]
        near = InWindows.of(batcher, rows, self.batch_size)
        return Stream(rows, batcher=near, noise=noise)

    def hidden_levels(self, size: int, generator: torch.Generator) -> Tensor:  # (size, K)
        """Draw which categories of a batch are hidden, so that 'unknown' is trained."""
        drawn = torch.rand(size, len(self.dataset.schema.levels), generator=generator)
        return drawn < self.config.unknown_rate

    def loss(
        self,
        numbers: Tensor,  # (N, P), or (N, k, P) where each member has rows of its own; so all
        levels: Tensor,  # (N, K)
        values: Tensor,  # (N, T)
        weights: Tensor,  # (N,)
        hidden: Tensor | None = None,  # (N, K) True where a category is to be unknown
    ) -> Loss:
        """Return the mean over members of the loss of each, never the loss of their mean."""
        if hidden is not None:
            hidden = hidden if levels.ndim == hidden.ndim else hidden.unsqueeze(1)
            levels = levels.masked_fill(hidden, 0)
        outputs = self.model(numbers, levels)
        if values.ndim == 2:
            values, weights = values.unsqueeze(1), weights.unsqueeze(1)
        each = row_losses(
            self.dataset.targets,
            outputs,
            values.expand(-1, outputs.shape[1], -1),
            scales=self.scales,
            smoothing=self.config.smoothing,
        )
        sums = [(losses * weights).mean(1).sum() for losses in each]
        if len(sums) == 1:
            return Loss(sums[0], len(numbers))
        names = [target.name for target in self.dataset.targets]
        parts = dict(zip(names, sums, strict=True))
        return Loss(torch.stack(sums).sum(), len(numbers), parts=parts)

    def evaluate(self, run: Run) -> Mapping[str, Any]:
        """Measure what the members say together of the validation rows."""
        metrics = TableMetrics(self.dataset.targets, self.scales)
        for numbers, levels, values, weights in run.batches(self.validation):
            said = all_together(self.dataset.targets, self.model(numbers, levels))
            metrics.update(said, values, weights)
        return metrics.by_name

    def said(self) -> list[Tensor]:  # (N, O) each
        """Return what is said of each validation row by target: temperature and report rest on it."""
        valid = self.dataset.valid
        return say(self.dataset.targets, self.model, valid.numbers, valid.levels)

    def calibrated(self) -> Dataset:
        """Return the rows with their schema, and targets that have their temperature."""
        if not self.config.calibrate:
            return self.dataset
        targets = calibrated(self.dataset.targets, self.said(), self.dataset.valid)
        return replace(self.dataset, targets=targets)

    def sections(self, run: Run) -> Sequence[Section]:
        """Show what the model says, what it looks at and what the table holds."""
        return explain(self.evidence()) if run.processes.writes else ()

    def evidence(self) -> Evidence:
        """Return what a report is made of: the validation rows and what is said of them."""
        assert self.watch is not None
        bundle = self.bundle()
        return Evidence(
            replace(self.dataset, targets=bundle.targets),
            said=self.said(),
            ask=bundle.say,
            scales=self.scales,
            watch=self.watch,
            seed=self.config.run.seed,
        )

    def bundle(self) -> TabularBundle:
        """Return the network with its present weights, the schema and the targets."""
        return TabularBundle.of(self.model, self.calibrated(), self.config, self.data)

    def introduce(self, run: Run) -> None:
        """Say what was made of the table, and what was left out of it."""
        dropped = ", ".join(f"{name} ({why})" for name, why in self.dataset.dropped.items())
        left_out = (f"left out: {dropped}",) if dropped else ()
        again = (f"every epoch goes over the rows {self.times} times",) if self.times > 1 else ()
        for note in (self.dataset.summary(), *left_out, *self.dataset.notes, *again):
            run.say(note)


def rows_per_update(rows: int) -> int:
    """Return the batch size of a table that gives about 128 updates a pass, from 16 to 1024."""
    return int(2 ** min(10, max(4, round(math.log2(rows / 128)))))
