"""The contract of every rondel loop, for pairs of texts whose batch is one loss."""

from __future__ import annotations

from pathlib import Path

from rondel.testing import LoopContract

DATA = Path(__file__).parent / "tiny" / "pairs.csv"


class TestContrastive(LoopContract):
    """Pieces of words, in batches of which the last is a short one, and both directions."""

    domain = "text"
    overrides = (
        f"data={DATA}",
        "task=pairs",
        "model.buckets=512",
        "model.width=8",
        "batch_size=19",  # the last batch of an epoch has one pair: a process gets none
        "contrastive.symmetric=true",
        "epochs=2",
        "run.log_every=2",
        "update.optimizer.lr=1e-2",
    )
    gradient_overrides = ("model.dropout=0",)
    kills = 0
    processes = (2,)


class TestTransformer(LoopContract):
    """Mean states of a transformer without padding."""

    domain = "text"
    overrides = (
        f"data={DATA}",
        "task=pairs",
        "model.name=bert",
        "model.width=16",
        "model.layers=1",
        "model.heads=2",
        "model.vocabulary=300",
        "max_length=24",
        "batch_size=24",
        "epochs=2",
        "run.log_every=2",
        "update.micro_batches=2",
    )
    gradient_overrides = ("model.dropout=0", "update.micro_batches=1")
    tolerance = 5e-6  # batches are computed in other shapes
    kills = 0
    processes = (2,)
