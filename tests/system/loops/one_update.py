"""The plainest loop: one update, one stream, an evaluation after every pass."""

from __future__ import annotations

from pathlib import Path

import torch
from loops.three_phases import FEATURES, Clouds, jitter
from torch import Tensor, nn

from rondel import Loop, Loss, OptimizerConfig, Run, RunConfig, ScheduleConfig, Stream, UpdateConfig
from rondel.callbacks import Best
from rondel.loop import Watch
from rondel.metric import MeanMetric


class OneUpdate(Loop):
    """Logistic regression with dropout, on samples that are changed at random."""

    watch = Watch("loss", "min")
    update = UpdateConfig(
        optimizer=OptimizerConfig(name="sgd", lr=0.1, momentum=0.9, nesterov=True),
        schedule=ScheduleConfig(name="step", every=7, gamma=0.5),
        ema=0.8,
        micro_batches=2,
    )

    def __init__(self, epochs: int = 3) -> None:
        torch.manual_seed(1)
        self.epochs = epochs
        self.model = nn.Sequential(
            nn.Linear(FEATURES, 8), nn.ReLU(), nn.Dropout(0.4), nn.Linear(8, 2)
        )
        self.samples = Stream(Clouds(26, seed=5, labelled=True), batch_size=4, augment=jitter)
        valid = Clouds(8, seed=6, labelled=True)
        self.valid = Stream((valid.points, valid.labels), batch_size=8, name="valid", shuffle=False)

    def train(self, run: Run) -> None:
        update = run.update("model", self.model, self.update)
        for _ in run.epochs(self.epochs):
            for points, labels in run.batches(self.samples):
                update(self.loss, points, labels)
            run.evaluate(self)

    def loss(self, points: Tensor, labels: Tensor) -> Loss:
        total = nn.functional.cross_entropy(self.model(points), labels, reduction="sum")
        return Loss(total, len(points))

    def evaluate(self, run: Run) -> dict[str, MeanMetric]:
        metric = MeanMetric()
        for points, labels in run.batches(self.valid):
            logits = self.model(points)
            metric.update(nn.functional.cross_entropy(logits, labels, reduction="none"))
        return {"loss": metric}


def main(words: list[str]) -> int:
    """Train a small loop that saves and evaluates often: ``RUN [resume]``."""
    settings = RunConfig(device="cpu", log_every=2, checkpoint_every_steps=3)
    loop = OneUpdate(epochs=2)
    best = Best(loop.watch)
    with Run(Path(words[0]), resume="resume" in words, settings=settings, callbacks=[best]) as run:
        loop.train(run)
    return 0
