"""The usual supervised training: all of the model, batch after batch."""

from __future__ import annotations

from rondel import Run
from rondel_text.loops.text_loop import TextLoop


class Finetune(TextLoop):
    """Fit a model to labels: of whole texts, of pairs, of words."""

    def train(self, run: Run) -> None:
        """Train, and evaluate after every epoch."""
        config, stream = self.config, self.material.training
        self.begin(run)
        update = run.update("model", self.model, config.update, total=stream.planned(config.epochs))
        for epoch in run.epochs(config.epochs):
            for texts, *targets in run.batches(stream):
                update(self.loss, texts, *targets)
            if self.is_due(run, epoch, config.epochs):
                run.evaluate(self)
