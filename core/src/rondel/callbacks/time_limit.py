"""End a run, resumable, when its time is over."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rondel.callback import Callback

if TYPE_CHECKING:
    from rondel.run import Run
    from rondel.update import Update


class TimeLimit(Callback):
    """Save and stop at the first safe point after ``seconds``; for queues that kill.

    Args:
        seconds: Wall-clock time from the start of this process' part of the run.
    """

    name = "time_limit"
    essential = True

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._end = float("inf")

    def run_started(self, run: Run) -> None:  # noqa: ARG002 - only the clock matters
        """Start the clock."""
        self._end = time.monotonic() + self.seconds

    def update_finished(self, run: Run, update: Update) -> None:  # noqa: ARG002
        """Look at the clock."""
        if time.monotonic() >= self._end:
            run.interrupt(f"its time limit of {self.seconds:g} s")
