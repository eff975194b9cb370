"""Whether padding is computed may be measured; the choice is kept in the checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rondel import Run, RunConfig
from rondel.config import parse_overrides, resolve
from rondel_text.build import build
from rondel_text.config import TextConfig
from rondel_text.models.transformer import TransformerModel
from rondel_text.models.unpadded import Padded

TOPICS = Path(__file__).parent / "tiny" / "topics.csv"
WORDS = (
    *(f"data={TOPICS}", "model.name=bert", "model.width=16", "model.layers=1", "model.heads=2"),
    *("model.vocabulary=400", "max_length=24", "epochs=2", "model.padding=measured"),
)


def loop_of() -> Any:
    return build(resolve(TextConfig, [parse_overrides(TextConfig, WORDS)]).config)


@pytest.mark.parametrize("padded", [True, False])
def test_a_resumed_run_computes_as_it_did(
    padded: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = RunConfig(device="cpu", checkpoint_every_steps=1)
    monkeypatch.setattr(TransformerModel, "is_faster_padded", lambda *_: padded)
    loop = loop_of()
    with Run(tmp_path / "run", settings=settings) as run:
        loop.train(run)
    assert isinstance(loop.model.encoder, Padded) is padded

    monkeypatch.setattr(TransformerModel, "is_faster_padded", lambda *_: not padded)
    again = loop_of()
    with Run(tmp_path / "run", settings=settings, resume=True) as run:
        again.train(run)
    assert isinstance(again.model.encoder, Padded) is padded


def test_only_a_model_with_two_ways_says_which_it_takes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, told in (("bert", "; computed without padding: "), ("small", " texts.\n")):
        words = (*WORDS[:-1], f"model.name={name}")
        loop = build(resolve(TextConfig, [parse_overrides(TextConfig, words)]).config)
        with Run(tmp_path / name, settings=RunConfig(device="cpu")) as run:
            loop.begin(run)
        said = capsys.readouterr().err
        assert told in said
        assert ("computed" in said) is (name == "bert")


def test_both_ways_are_timed_on_a_batch_of_the_data(tmp_path: Path) -> None:
    loop = loop_of()
    with Run(tmp_path / "run", settings=RunConfig(device="cpu")) as run:
        loop.begin(run)
        assert loop.is_faster_padded(run) in (True, False)
