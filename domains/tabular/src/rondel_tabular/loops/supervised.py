"""The supervised loop: one network learns a column of a table from the others."""

from __future__ import annotations

from rondel import Run
from rondel_tabular.loops.table_loop import TableLoop


class Supervised(TableLoop):
    """Fit a network to a target column, one pass over the rows after another.

    Members of a network, if it has some, learn from the same rows.
    """

    def train(self, run: Run) -> None:
        """Train, and evaluate after every epoch."""
        planned = self.training.planned(self.config.epochs)
        fit = run.update("model", self.model, self.config.update, total=planned)
        run.once(self.introduce, run)
        for _ in run.epochs(self.config.epochs):
            for batch in run.batches(self.training):
                fit(self.loss, *batch)
            run.evaluate(self)
