"""The contract of every rondel loop, for the loop 'blend'."""

from __future__ import annotations

from rondel.testing import LoopContract


class TestBlend(LoopContract):
    """Two folds of wine: trees first, then three passes of the networks."""

    domain = "tabular"
    overrides = (
        "loop=blend",
        "dataset=wine",
        "folds.count=2",
        "folds.members=2",
        "blend.trees=histogram",
        "blend.rounds=1",
        "optimizer.lr=0.1",
        "schedule.name=constant",
        "batch_size=24",
        "network.width=16",
        "network.number_width=2",
        "network.bins=8",
        "network.dropout=0.2",
        "epochs=3",
        "run.log_every=3",
    )
    gradient_overrides = ("network.dropout=0",)
    kills = 1
