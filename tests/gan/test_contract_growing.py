"""The contract of every rondel loop, for a game in stages, and for points."""

from __future__ import annotations

from rondel.testing import LoopContract


class TestGrowing(LoopContract):
    """Digits of 4 x 4 pixels, then of 8 x 8; the new block fades in."""

    domain = "gan"
    overrides = (
        "loop=growing",
        "epochs=1",
        "growing.epochs=1",
        "batch_size=220",
        "model.width=8",
        "model.latent=4",
        "run.log_every=2",
        "evaluation.samples=64",
        "evaluation.every=1",
        "evaluation.proxy_updates=5",
        "generator.ema=0.9",
    )
    tolerance = 5e-6  # convolutions of other sizes
    kills = 0  # the crash harness kills more, and faster
    processes = (2,)


class TestPoints(LoopContract):
    """The ring of 8."""

    domain = "gan"
    overrides = (
        "dataset=ring",
        "epochs=2",
        "batch_size=30000",
        "model.width=16",
        "run.log_every=2",
        "evaluation.samples=64",
        "evaluation.every=1",
    )
    gradient_overrides = ("batch_size=1000",)
    kills = 0  # the crash harness kills more, and faster
    processes = (2,)
