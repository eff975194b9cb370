"""The contract of every rondel loop, for the tabular domain."""

from __future__ import annotations

from rondel.testing import LoopContract


class TestTabular(LoopContract):
    """On the embedded breast cancer set: 456 rows, five batches a pass, dropout on."""

    domain = "tabular"
    overrides = (
        "network.widths=32,32",
        "epochs=4",
        "batch_size=96",
        "network.dropout=0.2",
        "ema=0.9",
        "schedule.name=cosine",
        "patience=3",
        "run.log_every=3",
    )
    gradient_overrides = ("network.dropout=0", "batch_size=97")
