"""The contract of every rondel loop, for the loop 'folds'."""

from __future__ import annotations

from rondel.testing import LoopContract


class TestFolds(LoopContract):
    """Three folds of wine, two members each, three batches a pass."""

    domain = "tabular"
    overrides = (
        "loop=folds",
        "dataset=wine",
        "folds.count=3",
        "folds.members=2",
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
