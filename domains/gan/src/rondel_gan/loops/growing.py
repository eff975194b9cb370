"""Progressive growing: the same game in stages, from a few pixels to the whole size."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch.nn.functional as F
from torch import Tensor

from rondel import Run, Stream
from rondel_gan.config import GanConfig
from rondel_gan.ledger import Ledger
from rondel_gan.loops.adversarial import Adversarial
from rondel_gan.loops.game import Game, Rows
from rondel_gan.metrics import Quality
from rondel_gan.models.growing import GrowingCritic, GrowingGenerator
from rondel_gan.scene import DISCRIMINATOR, GENERATOR


class Growing(Adversarial):
    """Grow both players, block by block (Karras et al., 2018, section 2).

    Every stage is a phase with optimizers of its own. A new block fades in over the first part of
    its stage.

    Args:
        generator: With stages.
        discriminator: With the same stages.
        data: 'real', (N, C, H, W) images of the whole size, and 'labels'.
    """

    generator: GrowingGenerator
    discriminator: GrowingCritic

    def __init__(
        self,
        config: GanConfig,
        *,
        generator: GrowingGenerator,
        discriminator: GrowingCritic,
        data: Rows,
        quality: Quality,
    ) -> None:
        self.whole = data
        super().__init__(
            config, generator=generator, discriminator=discriminator, data=data, quality=quality
        )

    def train(self, run: Run) -> None:
        """Play a game for each size."""
        run.track(GENERATOR, self.generator)
        run.track(DISCRIMINATOR, self.discriminator)
        self.track(run)
        last = self.generator.stages - 1
        for stage in run.phases([f"{self.size(stage)} px" for stage in range(last + 1)]):
            self.grow(int(stage.split()[0]))
            super().train(run)

    def enter(self, run: Run) -> None:
        """Give every player an update for a stage; what outlives the stage is registered before."""
        Game.enter(self, run)

    def size(self, stage: int) -> int:
        """Return the height of the images of a stage, in pixels."""
        return int(self.whole["real"].shape[2]) >> (self.generator.stages - 1 - stage)

    def grow(self, height: int) -> None:
        """Take images of this height, and the nets that go with them."""
        times = self.whole["real"].shape[2] // height
        stage = next(s for s in range(self.generator.stages) if self.size(s) == height)
        self.generator.stage = self.discriminator.stage = stage
        self.real = F.avg_pool2d(self.whole["real"], times)
        rows = {**self.whole, "real": self.real}
        self.stream = Stream(
            rows, batch_size=self.config.batch_size, name=f"train-{height}", noise=self.draw
        )
        self.ledger = Ledger(str(self.plan))
        last = stage == self.generator.stages - 1
        self.epochs = self.config.epochs if last else self.config.growing.epochs

    def batches(self, run: Run) -> Iterator[tuple[Rows, Mapping[str, Rows]]]:
        """Iterate over the batches of a pass, while the new block fades in."""
        for batch in super().batches(run):
            self.fade(run)
            yield batch

    def fade(self, run: Run) -> None:
        """Give the new block the share that it has after the images seen in this stage."""
        fade = self.config.growing.fade
        whole = not fade or not self.generator.stage
        alpha = 1.0 if whole else min(1.0, self.seen(run) / fade)
        self.generator.alpha = self.discriminator.alpha = alpha

    def evaluation(self, run: Run) -> str:
        """Let a state be the best one only when both players have grown up."""
        self.fade(run)
        grown = self.generator.stage == self.generator.stages - 1 and self.generator.alpha == 1
        return "evaluation" if grown else "growth"

    def evaluate(self, run: Run) -> dict[str, float]:
        """Measure samples, enlarged to the whole size."""
        self.fade(run)
        return super().evaluate(run)

    def samples(self, count: int, *, seed: int) -> Tensor:
        """Return samples of the whole size."""
        made = super().samples(count, seed=seed)
        times = self.whole["real"].shape[2] // made.shape[2]
        return made.repeat_interleave(times, dim=2).repeat_interleave(times, dim=3)

    def signs(self, made: Tensor, values: Mapping[str, float]) -> dict[str, float]:
        """Return what the alarm looks at, of samples of the present size."""
        return super().signs(F.avg_pool2d(made, made.shape[2] // self.real.shape[2]), values)
