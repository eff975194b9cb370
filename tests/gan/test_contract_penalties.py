"""The contract of every rondel loop, for games held by penalties of every move."""

from __future__ import annotations

from rondel.testing import LoopContract

SMALL = (
    "batch_size=330",
    "model.width=16",
    "model.latent=4",
    "run.log_every=2",
    "evaluation.samples=64",
    "evaluation.every=1",
    "evaluation.proxy_updates=5",
)


class TestWganGp(LoopContract):
    """Five moves of the critic for one of the generator; a round ends within the second pass."""

    domain = "gan"
    overrides = (*SMALL, "recipe=wgan_gp", "epochs=3")
    kills = 0  # the crash harness kills more, and faster
    processes = (2,)


class TestR3Gan(LoopContract):
    """Weights of both penalties and betas that change with the images seen."""

    domain = "gan"
    overrides = (
        *SMALL,
        "recipe=r3gan",
        "epochs=2",
        "generator.final_betas=0,0.999",
        "discriminator.final_betas=0,0.999",
        "generator.ema_images=500",
    )
    kills = 0  # the crash harness kills more, and faster
    processes = (2,)
