"""Nobody is left waiting: when one process of a group fails, the others end with its message.

A process that waits inside an exchange cannot see that its peer is gone. Each process therefore
watches, from a thread, a folder in which every process has a file: who it is while it works, why
it failed afterwards.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from rondel.directory import process_is_alive
from rondel.errors import Interrupted, LostProcessError, RondelError

POLL_S = 0.5
PATIENCE_S = 2.0


@dataclass(frozen=True)
class Failure:
    """Why a process ended: what the others print, and the exit code that they end with."""

    rank: int
    message: str
    code: int

    @classmethod
    def of(cls, rank: int, error: BaseException) -> Failure:
        """Describe an error."""
        code = error.exit_code if isinstance(error, RondelError) else 1
        return cls(rank, f"{type(error).__name__}: {error}", code)

    def to_json(self) -> dict[str, Any]:
        """Return message and code."""
        content = asdict(self)
        del content["rank"]
        return content


def tell(rank: int, failure: Failure) -> None:
    """Print why this process ends: because another one failed."""
    sys.stderr.write(f"Process {failure.rank} failed, process {rank} ends too: {failure.message}\n")
    sys.stderr.flush()


def clear(folder: Path) -> None:
    """Forget the failures of an earlier start; call it before any process watches."""
    shutil.rmtree(folder, ignore_errors=True)


class Lookout:
    """Watch for failures of the other processes, and announce one's own.

    Args:
        folder: A folder that all processes see; empty, or written by processes of this start.
        rank: This process.
        last_words: Called with the failure of another process before this one ends.
    """

    def __init__(
        self, folder: Path, rank: int, last_words: Callable[[Failure], None] | None = None
    ) -> None:
        self._folder = folder
        self._rank = rank
        self._last_words = last_words
        self._ended = threading.Event()
        self._end = threading.Lock()  # held by whoever, thread or main, decides how we end
        self._thread = threading.Thread(target=self._watch, daemon=True, name="rondel-lookout")

    def __enter__(self) -> Self:
        self._folder.mkdir(exist_ok=True)
        self._write({"pid": os.getpid(), "host": host()})
        self._thread.start()
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if error is not None:
            self.announce(error)
        self._ended.set()
        self._thread.join()
        if not self._end.locked():
            self._file(self._rank).unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # not the last one to leave
                self._folder.rmdir()

    def announce(self, error: BaseException) -> None:
        """Tell the other processes why this one ends; end with them if one has failed before.

        What fails second is nearly always a consequence, or the same thing seen twice. An
        interruption is no failure: all processes end at the same safe point by themselves.
        """
        if isinstance(error, Interrupted) or self._ended.is_set():
            return
        self._end.acquire()  # waits for good if the thread is ending this process already
        cause = self._failure()
        if cause is None and isinstance(error, LostProcessError):
            cause = self._wait_for_cause()
        if cause is not None:
            self._follow(cause)
        self._ended.set()
        with contextlib.suppress(OSError):  # a full disk must not hide the error itself
            self._write(Failure.of(self._rank, error).to_json())

    def _wait_for_cause(self) -> Failure | None:
        """Give the system a moment to notice that the lost process is gone."""
        deadline = time.monotonic() + PATIENCE_S
        cause = None
        while cause is None and time.monotonic() < deadline:
            time.sleep(POLL_S / 10)
            cause = self._failure()
        return cause

    def _watch(self) -> None:
        while not self._ended.wait(POLL_S):
            failure = self._failure()
            if failure is not None and self._end.acquire(blocking=False):
                self._follow(failure)

    def _follow(self, failure: Failure) -> None:
        tell(self._rank, failure)
        if self._last_words is not None:
            with contextlib.suppress(Exception):
                self._last_words(failure)
        # the main thread may be inside an exchange that never returns: no exception reaches it
        os._exit(failure.code)

    def _failure(self) -> Failure | None:
        """Return the failure of another process: announced, or seen because it is gone."""
        present = self._others()
        gone = [rank for rank, content in present.items() if is_gone(content)]
        if gone:
            present = self._others()  # it may have written why in between
        for rank, content in present.items():
            if "message" in content:
                return Failure(rank, content["message"], content["code"])
        lost = next((rank for rank in gone if rank in present), None)
        if lost is None:
            return None
        return Failure(lost, "it is gone without a word, killed perhaps for its memory", 1)

    def _others(self) -> dict[int, dict[str, Any]]:
        found = {}
        for file in sorted(self._folder.glob("rank-*.json")):
            rank = int(file.stem.removeprefix("rank-"))
            # one that ends well removes its file, perhaps just now
            with contextlib.suppress(OSError, ValueError):
                if rank != self._rank:
                    found[rank] = json.loads(file.read_text(encoding="utf-8"))
        return found

    def _file(self, rank: int) -> Path:
        return self._folder / f"rank-{rank}.json"

    def _write(self, content: dict[str, Any]) -> None:
        temporary = self._folder / f".rank-{self._rank}"
        temporary.write_text(json.dumps(content), encoding="utf-8")
        temporary.replace(self._file(self._rank))


def is_gone(content: dict[str, Any]) -> bool:
    """Tell whether the file of a working process names one of this machine that is dead."""
    if content.get("host") != host():
        return False
    return not process_is_alive(content["pid"])


def host() -> str:
    """Name the space in which process numbers are unique: the machine, or the container."""
    with contextlib.suppress(OSError):
        return f"{os.uname().nodename} {os.readlink('/proc/self/ns/pid')}"  # noqa: PTH115
    return os.uname().nodename
