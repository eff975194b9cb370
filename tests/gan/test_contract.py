"""The contract of every rondel loop, for games of two players on the digits."""

from __future__ import annotations

from rondel.testing import LoopContract

SMALL = (
    "epochs=2",
    "batch_size=330",
    "model.width=16",
    "model.latent=4",
    "run.log_every=2",
    "evaluation.samples=64",
    "evaluation.every=1",
    "evaluation.proxy_updates=5",
)


class TestAdversarial(LoopContract):
    """Lazy R1 and path lengths, averages, the generator at every second batch."""

    domain = "gan"
    overrides = (
        *SMALL,
        "turns=D*2 G",
        "r1.every=2",
        "path.weight=2",
        "path.every=2",
        "generator.ema=0.9",
        "discriminator.ema=0.9",
    )
    kills = 0  # the crash harness kills more, and faster
    processes = (2,)


class TestSimultaneous(LoopContract):
    """Both gradients before either step, with both penalties in every step."""

    domain = "gan"
    overrides = (*SMALL, "turns=G+D", "r1.weight=1", "path.weight=2", "alarm.on=false")
    kills = 0  # the crash harness kills more, and faster
    processes = (2,)
