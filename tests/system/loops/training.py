"""A loop with everything that a resume of several processes has to put back.

python -m loops.training DIRECTORY [resume] [slow] [rows] [workers]
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rondel import Loop, Loss, OptimizerConfig, Run, RunConfig, Stream, UpdateConfig, Watch
from rondel.callbacks import Best
from rondel.errors import RondelError
from rondel.metric import Accuracy, MeanMetric, Scores


class Classifier(Loop):
    """Dropout draws per process; batch norm has buffers; the average is a second set of weights."""

    watch = Watch("accuracy", "max")

    def __init__(self, *, delay_s: float = 0.0, loaded: bool = False) -> None:
        torch.manual_seed(1)
        self.delay_s = delay_s
        self.model = nn.Sequential(
            nn.Linear(5, 8), nn.BatchNorm1d(8), nn.Dropout(0.4), nn.ReLU(), nn.Linear(8, 2)
        )
        draw = torch.Generator().manual_seed(2)
        inputs = torch.randn(70, 5, generator=draw)
        labels = (inputs[:, 0] + 0.5 * inputs[:, 1] > 0).long()
        train, valid = (inputs[:47], labels[:47]), (inputs[47:], labels[47:])
        rows = list(zip(*train, strict=True)) if loaded else train
        self.train_stream = Stream(rows, batch_size=12)
        self.valid_stream = Stream(valid, batch_size=9, shuffle=False, name="valid")

    def train(self, run: Run) -> None:
        config = UpdateConfig(optimizer=OptimizerConfig(lr=0.01), ema=0.9)
        update = run.update("model", self.model, config)
        for _ in run.epochs(3):
            for inputs, labels in run.batches(self.train_stream):
                update(self.loss, inputs, labels)
                time.sleep(self.delay_s)
            run.evaluate(self)

    def loss(self, inputs: Tensor, labels: Tensor) -> Loss:
        return Loss(F.cross_entropy(self.model(inputs), labels, reduction="sum"), len(labels))

    def evaluate(self, run: Run) -> Mapping[str, Any]:
        accuracy, scores, loss = Accuracy(), Scores(), MeanMetric()
        for inputs, labels in run.batches(self.valid_stream):
            logits = self.model(inputs)
            accuracy.update(logits, labels)
            scores.update(logits[:, 1] - logits[:, 0], labels)
            loss.update(F.cross_entropy(logits, labels, reduction="none"))
        return {"accuracy": accuracy, "auc": scores, "loss": loss}


def train(directory: Path, *words: str, stop_at: int | None = None) -> None:
    """Train in a directory; ``words`` are those of the command line."""
    loaded = "rows" in words or "workers" in words
    loop = Classifier(delay_s=0.25 if "slow" in words else 0.0, loaded=loaded)
    settings = RunConfig(seed=4, device="cpu", log_every=3, workers=int("workers" in words))
    resume, best = "resume" in words, Best(loop.watch)
    with Run(directory, settings=settings, resume=resume, callbacks=[best], stop_at=stop_at) as run:
        loop.train(run)
        if run.processes.writes:
            print(f"finished with {run.processes.size} at step {run.step}", flush=True)


def main() -> int:
    try:
        train(Path(sys.argv[1]), *sys.argv[2:])
    except RondelError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
