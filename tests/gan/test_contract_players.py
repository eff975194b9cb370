"""The contract of every rondel loop, for games with more nets than two."""

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


class TestInfo(LoopContract):
    """InfoGAN: the generator owns the net that reads its codes."""

    domain = "gan"
    overrides = (*SMALL, "loop=info", "info.categories=3")
    kills = 0  # the crash harness kills more, and faster
    processes = (2,)


class TestVae(LoopContract):
    """VAE-GAN: three players, two of which move together."""

    domain = "gan"
    overrides = (*SMALL, "loop=vae", "encoder.ema=0.9")
    kills = 0  # the crash harness kills more, and faster
    processes = (2,)
