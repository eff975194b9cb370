"""A loop of two players with a penalty, their own averages, and keyed noise."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from loops.three_phases import FEATURES, Clouds, jitter
from torch import Tensor, nn

from rondel import Loop, Loss, OptimizerConfig, Run, ScheduleConfig, Stream, UpdateConfig
from rondel.loop import Watch

LATENT = 3


def player(lr: float, **settings: Any) -> UpdateConfig:
    """Return an update with Adam on a cosine."""
    optimizer = OptimizerConfig(name="adam", lr=lr, betas=(0.0, 0.9))
    schedule = ScheduleConfig(name="cosine", warmup=3)
    return UpdateConfig(optimizer=optimizer, schedule=schedule, **settings)


class TwoPlayers(Loop):
    """A generator and a discriminator in turns."""

    watch = Watch("distance", "min")

    def __init__(self) -> None:
        torch.manual_seed(7)
        self.generator = nn.Sequential(nn.Linear(LATENT, 6), nn.ReLU(), nn.Linear(6, FEATURES))
        self.discriminator = nn.Sequential(
            nn.Linear(FEATURES, 6), nn.ReLU(), nn.Dropout(0.2), nn.Linear(6, 1)
        )
        self.points = Stream(
            Clouds(22, seed=9, labelled=False),
            batch_size=4,
            augment=jitter,
            noise=lambda size, draw: torch.randn(size, LATENT, generator=draw),
        )

    def train(self, run: Run) -> None:
        discriminator = run.update("discriminator", self.discriminator, player(2e-2), total=30)
        generator = run.update("generator", self.generator, player(1e-2, ema=0.9), total=15)
        for _ in run.epochs(4):
            for real, noise in run.batches(self.points):
                with discriminator.gather():
                    discriminator(self.discriminator_loss, real, noise)
                    if run.every(3):
                        discriminator(self.penalty, real)
                if run.every(2):
                    generator(self.generator_loss, noise)
            run.evaluate(self)

    def discriminator_loss(self, real: Tensor, noise: Tensor) -> Loss:
        with torch.no_grad():
            fake = self.generator(noise)
        scores = F.softplus(-self.discriminator(real)) + F.softplus(self.discriminator(fake))
        return Loss(scores.sum(), len(real))

    def penalty(self, real: Tensor) -> Loss:
        real = real.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(self.discriminator(real).sum(), real, create_graph=True)
        return Loss(0.5 * gradient.square().sum(), len(real))

    def generator_loss(self, noise: Tensor) -> Loss:
        return Loss(F.softplus(-self.discriminator(self.generator(noise))).sum(), len(noise))

    def evaluate(self, run: Run) -> dict[str, float]:
        made = self.generator(torch.randn(16, LATENT))
        return {"distance": float(made.mean(0).norm())}
