"""Signals only set a flag; the second one ends the process at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading

import pytest

from rondel.signals import SignalFlag

PROGRAM = textwrap.dedent(
    """
    import atexit, sys, time
    from rondel.signals import SignalFlag
    atexit.register(print, "cleaned up", flush=True)
    with SignalFlag() as flag:
        print("ready", flush=True)
        while not flag.requested:
            time.sleep(0.01)
        print(flag.requested, flush=True)
        time.sleep(30)
    """
)


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGUSR1"])
def test_a_signal_sets_the_flag_and_nothing_else(name: str) -> None:
    number = getattr(signal, name)
    before = signal.getsignal(number)
    with SignalFlag() as flag:
        assert flag.requested is None
        os.kill(os.getpid(), number)
        assert flag.requested == name
    assert signal.getsignal(number) is before


def test_handlers_are_restored_after_an_error() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(ValueError, match="planted"), SignalFlag():
        raise ValueError("planted")
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize("second", ["SIGTERM", "SIGINT"])
def test_a_second_signal_ends_at_once(second: str) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    child = subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, text=True, env=environment
    )
    assert child.stdout is not None
    with child.stdout:
        assert child.stdout.readline() == "ready\n"
        child.send_signal(signal.SIGTERM)
        assert child.stdout.readline() == "SIGTERM\n"
        child.send_signal(getattr(signal, second))
        assert child.wait(timeout=5) == 128 + getattr(signal, second)
        assert child.stdout.read() == ""  # no cleanup ran


def test_another_thread_installs_nothing() -> None:
    before = signal.getsignal(signal.SIGTERM)
    seen: list[object] = []

    def work() -> None:
        with SignalFlag() as flag:
            seen.extend([signal.getsignal(signal.SIGTERM), flag.requested])

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before, None]
