"""Start the processes of a group by fork: torch is imported once for many groups.

Nobody ends the processes from outside, as torchrun would: they must find their end themselves.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from rondel.errors import RondelError

Outcome = dict[str, Any]
TOO_LONG_S = 30.0


def fork_group(size: int, work: Callable[[], None], log: Path) -> Outcome:
    """Run work in ``size`` processes; return exit codes, what stderr got, and the seconds."""
    port, started = free_port(), time.monotonic()
    pids = []
    for rank in range(size):
        pid = os.fork()
        if pid == 0:
            become(rank, size, port, log)
            code = 1
            try:
                code = finish(work)
            finally:
                os._exit(code)
        pids.append(pid)
    codes = wait_for(pids, started + TOO_LONG_S)
    seconds = time.monotonic() - started
    stderr = [log.with_suffix(f".{rank}").read_text() for rank in range(size)]
    return {"codes": codes, "stderr": stderr, "seconds": seconds}


def become(rank: int, size: int, port: int, log: Path) -> None:
    """Take the place of one process: what torchrun sets, and a file for what it says."""
    place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": size, "MASTER_PORT": port}
    os.environ.update({name: str(value) for name, value in place.items()}, MASTER_ADDR="127.0.0.1")
    file = os.open(log.with_suffix(f".{rank}"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(file, 1)
    os.dup2(file, 2)


def finish(work: Callable[[], None]) -> int:
    """Run work and return the exit code, as the command line does."""
    code = 0
    try:
        work()
    except RondelError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        code = error.exit_code
    except SystemExit as left:
        code = int(left.code or 0)
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stderr.flush()
    return code


def wait_for(pids: list[int], deadline: float) -> list[int]:
    """Wait for processes; one that takes too long is killed and counts as -9."""
    codes: dict[int, int] = {}
    while len(codes) < len(pids):
        for pid in pids:
            if pid not in codes:
                if time.monotonic() > deadline:
                    os.kill(pid, signal.SIGKILL)
                done, status = os.waitpid(pid, os.WNOHANG)
                if done:
                    codes[pid] = os.waitstatus_to_exitcode(status)
        time.sleep(0.02)
    return [codes[pid] for pid in pids]


def warm_up() -> None:
    """Import what the first step of an optimizer imports, once for all groups."""
    weight = torch.nn.Parameter(torch.zeros(1))
    weight.grad = torch.zeros(1)
    torch.optim.AdamW([weight]).step()


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
