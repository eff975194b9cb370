"""The ensemble loop: k members in one network, each on rows of its own."""

from __future__ import annotations

from functools import cached_property

from rondel import Run, Stream
from rondel_tabular.data.batches import OwnRows
from rondel_tabular.loops.table_loop import TableLoop


class Ensemble(TableLoop):
    """Fit all members of a network at once (Gorishniy et al., 2025: TabM).

    Each member goes through the rows in an order of its own; the loss is the mean of the members'
    losses. What is evaluated, and decides when to stop, is what they say together.
    """

    def train(self, run: Run) -> None:
        """Train, and evaluate after every epoch."""
        planned = self.own_batches.planned(self.config.epochs)
        fit = run.update("model", self.model, self.config.update, total=planned)
        run.once(self.introduce, run)
        for _ in run.epochs(self.config.epochs):
            for batch in run.batches(self.own_batches):
                fit(self.loss, *batch)
            run.evaluate(self)

    @cached_property
    def own_batches(self) -> Stream:
        """The training rows, in an order of its own for each member."""
        return self.stream(OwnRows(self.config.members, self.batch_size))
