"""A signal asks a run to stop: it saves at the next safe point and can be resumed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import crash
import pytest

from rondel.checkpoint import list_checkpoints

LONG = crash.Program.of_domain(
    "example", "epochs=60", "run.log_every=7", "run.checkpoint_every_steps=40"
)


def until(condition: object, timeout_s: float = 60.0) -> None:
    """Wait until a function returns something true."""
    limit = time.monotonic() + timeout_s
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < limit, "it did not happen in time"
        time.sleep(0.002)


@pytest.fixture(scope="module")
def straight(server: crash.Server, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("signals") / "straight"
    assert server.run(LONG, place).wait() == 0
    return place


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_a_signal_saves_exits_75_and_the_resumed_run_is_equal(
    number: signal.Signals, server: crash.Server, straight: Path, tmp_path: Path
) -> None:
    place = tmp_path / "run"
    child = server.run(LONG, place)
    until(lambda: list_checkpoints(place / "checkpoints"))
    child.kill(number)
    assert child.wait() == 75, child.said()
    assert f"stopped by {number.name} at step" in child.said()
    assert f"--resume {place}" in child.said()
    assert not crash.damaged(place)
    again = server.run(LONG, place, resume=True)
    assert again.wait() == 0, again.said()
    assert not crash.difference(straight, place)


def test_a_run_stopped_again_and_again_is_equal(
    server: crash.Server, straight: Path, tmp_path: Path
) -> None:
    place, code = tmp_path / "run", None
    for delay_s in (0.2, 0.3, 0.15, 0.25):
        child = server.run(LONG, place, resume=crash.was_begun(place))
        time.sleep(delay_s)
        child.kill(signal.SIGTERM)
        code = child.wait()
        assert code in {0, 75, -signal.SIGTERM}, child.said()
    if code != 0:
        assert server.run(LONG, place, resume=crash.was_begun(place)).wait() == 0
    assert not crash.difference(straight, place)


class Slowly:
    """A slow run with its signs."""

    def __init__(self, server: crash.Server, folder: Path) -> None:
        self.server, self.place, self.signs = server, folder / "run", folder / "signs"
        self.signs.mkdir()
        words = ("{run}", str(self.signs))
        self.program = crash.Program("loops.slow:main", words, (*words, "resume"))

    def wait_in(self, what: str, call: int, seconds: float) -> crash.Child:
        """Start, and return when it does something for the ``call``-th time, which takes so long."""
        (self.signs / f"wait-{what}").write_text(f"{call} {seconds}")
        child = self.server.run(self.program, self.place)
        until((self.signs / what).exists)
        assert list_checkpoints(self.place / "checkpoints")
        return child

    def finish(self, folder: Path) -> None:
        """Resume, and compare with a run that was never disturbed."""
        assert self.server.run(self.program, self.place, resume=True).wait() == 0
        assert self.server.run(self.program, folder / "straight").wait() == 0
        assert not crash.difference(folder / "straight", self.place)


@pytest.fixture
def slowly(server: crash.Server, tmp_path: Path) -> Slowly:
    return Slowly(server, tmp_path)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_at_once_and_leaves_the_last_checkpoint(
    number: signal.Signals, slowly: Slowly, tmp_path: Path
) -> None:
    child = slowly.wait_in("updating", 9, 60)
    child.kill(number)
    time.sleep(0.2)
    assert not child.is_over(), "the first signal waits for a safe point"
    sent = time.monotonic()
    child.kill(number)
    assert child.wait() == 128 + number
    assert time.monotonic() - sent < 5
    assert not crash.damaged(slowly.place)
    assert list_checkpoints(slowly.place / "checkpoints")
    slowly.finish(tmp_path)


def test_a_signal_during_an_evaluation_waits_for_its_end(slowly: Slowly, tmp_path: Path) -> None:
    child = slowly.wait_in("evaluating", 1, 0.5)
    child.kill(signal.SIGTERM)
    assert child.wait() == 75, child.said()
    rows = (slowly.place / "metrics.jsonl").read_text().splitlines()
    assert '"event":"evaluation"' in rows[-1]
    slowly.finish(tmp_path)


@pytest.mark.parametrize("at", [*range(1, 20), 30, 60])
def test_a_signal_at_the_start_or_in_a_write_leaves_a_run_that_can_go_on(
    at: int, server: crash.Server, tmp_path: Path
) -> None:
    program, place = crash.programs(tmp_path)["small"], tmp_path / "run"
    child = server.run(program, place, fail={"folder": str(place), "at": at, "how": "SIGTERM"})
    assert child.wait() in {1, 75, -signal.SIGTERM}, child.said()
    again = server.run(program, place, resume=crash.was_begun(place))
    assert again.wait() == 0, again.said()
    assert server.run(program, tmp_path / "straight").wait() == 0
    assert not crash.difference(tmp_path / "straight", place)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_during_the_imports_ends_the_process_and_leaves_nothing(
    number: signal.Signals, tmp_path: Path
) -> None:
    place = tmp_path / "run"
    process = subprocess.Popen(
        [sys.executable, "-m", "rondel.cli", *LONG.words(place, resume=False)],
        env={**os.environ, **crash.ENVIRONMENT},
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    maps = Path(f"/proc/{process.pid}/maps")
    until(lambda: "libtorch" in maps.read_text())  # torch is being imported
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode in {130, -number}
    assert not place.exists()
    if number == signal.SIGINT and process.returncode == 130:
        assert "Traceback" not in said
