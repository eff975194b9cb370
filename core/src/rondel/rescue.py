"""Nobody is left waiting: when one process of a group fails, the others end with its message.

A process that waits inside a collective cannot see that its peer is gone. Each process therefore
watches, from a thread, a folder into which a failing one writes why.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from pathlib import Path
from typing import Self

from rondel.errors import RondelError

POLL_S = 0.5


class Lookout:
    """Watch for failures of the other processes, and announce one's own.

    Args:
        folder: A folder that all processes see.
        rank: This process.
    """

    def __init__(self, folder: Path, rank: int) -> None:
        self._folder = folder
        self._rank = rank
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True, name="rondel-lookout")

    def __enter__(self) -> Self:
        self._folder.mkdir(exist_ok=True)
        self._file(self._rank).unlink(missing_ok=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def announce(self, error: BaseException) -> None:
        """Tell the other processes why this one ends."""
        code = error.exit_code if isinstance(error, RondelError) else 1
        text = json.dumps({"message": f"{type(error).__name__}: {error}", "code": code})
        temporary = self._folder / f".rank-{self._rank}"
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(self._file(self._rank))

    def _file(self, rank: int) -> Path:
        return self._folder / f"rank-{rank}.json"

    def _watch(self) -> None:
        while not self._ended.wait(POLL_S):
            for file in self._folder.glob("rank-*.json"):
                if file != self._file(self._rank):
                    self._follow(file)

    def _follow(self, file: Path) -> None:
        failure = json.loads(file.read_text(encoding="utf-8"))
        rank = file.stem.removeprefix("rank-")
        sys.stderr.write(f"Process {rank} failed, process {self._rank} ends too: ")
        sys.stderr.write(f"{failure['message']}\n")
        sys.stderr.flush()
        # the main thread may be inside a collective that never returns: no exception reaches it
        os._exit(failure["code"])
