"""The named events of a run. A callback overrides the methods it needs; only those are called.

A callback watches by default: if it fails, it is switched off after a warning and the run goes
on. One that takes part in the loop (it stops the run, it marks the best) sets ``essential``, and
its failure ends the run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from pathlib import Path

    from rondel.run import Run
    from rondel.update import Update


class Callback:
    """The contract between a run and those who watch it, one line per event.

    A callback whose decisions must survive a resume also has ``state_dict`` and
    ``load_state_dict``.
    """

    name: ClassVar[str] = ""
    essential: ClassVar[bool] = False

    def run_started(self, run: Run) -> None:
        """The run is open; a resumed one has its state found, not yet loaded."""

    def phase_started(self, run: Run, phase: str) -> None:
        """A phase begins."""

    def epoch_started(self, run: Run, epoch: int) -> None:
        """An epoch begins."""

    def update_finished(self, run: Run, update: Update) -> None:
        """An update has stepped; ``update.last`` is its loss, still on the device."""

    def epoch_finished(self, run: Run, epoch: int) -> None:
        """An epoch is over."""

    def logged(self, run: Run, row: Mapping[str, Any]) -> None:
        """A row was written to metrics.jsonl."""

    def evaluated(self, run: Run, name: str, values: Mapping[str, float]) -> None:
        """An evaluation is over; a safe point follows."""

    def checkpoint_saved(self, run: Run, path: Path) -> None:
        """A checkpoint is complete on disk."""

    def run_finished(self, run: Run, outcome: str) -> None:
        """The run ends: 'done', 'interrupted', 'diverged' or 'failed'."""


EVENTS = tuple(name for name in vars(Callback) if name[0] != "_" and callable(vars(Callback)[name]))


def listeners(callbacks: Iterable[Callback], event: str) -> tuple[Callback, ...]:
    """Return the callbacks that override an event, in their order."""
    blank = getattr(Callback, event)
    return tuple(c for c in callbacks if getattr(type(c), event) is not blank)
