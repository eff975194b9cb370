"""The contract of every rondel loop, for the GAN domain."""

from __future__ import annotations

from rondel.testing import LoopContract


class TestGan(LoopContract):
    """On digits: two players, lazy R1, averages, the generator at every second batch."""

    domain = "gan"
    overrides = (
        "epochs=3",
        "batch_size=130",
        "critic_steps=2",
        "r1.every=3",
        "model.width=32",
        "run.log_every=4",
        "evaluation.samples=100",
        "evaluation.proxy_updates=10",
    )
    gradient_overrides = ("r1.every=1",)
