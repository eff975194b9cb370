"""The contract of every rondel loop, for the one that writes a text for a text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import ClassVar

import pytest

from rondel.testing import LoopContract


class TestSeq2Seq(LoopContract):
    """A small BART that turns texts round, writing four of them at an evaluation."""

    domain = "text"
    kills = 0
    tolerance = 5e-6
    gradient_overrides = ("model.dropout=0",)
    settings: ClassVar[tuple[str, ...]] = (
        *("batch_size=16", "epochs=2", "max_length=16", "run.log_every=2", "smoothing=0.1"),
        *("model.name=bart", "model.width=16", "model.layers=1", "model.heads=2"),
        *("model.vocabulary=400", "seq2seq.generated=2", "seq2seq.longest=16", "task=seq2seq"),
    )

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def data(cls, tmp_path_factory: pytest.TempPathFactory) -> None:
        path = tmp_path_factory.mktemp("seq2seq") / "turned.jsonl"
        words = ("apple", "hammer", "rain", "cloud", "plum")
        texts = [[words[(i + j) % 5] for j in range(1 + i % 4)] + [str(i)] for i in range(40)]
        rows = [{"text": " ".join(text), "label": " ".join(text[::-1])} for text in texts]
        path.write_text("\n".join(map(json.dumps, rows)))
        cls.overrides = (*cls.settings, f"data={Path(path)}")
