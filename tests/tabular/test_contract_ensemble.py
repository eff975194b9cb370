"""The contract of every rondel loop, for the loop 'ensemble'."""

from __future__ import annotations

from rondel.testing import LoopContract


class TestEnsemble(LoopContract):
    """Three members on breast cancer, five batches a pass."""

    domain = "tabular"
    overrides = (
        "loop=ensemble",
        "network.members=3",
        "batch_size=96",
        "network.width=16",
        "network.number_width=2",
        "network.bins=8",
        "network.dropout=0.2",
        "epochs=3",
        "run.log_every=3",
    )
    gradient_overrides = ("network.dropout=0",)
    kills = 1
