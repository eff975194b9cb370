"""The problem of loop_overhead.py: a 20-32-1 MLP, batches of 32 in memory, MSE, AdamW.

N samples of a batch, F = 20 features.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

FEATURES, HIDDEN, BATCH = 20, 32, 32
# no weight decay: the systems disagree about its default and about what it applies to
ADAMW: dict[str, Any] = {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.0}

Weights = list[Tensor]  # (32, 20), (32,), (1, 32), (1,)


class Clock:
    """CPU time between the start of step `warmup` and the start of the last step.

    The model ticks it in its forward pass, the one place that every system goes through once a
    step, so each counted step is a whole turn of the system's loop and set-up is never counted.
    """

    def __init__(self, steps: int, warmup: int) -> None:
        self.steps, self.warmup = steps, warmup
        self.ticks, self.started, self.stopped = 0, 0.0, 0.0

    def tick(self) -> None:
        """Note that a step begins."""
        if self.ticks == self.warmup:
            self.started = time.process_time()
        self.ticks += 1
        if self.ticks == self.steps:
            self.stopped = time.process_time()

    @property
    def microseconds(self) -> float:
        """Mean CPU time of a counted step."""
        if self.ticks != self.steps:
            raise RuntimeError(f"{self.ticks} forward passes instead of {self.steps}")
        return (self.stopped - self.started) / (self.steps - 1 - self.warmup) * 1e6


class Mlp(nn.Module):
    """20-32-1 with tanh; ticks the clock at each forward pass."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock = clock
        self.hidden = nn.Linear(FEATURES, HIDDEN)
        self.output = nn.Linear(HIDDEN, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, F) to (N, 1)."""
        self.clock.tick()
        return self.output(torch.tanh(self.hidden(x)))


@dataclass
class Regression:
    """One training run: `batches` of ready-made (x, y) in a list, a clock, a fresh model."""

    steps: int = 1000
    warmup: int = 100

    def __post_init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        x = torch.randn(self.steps, BATCH, FEATURES, generator=generator)
        y = torch.sin(x @ torch.randn(FEATURES, 1, generator=generator) / 2)
        self.batches: list[tuple[Tensor, Tensor]] = list(zip(x, y, strict=True))
        self.clock = Clock(self.steps, self.warmup)

    def model(self) -> Mlp:
        """Return the model, always with the same first weights."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            return Mlp(self.clock)

    def adamw(self, model: nn.Module, *, fused: bool = False) -> torch.optim.AdamW:
        """Return AdamW with torch's default kernel or with the fused one."""
        return torch.optim.AdamW(model.parameters(), **ADAMW, fused=True if fused else None)


def weights_of(model: nn.Module) -> Weights:
    """Return the parameters, detached, in the order of the layers."""
    return [parameter.detach().clone() for parameter in model.parameters()]


def hand_written(regression: Regression, *, fused: bool) -> Weights:
    """Train with the loop that everybody writes: what all rows are compared with."""
    model = regression.model()
    optimizer = regression.adamw(model, fused=fused)
    for x, y in regression.batches:
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(model(x), y)
        loss.backward()
        optimizer.step()
    return weights_of(model)
