"""A run that is cut at any safe point and resumed ends bit for bit like one that was not."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from loops.one_update import OneUpdate
from loops.three_phases import ThreePhases
from loops.two_players import TwoPlayers

from rondel import Loop, RunConfig
from rondel.checkpoint import list_checkpoints
from rondel.testing import Rehearsal, differences

SETTINGS = RunConfig(device="cpu", seed=5, log_every=3)
LOOPS: dict[str, Callable[[], Loop]] = {
    "one update": OneUpdate,
    "two players": TwoPlayers,
    "three phases, two streams": ThreePhases,
}


@pytest.mark.parametrize("name", LOOPS)
def test_resume_at_every_safe_point_is_exact(name: str, tmp_path: Path) -> None:
    rehearsal = Rehearsal(LOOPS[name], SETTINGS, tmp_path)
    until = rehearsal.run("straight")
    assert until >= 25, "the run is too short to say much"
    for cut in range(1, until):
        found = rehearsal.compare(cut)
        assert not found, f"cut at {cut} of {until}: {found[:5]}"


@pytest.mark.parametrize("name", LOOPS)
def test_resume_at_every_safe_point_is_exact_with_two_workers(name: str, tmp_path: Path) -> None:
    rehearsal = Rehearsal(LOOPS[name], SETTINGS.model_copy(update={"workers": 2}), tmp_path)
    # one run that keeps the checkpoint of every safe point stands for all the runs that are cut
    rehearsal.settings = rehearsal.settings.model_copy(
        update={"checkpoint_every_steps": 1, "keep_checkpoints": 1000}
    )
    until = rehearsal.run("straight")
    for cut in range(1, until):
        place = tmp_path / f"cut-{cut}"
        shutil.copytree(tmp_path / "straight", place)
        for info in list_checkpoints(place / "checkpoints"):
            if info.step > cut:
                shutil.rmtree(info.path)
        rehearsal.run(place.name, resume=True)
        found = differences(rehearsal.end("straight"), rehearsal.end(place.name))
        assert not found, f"cut at {cut} of {until}: {found[:5]}"
        shutil.rmtree(place)


@pytest.mark.parametrize("name", LOOPS)
def test_a_run_may_change_its_workers_on_the_way(name: str, tmp_path: Path) -> None:
    rehearsal = Rehearsal(LOOPS[name], SETTINGS, tmp_path)
    until = rehearsal.run("straight")
    rehearsal.run("changing", stop_at=until // 3, workers=2)
    rehearsal.run("changing", stop_at=2 * until // 3, resume=True, workers=0)
    rehearsal.run("changing", resume=True, workers=1)
    assert not differences(rehearsal.end("straight"), rehearsal.end("changing"))
