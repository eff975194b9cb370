"""The contract of every loop, for answers whose contexts are spread over windows and batches."""

from __future__ import annotations

from pathlib import Path

from rondel.testing import LoopContract

TINY = Path(__file__).parent / "tiny"


class TestAnswers(LoopContract):
    """A transformer without padding, evaluated on questions over all of their windows."""

    domain = "text"
    overrides = (
        "batch_size=16",
        "run.log_every=2",
        "update.optimizer.lr=1e-2",
        "model.name=bert",
        "model.width=16",
        "model.layers=1",
        "model.heads=2",
        "model.vocabulary=400",
        f"data={TINY / 'questions.json'}",
        "max_length=48",
        "epochs=2",
    )
    gradient_overrides = ("model.dropout=0",)
    tolerance = 5e-6  # batches are computed in other shapes
    kills = 0
    processes = (2,)
