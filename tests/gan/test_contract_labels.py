"""The contract of every rondel loop, for games with labels and with varied images."""

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


class TestConditional(LoopContract):
    """An auxiliary classifier: labels travel with the images."""

    domain = "gan"
    overrides = (*SMALL, "model.condition=auxiliary")
    kills = 0  # the crash harness kills more, and faster
    processes = (2,)


class TestAda(LoopContract):
    """Images are varied with a probability that moves by a third of its way at a time."""

    domain = "gan"
    overrides = (
        *SMALL,
        "augment.mode=ada",
        "augment.images=4000",
        "augment.target=0.05",
        "augment.kinds=color,translation,cutout,flip",
        "discriminator.optimizer.lr=1e-2",
    )
    kills = 0  # the crash harness kills more, and faster
    processes = (2,)
