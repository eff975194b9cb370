"""The contract of every loop, for students of a trained teacher, of their average, of a peer."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import pytest

from rondel.testing import LoopContract
from rondel.testing.subject import Subject

TINY = Path(__file__).parent / "tiny"
SHORT = ("batch_size=16", "epochs=2", "run.log_every=2", "update.optimizer.lr=1e-2")
LAYERS = ("model.heads=2", "max_length=24")
NO_DROPOUT = ("model.dropout=0",)


def saved_teacher(folder: Path, *overrides: str) -> str:
    """Save an untrained teacher: what it says is arbitrary, and always the same."""
    bundle = Subject("text", overrides).build().bundle()
    assert bundle is not None
    return f"distil.teacher={bundle.save(folder / 'teacher')}"


class TestTeacherOfLayers(LoopContract):
    """A student made of a layer of a transformer, whose states it learns as well."""

    domain = "text"
    overrides: ClassVar[tuple[str, ...]] = (
        *SHORT,
        f"data={TINY / 'topics.csv'}",
        "loop=distil",
        "distil.start=layers",
        "distil.hidden_weight=0.5",
        "model.layers=1",
    )
    gradient_overrides = NO_DROPOUT
    tolerance = 5e-6  # batches are computed in other shapes
    kills = 0
    processes = (2,)

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def teacher(cls, tmp_path_factory: pytest.TempPathFactory) -> None:
        """Make the teacher before anything is built."""
        sizes = ("model.name=bert", "model.width=16", "model.vocabulary=400", "model.layers=2")
        data = f"data={TINY / 'topics.csv'}"
        found = saved_teacher(tmp_path_factory.mktemp("bert"), data, *sizes, *LAYERS)
        cls.overrides = (*cls.overrides, found)


class TestTeacherOfTags(LoopContract):
    """A smaller tagger, and answers that are remembered for each token."""

    domain = "text"
    overrides: ClassVar[tuple[str, ...]] = (
        *SHORT,
        f"data={TINY / 'tags.conllu'}",
        "loop=distil",
        "distil.keep_answers=true",
        "model.width=16",
    )
    gradient_overrides = NO_DROPOUT
    kills = 0
    processes = (2,)

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def teacher(cls, tmp_path_factory: pytest.TempPathFactory) -> None:
        """Make the teacher before anything is built."""
        data = f"data={TINY / 'tags.conllu'}"
        found = saved_teacher(tmp_path_factory.mktemp("tagger"), data, "model.width=24")
        cls.overrides = (*cls.overrides, found)


class TestAverage(LoopContract):
    """A tagger that its average teaches, whose counted words differ from piece to piece."""

    domain = "text"
    overrides = (
        *SHORT,
        f"data={TINY / 'tags.conllu'}",
        "loop=distil",
        "distil.kind=ema",
        "update.ema=0.9",
        "model.width=16",
    )
    gradient_overrides = NO_DROPOUT
    kills = 0
    processes = (2,)


class TestPeers(LoopContract):
    """Two small classifiers that learn from each other."""

    domain = "text"
    overrides = (
        *SHORT,
        f"data={TINY / 'topics.csv'}",
        "loop=distil",
        "distil.kind=mutual",
        "model.buckets=1024",
    )
    gradient_overrides = NO_DROPOUT
    kills = 0
    processes = (2,)
