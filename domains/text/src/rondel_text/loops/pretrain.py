"""Language modelling: the texts themselves are what is learnt."""

from __future__ import annotations

from rondel import Run
from rondel_text.loops.text_loop import TextLoop


class Pretrain(TextLoop):
    """Learn to tell the next token, or hidden ones, from windows of long texts.

    A model from a folder is trained on (Gururangan et al., 2020), one from scratch begins here.
    """

    def train(self, run: Run) -> None:
        """Train, and evaluate after every epoch."""
        config, stream = self.config, self.material.training
        self.begin(run)
        update = run.update("model", self.model, config.update, total=stream.planned(config.epochs))
        for epoch in run.epochs(config.epochs):
            for windows, *targets in run.batches(stream):
                update(self.loss, windows, *targets)
            if self.is_due(run, epoch, config.epochs):
                run.evaluate(self)
