"""Two phases in one run: what the rows are like, then what is to be predicted.

Shapes: N rows, P numbers, K categories, F columns, W hidden features.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

from torch import Tensor, nn

from rondel import Loss, Run, Stream
from rondel.errors import ConfigError, UsageError
from rondel_tabular.loops.ensemble import Ensemble
from rondel_tabular.models.corruption import Projector, Restorer, Swap, contrast
from rondel_tabular.models.ft_transformer import FTTransformer
from rondel_tabular.models.members import Network


class PretrainThenFinetune(Ensemble):
    """Learn to see through replaced cells of all rows, then the target of those that have one.

    ``denoising`` restores the cells (Vincent et al., 2008); ``scarf`` tells a row from others after
    some of its cells were replaced (Bahri et al., 2022). Rows without a target take part in the
    first phase, which has an optimizer and a schedule of its own; missing cells are not restored.

    Raises:
        ConfigError: ``scarf`` in micro-batches, which see fewer other rows than the batch has.
    """

    model: Network | FTTransformer

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        settings, schema = self.config.pretraining, self.dataset.schema
        if settings.kind == "scarf" and settings.update.micro_batches > 1:
            raise ConfigError(
                "'scarf' compares all rows of a batch, which micro-batches do not hold",
                where="pretraining.update.micro_batches",
                hint="Leave it out, or choose pretraining.kind=denoising.",
            )
        width = self.config.network.width
        denoises = settings.kind == "denoising"
        self.teller: nn.Module = Restorer(schema, width) if denoises else Projector(width)
        self.pool = self.dataset.pool()
        self.swap = Swap(schema, *self.pool, settings.corruption)

    def train(self, run: Run) -> None:
        """Train both phases; evaluate the second."""
        run.track("model", self.model)
        run.once(self.introduce, run)
        for phase in run.phases(("pretraining", "finetuning")):
            if phase == "pretraining":
                self.learn_rows(run)
            else:
                self.learn_target(run)

    def learn_rows(self, run: Run) -> None:
        """The first phase: replaced cells."""
        settings = self.config.pretraining
        run.track("teller", self.teller)
        if settings.kind == "scarf" and run.processes.size > 1:
            raise UsageError(
                "'scarf' compares all rows of a batch, which several processes share",
                where="pretraining.kind",
                hint="Choose pretraining.kind=denoising, or one process.",
            )
        update = run.update(
            "pretraining",
            [*self.hidden_parameters(), *self.teller.parameters()],
            settings.update,
            total=self.rows.planned(settings.epochs),
        )
        for _ in run.epochs(settings.epochs):
            for numbers, levels, (replaced, donors) in run.batches(self.rows):
                update(self.pretraining_loss, numbers, levels, replaced, donors)

    def learn_target(self, run: Run) -> None:
        """The second phase: the target."""
        planned = self.own_batches.planned(self.config.epochs)
        fit = run.update("model", self.model.parameters(), self.config.update, total=planned)
        for _ in run.epochs(self.config.epochs):
            for batch in run.batches(self.own_batches):
                fit(self.loss, *batch)
            run.evaluate(self)

    @cached_property
    def rows(self) -> Stream:
        """All rows that are no validation rows, with or without a target."""
        return Stream(self.pool, batch_size=self.batch_size, name="rows", noise=self.swap.draw)

    def hidden_parameters(self) -> list[nn.Parameter]:
        """The parameters below the heads."""
        heads = {id(parameter) for parameter in self.model.heads.parameters()}
        return [p for p in self.model.parameters() if id(p) not in heads]

    def pretraining_loss(
        self,
        numbers: Tensor,  # (N, P)
        levels: Tensor,  # (N, K)
        replaced: Tensor,  # (N, F) True where a cell is replaced
        donors: Tensor,  # (N, F) rows of the pool
    ) -> Loss:
        """Return how badly the replaced cells are seen through."""
        changed = self.hidden(*self.swap(numbers, levels, replaced, donors))
        if self.config.pretraining.kind == "denoising":
            return Loss(self.teller(changed, numbers, levels).sum(), len(numbers))
        one, other = self.teller(self.hidden(numbers, levels)), self.teller(changed)
        found = contrast(one, other, self.config.pretraining.temperature)
        return Loss(found.sum(), len(numbers))

    def hidden(self, numbers: Tensor, levels: Tensor) -> Tensor:  # (N, W)
        """Return the mean of the members' hidden features."""
        return self.model.hidden(numbers, levels).mean(1)

    def introduce(self, run: Run) -> None:
        """Say what was made of the table, and how many rows the first phase has."""
        super().introduce(run)
        count = len(self.pool[0])
        run.say(
            f"{count} rows pretrain, {count - self.dataset.train.rows} of them without a target."
        )
