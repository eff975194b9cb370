"""The contract of every rondel loop, for the loop 'pretrain_then_finetune'."""

from __future__ import annotations

from rondel.testing import LoopContract


class TestPretrainThenFinetune(LoopContract):
    """Two passes over the rows of wine, then three over the classes."""

    domain = "tabular"
    overrides = (
        "loop=pretrain_then_finetune",
        "dataset=wine",
        "network.members=2",
        "pretraining.epochs=2",
        "batch_size=48",
        "network.width=16",
        "network.number_width=2",
        "network.bins=8",
        "network.dropout=0.2",
        "epochs=3",
        "run.log_every=3",
    )
    gradient_overrides = ("network.dropout=0",)
    kills = 1
