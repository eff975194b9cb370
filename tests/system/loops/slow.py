"""A loop whose steps and evaluations take as long as a file says, to be caught in the middle."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

from loops.one_update import OneUpdate
from torch import Tensor

from rondel import Loss, Run, RunConfig
from rondel.callbacks import Best
from rondel.metric import MeanMetric


class Slow(OneUpdate):
    """Tells by files in ``signs`` what it is doing, and waits where a file says so."""

    def __init__(self, signs: Path) -> None:
        super().__init__(epochs=2)
        self.signs = signs
        self.calls: Counter[str] = Counter()

    def loss(self, points: Tensor, labels: Tensor) -> Loss:
        self.pause("updating")
        return super().loss(points, labels)

    def evaluate(self, run: Run) -> dict[str, MeanMetric]:
        self.pause("evaluating")
        return super().evaluate(run)

    def pause(self, name: str) -> None:
        """Wait as long as the sign says at the call it says, in pieces, as real work would."""
        wish = self.signs / f"wait-{name}"
        self.calls[name] += 1
        if not wish.exists():
            return
        call, seconds = map(float, wish.read_text().split())
        if self.calls[name] < call:
            return
        wish.unlink()
        (self.signs / name).touch()
        limit = time.monotonic() + seconds
        while time.monotonic() < limit:
            time.sleep(0.01)


def main(words: list[str]) -> int:
    """Train: ``RUN SIGNS [resume]``; exit as the command line does."""
    from rondel.errors import RondelError

    settings = RunConfig(device="cpu", log_every=2, checkpoint_every_steps=3)
    loop = Slow(Path(words[1]))
    best = Best(loop.watch)
    try:
        with Run(
            Path(words[0]), resume="resume" in words, settings=settings, callbacks=[best]
        ) as run:
            loop.train(run)
    except RondelError as error:
        print(error)
        return error.exit_code
    return 0
