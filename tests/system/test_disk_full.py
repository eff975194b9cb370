"""A disk that is full or fails ends a run with a clear message, and never costs what was saved."""

from __future__ import annotations

import contextlib
import itertools
import resource
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import crash
import pytest
from loops.one_update import OneUpdate

from rondel import Run, RunConfig
from rondel.callbacks import Best
from rondel.checkpoint import latest_checkpoint, list_checkpoints
from rondel.errors import RondelError

PROGRAM = crash.Program.of_domain("example", "epochs=30", "run.log_every=3", crash.OFTEN)


@pytest.fixture(scope="module")
def straight(server: crash.Server, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("full") / "straight"
    assert server.run(PROGRAM, place).wait() == 0
    return place


def check_message(child: crash.Child, place: Path, reason: str) -> None:
    """Check that the end of a run says what happened, where, and what to do next."""
    said = child.said()
    assert child.code == 1, said
    assert "Traceback" not in said
    assert "OSError" not in said
    assert str(place) in said
    assert reason in said
    assert "--resume" in said or "--out" in said or "make room" in said.lower(), said


def test_a_file_that_may_not_grow_ends_the_run_with_its_checkpoints_intact(
    server: crash.Server, straight: Path, tmp_path: Path
) -> None:
    place = tmp_path / "run"
    child = server.run(PROGRAM, place)
    wait_for_checkpoint(place)
    # the server ignores SIGXFSZ like every Python, so writing fails with EFBIG
    resource.prlimit(child.pid, resource.RLIMIT_FSIZE, (600, 600))
    child.wait()
    check_message(child, place, "File too large; it needs ")
    assert latest_checkpoint(place / "checkpoints", pytest.fail) is not None
    assert server.run(PROGRAM, place, resume=True).wait() == 0
    assert not crash.difference(straight, place)


def test_no_room_for_the_first_checkpoint_is_told_and_the_run_can_be_started_again(
    server: crash.Server, straight: Path, tmp_path: Path
) -> None:
    place = tmp_path / "run"
    child = server.run(PROGRAM, place, file_bytes=1500)
    child.wait()
    check_message(child, place, "File too large; it needs ")
    assert server.run(PROGRAM, place, resume=crash.was_begun(place)).wait() == 0
    assert not crash.difference(straight, place)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Return a file system of two megabytes."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(place)]
    try:
        done = subprocess.run(mount, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no command to mount a file system")
    if done.returncode:
        pytest.skip(f"no file system may be mounted here: {done.stderr.strip()}")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk_ends_the_run_and_with_room_again_it_goes_on(
    server: crash.Server, straight: Path, small_disk: Path
) -> None:
    place, ballast = small_disk / "run", small_disk / "ballast"
    child = server.run(PROGRAM, place)
    wait_for_checkpoint(place)
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    child.wait()
    check_message(child, place, "No space left on device; it needs ")
    assert latest_checkpoint(place / "checkpoints", pytest.fail) is not None
    ballast.unlink()
    again = server.run(PROGRAM, place, resume=True)
    assert again.wait() == 0, again.said()
    assert not crash.difference(straight, place)


@pytest.mark.parametrize(("how", "stride"), [("once", 1), ("full", 3)])
def test_any_call_may_fail_and_the_resumed_run_is_equal(
    how: str, stride: int, tmp_path: Path
) -> None:
    assert train(tmp_path / "straight", resume=False) is None
    survived = []
    for number in itertools.count(1 + time.time_ns() % stride, stride):
        place = tmp_path / f"failed-{number}"
        with crash.FailingDisk(str(place), at=number, how=how).installed() as disk:
            error = train(place, resume=False)
        if disk.count < number:
            break
        call = f"call {number}, {disk.names[number - 1]}"
        assert not crash.damaged(place), call
        if error is None:
            survived.append(disk.names[number - 1])
        else:
            assert isinstance(error, RondelError), f"{call}: {error!r}"
            assert str(place) in str(error), f"{call}: {error}"
            assert error.hint, f"{call}: {error}"
        assert train(place, resume=crash.was_begun(place)) is None, call
        found = crash.difference(tmp_path / "straight", place)
        assert not found, f"{call}: {found[:3]}"
    assert number > 100
    # what may fail without an end: cleaning up, and what only observers write
    assert len(survived) < number / 3, survived


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("how", ["once", "full"])
def test_any_call_of_the_command_line_may_fail(
    how: str, server: crash.Server, tmp_path: Path
) -> None:
    program = crash.Program.of_domain("example", "epochs=1", "batch_size=16", crash.OFTEN)
    assert server.run(program, tmp_path / "straight").wait() == 0
    for number in crash.sweep():
        place = tmp_path / f"failed-{number}"
        fail = {"folder": str(place), "at": number, "how": how}
        child = server.run(program, place, fail=fail)
        child.wait()
        begun = crash.was_begun(place)
        if child.code == 0 and crash.difference(tmp_path / "straight", place) == [] and number > 90:
            break
        said = child.said()
        assert child.code in {0, 1}, f"call {number}: {said}"
        assert "Traceback" not in said, f"call {number}: {said}"
        assert child.code == 0 or "OSError" not in said, f"call {number}: {said}"
        assert child.code == 0 or str(place) in said, f"call {number}: {said}"
        again = server.run(program, place, resume=begun)
        assert again.wait() == 0, f"call {number}: {said}\n{again.said()}"
        found = crash.difference(tmp_path / "straight", place)
        assert not found, f"call {number}: {said}\n{found[:3]}"


def train(place: Path, *, resume: bool) -> Exception | None:
    """Train a small loop that saves and evaluates often; return the error it ended with."""
    settings = RunConfig(device="cpu", log_every=2, checkpoint_every_steps=3)
    loop = OneUpdate(epochs=2)
    try:
        with Run(place, resume=resume, settings=settings, callbacks=[Best(loop.watch)]) as run:
            run.print_with(lambda _: None)
            loop.train(run)
    except Exception as error:
        return error
    return None


def wait_for_checkpoint(place: Path, timeout_s: float = 60.0) -> None:
    """Wait until a checkpoint is complete."""
    limit = time.monotonic() + timeout_s
    while not list_checkpoints(place / "checkpoints"):
        assert time.monotonic() < limit, "no checkpoint was written"
        time.sleep(0.002)
