"""Penalties on gradients, one value for each sample: never a norm over the batch.

A penalty looks at a scene (`rondel_gan.scene`) that watches the inputs in whose gradient it is
interested. Shapes: N samples, inputs (N, ...), scores (N,), noise (N, Z).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from rondel_gan.config import PenaltyConfig
    from rondel_gan.scene import Scene


@dataclass(frozen=True)
class Ramp:
    """A number that changes with the share of the images seen, along half a cosine."""

    start: float
    final: float

    def __call__(self, progress: float) -> float:
        """Return the number at a share between 0 and 1."""
        return self.final + (self.start - self.final) * 0.5 * (1 + math.cos(math.pi * progress))


@dataclass(eq=False)
class Penalty:
    """A penalty of a player.

    Args:
        name: In the log.
        value: Of a scene: one value for each sample, (N,).
        weight: As a function of the images seen.
        every: It is due at every so many moves of its player, that much stronger.
        watches: Inputs of the scene that its gradient is taken at.
    """

    name: str
    value: Callable[[Any], Tensor]
    weight: Ramp
    every: int = 1
    watches: frozenset[str] = frozenset()
    strength: float = field(init=False)
    """The present weight, with the factor of one that is lazy."""

    def __post_init__(self) -> None:
        self.follow(0.0)

    def follow(self, progress: float) -> None:
        """Take the weight of a share of the images."""
        self.strength = self.every * self.weight(progress)


def penalty(
    name: str, value: Callable[[Any], Tensor], config: PenaltyConfig, *watches: str
) -> tuple[Penalty, ...]:
    """Return the penalty of a config, if it has a weight at all."""
    final = config.weight if config.final is None else config.final
    if not config.on:
        return ()
    ramp = Ramp(config.weight, final)
    return (Penalty(name, value, ramp, config.every, frozenset(watches)),)


def gradient_of(scores: Tensor, inputs: Tensor) -> Tensor:
    """Return the gradient of each sample's score with respect to its own input, (N, ...).

    The gradient of the summed scores holds every sample's own gradient in its row.
    """
    (gradient,) = torch.autograd.grad(scores.sum(), inputs, create_graph=True)
    return gradient


def squared_norm(gradient: Tensor) -> Tensor:
    """Return the squared norm of each row, (N,)."""
    return gradient.flatten(1).square().sum(dim=1)


def norm(gradient: Tensor) -> Tensor:
    """Return the norm of each row, (N,); a row of zeros pulls nowhere, where a root would be NaN."""
    norms: Tensor = torch.linalg.vector_norm(gradient.flatten(1), dim=1)
    return norms


def r1(scene: Scene) -> Tensor:
    """Return ``|grad D(x)|^2 / 2`` at real images (Mescheder et al., 2018, eq. 9)."""
    return 0.5 * squared_norm(gradient_of(scene.real_scores, scene.real))


def r2(scene: Scene) -> Tensor:
    """Return ``|grad D(G(z))|^2 / 2`` at generated images (Mescheder et al., 2018, eq. 10)."""
    return 0.5 * squared_norm(gradient_of(scene.fake_scores, scene.fake))


def one_lipschitz(scene: Scene) -> Tensor:
    """Return ``(|grad D(x')| - 1)^2`` at images in between (Gulrajani et al., 2017, eq. 3).

    Each sample has a mixture of its own, and a norm of its own.
    """
    mixed = scene.mixed
    return (norm(gradient_of(scene.score(mixed), mixed)) - 1).square()


class PathLength:
    """Equal steps in the noise shall change images equally (Karras et al., 2020, section 3.2).

    ``(|J^T y| - a)^2`` with y an image of noise. ``a`` is the running mean of the lengths of the
    batches before: the present one is not in it, so that pieces of a batch see the same ``a``.

    Args:
        decay: Weight of a new batch.
    """

    name = "length"

    def __init__(self, decay: float = 0.01) -> None:
        self.decay = decay
        self.mean = torch.zeros(())

    def __call__(self, scene: Scene) -> Tensor:
        """Return one value for each sample, (N,)."""
        fake = scene.fake
        pixels = math.prod(fake.shape[2:]) or 1
        projected = (fake * scene.draws["path"]).flatten(1).sum(dim=1) / math.sqrt(pixels)
        lengths = norm(gradient_of(projected, scene.noise))
        scene.note(self.name, lengths)
        return (lengths - self.mean.to(lengths)).square()

    def moved(self, mean: Tensor) -> None:
        """Take the mean length of a batch into the running mean, unless it is none."""
        before = self.mean.to(mean)
        self.mean = torch.where(mean.isfinite(), before.lerp(mean, self.decay), before)

    def state_dict(self) -> dict[str, Any]:
        """Return the running mean."""
        return {"mean": self.mean}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put it back."""
        self.mean = state["mean"].clone()
