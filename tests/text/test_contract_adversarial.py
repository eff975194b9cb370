"""The contract of every rondel loop, for labels that are fitted against an adversary."""

from __future__ import annotations

from pathlib import Path

from rondel.testing import LoopContract

TINY = Path(__file__).parent / "tiny"
SHORT = ("loop=adversarial", "batch_size=16", "epochs=2", "run.log_every=2")
NO_DROPOUT = ("model.dropout=0",)


class TestMovedTexts(LoopContract):
    """A transformer without padding, whose texts are moved each by itself."""

    domain = "text"
    overrides = (
        *SHORT,
        f"data={TINY / 'topics.csv'}",
        "adversary.kind=fgm",
        "adversary.size=0.5",
        "model.name=bert",
        "model.width=16",
        "model.layers=1",
        "model.heads=2",
        "model.vocabulary=400",
        "max_length=24",
    )
    gradient_overrides = NO_DROPOUT
    tolerance = 5e-6  # batches are computed in other shapes
    kills = 0
    processes = (2,)


class TestMovedWeights(LoopContract):
    """A tagger, whose weights are moved along the gradient of the whole batch."""

    domain = "text"
    overrides = (*SHORT, f"data={TINY / 'tags.conllu'}", "adversary.kind=awp")
    gradient_overrides = NO_DROPOUT
    tolerance = 5e-6  # the direction is a gradient itself
    kills = 0
    processes = (2,)


class TestTwoDraws(LoopContract):
    """A small classifier that has to agree with itself, from the second epoch on."""

    domain = "text"
    overrides = (
        *SHORT,
        f"data={TINY / 'topics.csv'}",
        "adversary.kind=r_drop",
        "adversary.start_epoch=1",
        "model.buckets=4096",
    )
    # without any dropout it is refused; this little leaves every value where it is
    gradient_overrides = ("model.dropout=1e-30", "adversary.start_epoch=0")
    kills = 0
    processes = (2,)
