"""The keys of the domain, beside those that every domain has."""

from __future__ import annotations

from typing import Literal

from rondel.config import Config, setting
from rondel.settings import DomainConfig, OptimizerConfig, ScheduleConfig, UpdateConfig


class ModelConfig(Config):
    """Generator and discriminator: two perceptrons of the same size."""

    latent: int = setting(32, help="Random numbers that an image is made of.", ge=1, le=4096)
    width: int = setting(256, help="Features of each hidden layer.", ge=1, le=16384)
    depth: int = setting(2, help="Hidden layers.", ge=1, le=16)
    output: Literal["tanh", "linear"] = setting("tanh", help="Last step of the generator.")


class R1Config(Config):
    """The R1 penalty on the discriminator (Mescheder, Geiger and Nowozin, 2018)."""

    gamma: float = setting(1.0, help="Weight: gamma / 2 * squared gradient norm; 0 is off.", ge=0)
    every: int = setting(
        1, help="Apply it every so many batches, that much stronger (lazy).", ge=1, le=64
    )


class EvaluationConfig(Config):
    """How samples are measured."""

    samples: int = setting(1000, help="Generated images per evaluation.", ge=64, le=50_000)
    proxy_updates: int = setting(
        400, help="Training of the classifier whose features are compared.", ge=1
    )
    neighbours: int = setting(3, help="Nearest neighbours of precision and recall.", ge=1, le=50)


def player(beta2: float, *, ema: float | None = None) -> UpdateConfig:
    """Return the defaults of one player: Adam without momentum, on a cosine schedule."""
    optimizer = OptimizerConfig(name="adam", lr=2e-3, betas=(0.0, beta2))
    return UpdateConfig(optimizer=optimizer, schedule=ScheduleConfig(name="cosine"), ema=ema)


class GanConfig(DomainConfig):
    """A non-saturating GAN with R1 penalty, one update for each player."""

    epochs: int = setting(80, help="Passes over the training images.", ge=0, resumable=True)
    batch_size: int = setting(64, help="Images per batch.", ge=1)
    color: Literal["grey", "rgb"] | None = setting(
        None, help="Convert the images of a folder; by default they stay as they are."
    )
    held_out: float | None = setting(
        None,
        help="Share of the images kept for evaluation; by default 500 of the digits, else a fifth.",
        gt=0,
        lt=1,
    )
    critic_steps: int = setting(
        1, help="Discriminator updates for each one of the generator.", ge=1, le=100
    )
    model: ModelConfig = setting(ModelConfig(), help="The two networks.")
    r1: R1Config = setting(R1Config(), help="The penalty on the discriminator.")
    evaluation: EvaluationConfig = setting(EvaluationConfig(), help="How samples are measured.")
    discriminator: UpdateConfig = setting(player(0.99), help="How the discriminator is updated.")
    generator: UpdateConfig = setting(player(0.99, ema=0.99), help="How the generator is updated.")
