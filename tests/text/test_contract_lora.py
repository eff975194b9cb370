"""The contract of every loop, for a model of which adapters and the head are trained."""

from __future__ import annotations

from pathlib import Path

from rondel.testing import LoopContract

TINY = Path(__file__).parent / "tiny"


class TestLora(LoopContract):
    """A transformer without padding; its adapters have dropout of their own, and an average."""

    domain = "text"
    overrides = (
        "batch_size=16",
        "run.log_every=2",
        "update.optimizer.lr=1e-2",
        "update.ema=0.9",
        "model.name=bert",
        "model.width=16",
        "model.layers=2",
        "model.heads=2",
        "model.vocabulary=400",
        "model.lora.rank=2",
        "model.lora.dropout=0.1",
        f"data={TINY / 'topics.csv'}",
        "max_length=24",
        "epochs=3",
    )
    gradient_overrides = ("model.dropout=0", "model.lora.dropout=0")
    tolerance = 5e-6  # batches are computed in other shapes
    kills = 0
    processes = (2,)
