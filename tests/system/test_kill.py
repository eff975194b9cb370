"""A run that is killed at any moment, any number of times, ends as if it had not been."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import crash
import pytest

KILLS = {
    "example": 20,
    "tabular": 20,
    "gan": 20,
    "phases-0": 8,
    "phases-2": 4,
    **{f"detection-{loop}": 2 for loop in crash.LOOPS},
    **{f"text-{loop}": 2 for loop in crash.TEXT_LOOPS},
    **{f"gan-{loop}": 2 for loop in crash.GAN_LOOPS},
}


@pytest.mark.parametrize("name", KILLS)
def test_killed_runs_end_like_the_uninterrupted_one(
    name: str, server: crash.Server, tmp_path: Path
) -> None:
    tally = crash.campaign(name, KILLS[name], tmp_path, seed=int(time.time()), server=server)
    print(tally)
    assert not tally.different
    assert tally.kills >= KILLS[name]
    assert tally.aimed >= 1 or KILLS[name] < 8


def test_a_real_process_ends_like_a_forked_one(server: crash.Server, tmp_path: Path) -> None:
    program = crash.programs(tmp_path)["example"]
    straight, killed = tmp_path / "straight", tmp_path / "killed"
    assert server.run(program, straight).wait() == 0
    process = real_process(program, killed, resume=False)
    wait_for_checkpoint(killed)
    process.kill()
    assert process.wait(60) == -signal.SIGKILL
    assert real_process(program, killed, resume=True).wait(120) == 0
    assert not crash.difference(straight, killed)


def test_a_killed_run_leaves_no_worker_behind(server: crash.Server, tmp_path: Path) -> None:
    child = server.run(crash.programs(tmp_path)["phases-2"], tmp_path / "run")
    wait_for_checkpoint(tmp_path / "run")
    child.kill()
    assert child.wait() == -signal.SIGKILL
    limit = time.monotonic() + 10
    while members(child.pid) and time.monotonic() < limit:
        time.sleep(0.1)
    assert members(child.pid) == []


@pytest.mark.timeout(1800)
def test_death_at_any_call_that_changes_the_directory_is_survived(
    server: crash.Server, tmp_path: Path
) -> None:
    program, straight = crash.programs(tmp_path)["small"], tmp_path / "straight"
    server.warm(program, straight)
    for number in crash.sweep():
        place = tmp_path / f"killed-{number}"
        fail = {"folder": str(place), "at": number, "how": "SIGKILL"}
        if server.run(program, place, fail=fail).wait() == 0:
            break
        assert not crash.damaged(place), f"call {number}"
        again = server.run(program, place, resume=crash.was_begun(place))
        assert again.wait() == 0, f"call {number}: {again.said()}"
        assert not crash.difference(straight, place), f"call {number}"
    assert number > 100


def real_process(program: crash.Program, place: Path, *, resume: bool) -> subprocess.Popen[bytes]:
    """Start the command line as users do."""
    return subprocess.Popen(
        [sys.executable, "-m", "rondel.cli", *program.words(place, resume=resume)],
        env={**os.environ, **crash.ENVIRONMENT},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def wait_for_checkpoint(place: Path, timeout_s: float = 60.0) -> None:
    """Wait until a checkpoint is complete."""
    limit = time.monotonic() + timeout_s
    while not list(place.glob("checkpoints/step-??????????")):
        assert time.monotonic() < limit, "no checkpoint was written"
        time.sleep(0.005)


def members(session: int) -> list[int]:
    """Return the processes of a session that are alive."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, number = path.read_text().rpartition(")")[2].split()[:4]
        except OSError:
            continue
        if int(number) == session and state != "Z":
            found.append(int(path.parent.name))
    return found
