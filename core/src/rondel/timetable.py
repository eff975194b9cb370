"""When a checkpoint is due: by time, by safe points, on request."""

from __future__ import annotations

import time

from rondel.settings import RunConfig


class Timetable:
    """The next checkpoint of a run.

    Args:
        settings: The intervals.
        stop_at: A safe point at which the run saves and ends.
    """

    def __init__(self, settings: RunConfig, stop_at: int | None) -> None:
        self.stop_at = stop_at
        self.requested = False
        """Something, such as a new best, asked for a checkpoint at the next safe point."""
        self._interval_s = settings.checkpoint_every_s
        self._interval_steps = settings.checkpoint_every_steps or float("inf")
        self.plan(0)

    def plan(self, step: int) -> None:
        """Count the intervals from a checkpoint that was just written."""
        self.requested = False
        self._due_s = time.monotonic() + self._interval_s
        self._due_step = step + self._interval_steps

    def certain(self, step: int) -> bool:
        """Tell whether a checkpoint is due for a reason that all processes share."""
        return self.requested or step == self.stop_at

    def due(self, step: int) -> bool:
        """Tell whether a checkpoint is due."""
        return (
            time.monotonic() >= self._due_s
            or step >= self._due_step
            or self.requested
            or step == self.stop_at
        )
