"""One process per run directory, and only with the config and the domain it was started with."""

from __future__ import annotations

import os
import signal
import stat
import time
from pathlib import Path

import crash
import pytest

from rondel.checkpoint import list_checkpoints

ENDLESS = crash.Program.of_domain("example", "epochs=100000", "run.checkpoint_every_steps=50")
NOBODY = 65534


def wait_for_checkpoint(place: Path) -> None:
    limit = time.monotonic() + 60
    while not list_checkpoints(place / "checkpoints"):
        assert time.monotonic() < limit
        time.sleep(0.005)


def test_a_second_process_is_refused_and_a_dead_one_gives_way(
    server: crash.Server, tmp_path: Path
) -> None:
    place = tmp_path / "run"
    first = server.run(ENDLESS, place)
    wait_for_checkpoint(place)
    second = server.run(ENDLESS, place, resume=True)
    assert second.wait() == 73
    assert f"is in use by process {first.pid} on {os.uname().nodename}, since 20" in second.said()
    assert str(place) in second.said()
    first.kill(signal.SIGKILL)
    assert first.wait() == -signal.SIGKILL
    assert (place / "run.lock").read_text(), "the lock of the dead process names it still"
    heir = server.run(ENDLESS, place, resume=True)
    while not heir.is_over() and f'"pid": {heir.pid}' not in (place / "run.lock").read_text():
        time.sleep(0.01)
    time.sleep(0.1)
    heir.kill(signal.SIGTERM)
    assert heir.wait() in {75, -signal.SIGTERM}, heir.said()


def test_the_lock_of_a_killed_run_is_free_while_its_workers_die(
    server: crash.Server, tmp_path: Path
) -> None:
    program, place = crash.programs(tmp_path)["phases-2"], tmp_path / "run"
    child = server.run(program, place)
    wait_for_checkpoint(place)
    child.kill(signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    heir = server.run(program, place, resume=True)
    assert heir.wait() == 0, heir.said()


def test_a_new_run_does_not_start_in_the_directory_of_another(
    server: crash.Server, tmp_path: Path
) -> None:
    program, place = crash.programs(tmp_path)["example"], tmp_path / "run"
    assert server.run(program, place).wait() == 0
    before = (place / "metrics.jsonl").read_bytes()
    child = server.run(program, place)
    assert child.wait() == 1
    assert "holds a run already. Continue it with --resume" in child.said()
    assert (place / "metrics.jsonl").read_bytes() == before


@pytest.mark.skipif(os.geteuid() != 0, reason="needs the right to become somebody else")
def test_a_read_only_directory_is_refused_before_the_first_batch(
    server: crash.Server, tmp_path: Path
) -> None:
    for folder in (tmp_path, *tmp_path.parents[:3]):  # of the worker, the run, the user
        folder.chmod(folder.stat().st_mode | stat.S_IXOTH)
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o555)
    child = server.run(ENDLESS, closed / "run", user=NOBODY)
    assert child.wait() == 1
    assert f"{closed}/run: cannot be used as a run directory: Permission denied" in child.said()
    assert "Choose a place that can be written with --out." in child.said()
    assert not list(closed.iterdir())


@pytest.mark.skipif(os.geteuid() != 0, reason="needs the right to become somebody else")
def test_a_run_that_cannot_be_written_is_not_resumed(server: crash.Server, tmp_path: Path) -> None:
    for folder in (tmp_path, *tmp_path.parents[:3]):  # of the worker, the run, the user
        folder.chmod(folder.stat().st_mode | stat.S_IXOTH)
    program, place = crash.programs(tmp_path)["example"], tmp_path / "run"
    assert server.run(program, place).wait() == 0
    before = (place / "metrics.jsonl").read_bytes()
    child = server.run(program, place, resume=True, user=NOBODY)
    assert child.wait() == 1
    assert f"{place}: cannot be used as a run directory" in child.said()
    assert (place / "metrics.jsonl").read_bytes() == before


def test_a_run_of_another_domain_is_refused(server: crash.Server, tmp_path: Path) -> None:
    place = tmp_path / "run"
    assert server.run(crash.programs(tmp_path)["example"], place).wait() == 0
    words = ["tabular", "train", "-q", "--resume", str(place)]
    child = server.start(crash.COMMAND_LINE, words)
    assert child.wait() == 2
    assert "is a run of 'example', not of 'tabular'" in child.said()
    assert f"rondel example train --resume {place}" in child.said()


def test_a_changed_config_is_refused_with_the_difference(
    server: crash.Server, tmp_path: Path
) -> None:
    place = tmp_path / "run"
    assert server.run(crash.programs(tmp_path)["example"], place).wait() == 0
    words = ["example", "train", "-q", "--resume", str(place), "batch_size=4", "run.seed=3"]
    child = server.start(crash.COMMAND_LINE, words)
    assert child.wait() == 2
    assert "batch_size: is 4, but the run was started with 8" in child.said()
    assert "run.seed: is 3, but the run was started with 0" in child.said()


def test_a_finished_run_continues_from_its_end_with_more_epochs(
    server: crash.Server, tmp_path: Path
) -> None:
    longer, shorter = tmp_path / "longer", tmp_path / "shorter"
    four = crash.Program.of_domain("example", "epochs=4", "run.log_every=3", crash.OFTEN)
    two = crash.Program.of_domain("example", "epochs=2", "run.log_every=3", crash.OFTEN)
    assert server.run(four, longer).wait() == 0
    assert server.run(two, shorter).wait() == 0
    rows = (shorter / "metrics.jsonl").read_bytes()
    again = server.start(crash.COMMAND_LINE, [*two.words(shorter, resume=True), "epochs=4"])
    assert again.wait() == 0, again.said()
    assert (shorter / "metrics.jsonl").read_bytes().startswith(rows)
    assert not crash.difference(longer, shorter)


def test_resuming_a_finished_run_changes_nothing(server: crash.Server, tmp_path: Path) -> None:
    program = crash.programs(tmp_path)["example"]
    for place in (tmp_path / "once", tmp_path / "twice"):
        assert server.run(program, place).wait() == 0
    assert server.run(program, tmp_path / "twice", resume=True).wait() == 0
    assert not crash.difference(tmp_path / "once", tmp_path / "twice")
