"""A loop with everything that a resume can lose: phases, two streams, two updates, chance."""

from __future__ import annotations

import random
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from rondel import Loop, Loss, OptimizerConfig, Run, RunConfig, ScheduleConfig, Stream, UpdateConfig
from rondel.callbacks import Best, EarlyStopping
from rondel.loop import Watch
from rondel.metric import MeanMetric

FEATURES, CODES = 5, 4


class Clouds(Dataset[Any]):
    """A map-style data set of points, with or without labels."""

    def __init__(self, size: int, *, seed: int, labelled: bool) -> None:
        draw = torch.Generator().manual_seed(seed)
        self.points = torch.randn(size, FEATURES, generator=draw)
        self.labels = (self.points[:, 0] > 0).long()
        self.labelled = labelled

    def __len__(self) -> int:
        return len(self.points)

    def __getitem__(self, index: int) -> Any:
        return (self.points[index], self.labels[index]) if self.labelled else self.points[index]


def jitter(sample: Any) -> Any:
    """Shift a sample by the generators of Python, NumPy and torch."""
    point = sample[0] if isinstance(sample, tuple) else sample
    shift = 0.05 * random.gauss(0, 1) + 0.05 * float(np.random.randn())
    moved = point + shift + 0.05 * torch.randn(FEATURES)
    return (moved, sample[1]) if isinstance(sample, tuple) else moved


@dataclass(frozen=True)
class Phase:
    """A phase: what is trained, how long, and how fast."""

    name: str
    epochs: int
    lr: float


PHASES = (Phase("reconstruct", 2, 3e-2), Phase("both", 2, 2e-2), Phase("tune", 9, 1e-2))


@dataclass
class Patience:
    """Counts evaluations without progress."""

    best: float = float("inf")
    waited: int = 0
    history: list[float] = field(default_factory=list)

    def take(self, value: float) -> int:
        self.history.append(value)
        self.waited = 0 if value < self.best - 0.02 else self.waited + 1
        self.best = min(self.best, value)
        return self.waited

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "waited": self.waited, "history": list(self.history)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.best, self.waited = state["best"], state["waited"]
        self.history = list(state["history"])


def config(phase: Phase, **settings: Any) -> UpdateConfig:
    """Return an update with schedule, clipping and average."""
    return UpdateConfig(
        optimizer=OptimizerConfig(name="adamw", lr=phase.lr, weight_decay=0.01),
        schedule=ScheduleConfig(name="one_cycle"),
        clip_norm=1.0,
        **{"ema": 0.9, **settings},
    )


class ThreePhases(Loop):
    """Learn to reconstruct, then to reconstruct and tell apart, then to tell apart alone."""

    watch = Watch("loss", "min")
    phases = PHASES

    def __init__(self) -> None:
        torch.manual_seed(3)
        self.encoder = nn.Sequential(
            nn.Linear(FEATURES, CODES), nn.BatchNorm1d(CODES), nn.ReLU(), nn.Dropout(0.3)
        )
        self.decoder = nn.Linear(CODES, FEATURES)
        self.head = nn.Linear(CODES, 2)
        self.labelled = Stream(
            Clouds(14, seed=1, labelled=True), batch_size=4, name="labelled", augment=jitter
        )
        self.unlabelled = Stream(
            Clouds(10, seed=2, labelled=False),
            batch_size=4,
            name="unlabelled",
            augment=jitter,
            noise=lambda size, draw: torch.randn(size, CODES, generator=draw),
        )
        valid = Clouds(12, seed=4, labelled=True)
        self.valid = Stream((valid.points, valid.labels), batch_size=5, name="valid", shuffle=False)
        self.offset = torch.zeros(FEATURES)

    def train(self, run: Run) -> None:
        for name in ("encoder", "decoder", "head"):
            run.track(name, getattr(self, name))
        patience = Patience()
        run.track("patience", patience)
        self.offset = run.once(lambda: 0.1 * torch.randn(FEATURES))
        for phase in run.phases(self.phases):
            getattr(self, f"train_{phase.name}")(run, phase, patience)

    def train_reconstruct(self, run: Run, phase: Phase, patience: Patience) -> None:
        autoencoder = run.update(
            "autoencoder", [self.encoder, self.decoder], config(phase), total=6
        )
        for _ in run.epochs(phase.epochs):
            for points, noise in run.batches(self.unlabelled):
                autoencoder(self.reconstruction, points, noise)
            run.evaluate(self)

    def train_both(self, run: Run, phase: Phase, patience: Patience) -> None:
        decoder = run.update("decoder", self.decoder, config(phase, ema=None), total=6)
        classifier = run.update("classifier", [self.encoder, self.head], config(phase), total=6)
        for _ in run.epochs(phase.epochs):
            for (points, labels), (free, noise) in run.batches(self.labelled, self.unlabelled):
                if run.every(2):
                    with classifier.gather():
                        classifier(self.classification, points, labels)
                        classifier(self.reconstruction, free, noise)
                else:
                    run.joint(decoder, classifier)(self.together, points, labels)
                run.log(spread=float(torch.rand(())))
            run.evaluate(self)

    def train_tune(self, run: Run, phase: Phase, patience: Patience) -> None:
        head = run.update("tune", self.head.parameters(), config(phase, micro_batches=2), total=9)
        for _ in run.epochs(phase.epochs):
            for points, labels in run.batches(self.labelled):
                head(self.classification, points, labels)
                if run.every(3):
                    break
            if patience.take(run.evaluate(self)["loss"]) >= 2:
                run.stop("the loss stands still")

    def reconstruction(self, points: Tensor, noise: Tensor) -> Loss:
        """Return the squared error of noisy codes; points (N, F), noise (N, C)."""
        error = self.decoder(self.encoder(points) + 0.1 * noise) - points - self.offset
        return Loss(error.square().sum(), len(points))

    def classification(self, points: Tensor, labels: Tensor) -> Loss:
        """Return the cross entropy."""
        logits = self.head(self.encoder(points))
        total = nn.functional.cross_entropy(logits, labels, reduction="sum")
        return Loss(total, len(points), parts={"entropy": total.detach()})

    def together(self, points: Tensor, labels: Tensor) -> tuple[Loss, Loss]:
        """Return a loss for the decoder and one for the classifier, of one graph."""
        codes = self.encoder(points)
        error = (self.decoder(codes) - points).square().sum()
        entropy = nn.functional.cross_entropy(self.head(codes), labels, reduction="sum")
        return Loss(error, len(points)), Loss(entropy + error, len(points))

    def evaluate(self, run: Run) -> dict[str, Any]:
        loss = MeanMetric()
        for points, labels in run.batches(self.valid):
            logits = self.head(self.encoder(points))
            loss.update(nn.functional.cross_entropy(logits, labels, reduction="none"))
        return {"loss": loss}


def main(arguments: list[str]) -> int:
    """Train as a program: ``three_phases.py RUN [resume] [workers=N] [every=N]``."""
    place, *words = arguments
    options = dict(word.split("=") for word in words if "=" in word)
    settings = RunConfig(
        device="cpu",
        seed=5,
        log_every=3,
        workers=int(options.get("workers", "0")),
        checkpoint_every_steps=int(options.get("every", "1")),
    )
    loop = ThreePhases()
    callbacks = [Best(loop.watch), EarlyStopping(loop.watch, 30)]
    resume = "resume" in words
    with Run(Path(place), resume=resume, settings=settings, callbacks=callbacks) as run:
        loop.train(run)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
