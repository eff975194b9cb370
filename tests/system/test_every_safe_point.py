"""A run that is cut at any safe point and resumed ends bit for bit like one that was not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from loops.one_update import OneUpdate
from loops.three_phases import ThreePhases
from loops.two_players import TwoPlayers

from rondel import Loop, RunConfig
from rondel.testing import Rehearsal, differences

LOOPS: dict[str, Callable[[], Loop]] = {
    "one update": OneUpdate,
    "two players": TwoPlayers,
    "three phases, two streams": ThreePhases,
}


@pytest.mark.parametrize("workers", [0, 2], ids=["in the process", "two workers"])
@pytest.mark.parametrize("name", LOOPS)
def test_resume_at_every_safe_point_is_exact(name: str, workers: int, tmp_path: Path) -> None:
    settings = RunConfig(device="cpu", seed=5, log_every=3, workers=workers)
    rehearsal = Rehearsal(LOOPS[name], settings, tmp_path)
    until = rehearsal.run("straight")
    assert until >= 25, "the run is too short to say much"
    for cut in range(1, until):
        found = rehearsal.compare(cut, workers=workers)
        assert not found, f"cut at {cut} of {until}: {found[:5]}"


@pytest.mark.parametrize("name", LOOPS)
def test_a_run_may_change_its_workers_on_the_way(name: str, tmp_path: Path) -> None:
    settings = RunConfig(device="cpu", seed=5, log_every=3)
    rehearsal = Rehearsal(LOOPS[name], settings, tmp_path)
    until = rehearsal.run("straight")
    rehearsal.run("changing", stop_at=until // 3, workers=2)
    rehearsal.run("changing", stop_at=2 * until // 3, resume=True, workers=0)
    rehearsal.run("changing", resume=True, workers=1)
    assert not differences(rehearsal.end("straight"), rehearsal.end("changing"))
