"""The contract of every rondel loop, for one network on the rows of a table."""

from __future__ import annotations

from rondel.testing import LoopContract


class TestSupervised(LoopContract):
    """On the embedded breast cancer set: 456 rows, five batches a pass, dropout on."""

    domain = "tabular"
    overrides = (
        "loop=supervised",
        "network.name=mlp",
        "network.width=32",
        "network.number_width=4",
        "epochs=4",
        "batch_size=96",
        "network.dropout=0.2",
        "ema=0.9",
        "schedule.name=cosine",
        "patience=3",
        "run.log_every=3",
    )
    gradient_overrides = ("network.dropout=0", "batch_size=97")
