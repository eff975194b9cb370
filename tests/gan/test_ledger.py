"""The books of a game: moves, means since the last look, and the turns they belong to."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from handmade import adversarial

from rondel import Run
from rondel.errors import Interrupted, StateError
from rondel_gan.ledger import Ledger


def test_numbers_are_averaged_since_the_last_look() -> None:
    ledger = Ledger("D G")
    for value in (1.0, 2.0, 6.0):
        ledger.add("wins", torch.tensor(value))
    ledger.add("gradient", torch.tensor(0.5))
    assert ledger.drain() == {"wins": 3.0, "gradient": 0.5}
    assert ledger.drain() == {}


def test_a_ledger_that_is_put_back_goes_on_as_if_never_cut() -> None:
    first, second = Ledger("D G"), Ledger("D G")
    first.moves.update("DDG")
    first.add("wins", torch.tensor(1.0))
    state = first.state_dict()
    second.load_state_dict(state)
    state["notes"]["wins"].append(torch.tensor(9.0))
    first.moves["D"] += 5
    first.add("wins", torch.tensor(9.0))
    assert second.moves == {"D": 2, "G": 1}
    second.add("wins", torch.tensor(3.0))
    assert second.drain() == {"wins": 2.0}


def test_other_turns_than_those_of_the_checkpoint_are_refused() -> None:
    ledger = Ledger("D*2 G")
    with pytest.raises(StateError) as caught:
        ledger.load_state_dict(Ledger("D G").state_dict())
    text = str(caught.value)
    assert text.startswith("turns: the turns are 'D*2 G', those of the checkpoint 'D G'")
    assert "Resume with the turns of the run" in text


def test_a_run_is_not_resumed_with_other_turns(tmp_path: Path) -> None:
    with pytest.raises(Interrupted), Run(tmp_path / "run", stop_at=5) as run:
        adversarial(turns="D G").train(run)
    resumed = Run(tmp_path / "run", resume=True)
    with pytest.raises(StateError, match="the turns are 'G D'"), resumed as run:
        adversarial(turns="G D").train(run)


def test_turns_that_are_written_otherwise_but_say_the_same_go_on(tmp_path: Path) -> None:
    with pytest.raises(Interrupted), Run(tmp_path / "run", stop_at=5) as run:
        adversarial(turns="D G").train(run)
    with Run(tmp_path / "run", resume=True) as run:
        adversarial(turns="D*1  G/1").train(run)
