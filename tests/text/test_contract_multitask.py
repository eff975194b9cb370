"""The contract of every rondel loop, for the one that learns several tasks on one encoder."""

from __future__ import annotations

from pathlib import Path

from rondel.testing import LoopContract

TINY = Path(__file__).parent / "tiny"


class TestMultitask(LoopContract):
    """Classes of texts twice as often as tags of words, which weigh half."""

    domain = "text"
    overrides = (
        *("batch_size=16", "epochs=2", "max_length=24", "run.log_every=2"),
        *("model.width=16", "model.layers=1", "model.heads=2", "model.vocabulary=400"),
        *(f"multitask.tasks.topic.data={TINY / 'topics.csv'}", "multitask.tasks.topic.ratio=2"),
        *(f"multitask.tasks.tags.data={TINY / 'tags.conllu'}", "multitask.tasks.tags.ratio=1"),
        "multitask.tasks.tags.weight=0.5",
    )
    gradient_overrides = ("model.dropout=0",)
    tolerance = 5e-6  # batches are computed in other shapes
    kills = 1
