"""The contract of every rondel loop, for the loops of the text domain.

A hundred short texts with classes, tags, or nothing but themselves.
"""

from __future__ import annotations

from pathlib import Path

from rondel.testing import LoopContract

TINY = Path(__file__).parent / "tiny"
SMALL = ("batch_size=16", "run.log_every=2", "update.optimizer.lr=1e-2")
BERT = (
    "model.name=bert",
    "model.width=16",
    "model.layers=2",
    "model.heads=2",
    "model.vocabulary=400",
    "max_length=24",
)
NO_DROPOUT = ("model.dropout=0",)


class TestFinetune(LoopContract):
    """A small classifier with an average, in batches of similar length."""

    domain = "text"
    overrides = (
        *SMALL,
        f"data={TINY / 'topics.csv'}",
        "model.buckets=4096",
        "epochs=3",
        "batching=buckets",
        "update.ema=0.9",
    )
    gradient_overrides = NO_DROPOUT
    kills = 1  # the others are killed in tests/system/test_kill.py


class TestTagging(LoopContract):
    """Tags of words, whose number differs from piece to piece of a batch."""

    domain = "text"
    overrides = (*SMALL, f"data={TINY / 'tags.conllu'}", "epochs=3")
    gradient_overrides = NO_DROPOUT
    kills = 0
    processes = (2,)


class TestPretrain(LoopContract):
    """The next byte, in windows that repeat the end of the one before."""

    domain = "text"
    overrides = (
        *SMALL,
        f"data={TINY / 'topics.csv'}",
        "task=causal",
        "max_length=24",
        "context=8",
        "model.width=16",
        "epochs=2",
        "batching=budget",
        "tokens=384",
    )
    gradient_overrides = NO_DROPOUT
    kills = 0
    processes = (2,)


class TestGradual(LoopContract):
    """A transformer without padding, let go part by part."""

    domain = "text"
    overrides = (*SMALL, *BERT, f"data={TINY / 'topics.csv'}", "loop=gradual", "epochs=5")
    gradient_overrides = NO_DROPOUT
    tolerance = 5e-6  # batches are computed in other shapes
    kills = 0
    processes = (2,)


class TestPretrainThenFinetune(LoopContract):
    """Hidden tokens by Muon, then classes by AdamW."""

    domain = "text"
    overrides = (
        *SMALL,
        *BERT,
        f"data={TINY / 'topics.csv'}",
        "loop=pretrain_then_finetune",
        "pretraining.epochs=2",
        "epochs=2",
    )
    gradient_overrides = NO_DROPOUT
    tolerance = 5e-6
    kills = 0
    processes = (2,)
