"""The contract of every rondel loop, for the four loops of the detection domain.

Sixteen pictures of 64 pixels; labels with gaps in their ids, a crowd, an empty picture, and
pictures of two shapes.
"""

from __future__ import annotations

from pathlib import Path

from rondel.testing import LoopContract

TINY = Path(__file__).parent / "tiny"
SMALL = (
    f"data={TINY / 'labels.json'}",
    f"images={TINY / 'pictures'}",
    "batch_size=4",
    "model.width=0.25",
    "image_size=64",
    "run.log_every=2",
    "update.optimizer.lr=1e-3",
)


class TestJoint(LoopContract):
    """All of the augmentation, which the last epoch closes, and an average."""

    domain = "detection"
    overrides = (
        *SMALL,
        "epochs=3",
        "update.ema=0.9",
        "augment.mosaic=0.5",
        "augment.mixup=0.3",
        "augment.colour=0.3",
        "augment.scale=[0.7,1.4]",
        "augment.multi_scale=0.5",
        "augment.close_epochs=1",
    )


class TestAlternating(LoopContract):
    """Four steps, proposals cached twice."""

    domain = "detection"
    overrides = (
        *SMALL,
        "loop=alternating",
        "model.name=fasterrcnn_slim",
        "epochs=4",
        "alternating.proposals=20",
    )


class TestStaged(LoopContract):
    """Head, all, all by another optimizer."""

    domain = "detection"
    overrides = (*SMALL, "loop=staged", "epochs=4")


class TestTeacher(LoopContract):
    """A third of the labels, and a teacher from the second epoch on."""

    domain = "detection"
    overrides = (
        *SMALL,
        "loop=teacher",
        "epochs=3",
        "batch_size=3",
        "teacher.labelled=0.4",
        "teacher.burn_in=1",
        "teacher.threshold=0.02",
        "model.score_threshold=0.001",
    )
