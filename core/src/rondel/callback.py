"""The named events of a run. A callback overrides the methods it needs; only those are called.

A callback watches by default: if it fails, it is switched off after a warning and the run goes
on. One that takes part in the loop (it stops the run, it marks the best) sets ``essential``, and
its failure ends the run.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from rondel.errors import Interrupted

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


class Listeners:
    """The callbacks of a run, by event; a loop calls them directly, in their order.

    Args:
        callbacks: In the order in which they are called.
        run: What they are told about.
    """

    def __init__(self, callbacks: list[Callback], run: Run) -> None:
        self._callbacks = callbacks
        self._run = run
        self.listen()

    def listen(self) -> None:
        """Find out who overrides which event; an event without listeners costs an empty loop."""
        blank = {event: getattr(Callback, event) for event in EVENTS}
        self._by_event = {
            event: tuple(c for c in self._callbacks if getattr(type(c), event) is not blank[event])
            for event in EVENTS
        }
        self.on_update = self._by_event["update_finished"]

    def fire(self, event: str, *details: Any) -> None:
        """Tell everyone who listens to an event."""
        for callback in self._by_event[event]:
            self.call(callback, event, *details)

    def call(self, callback: Callback, event: str, *details: Any) -> None:
        """Tell one callback; one that only watches is switched off if it fails."""
        try:
            getattr(callback, event)(self._run, *details)
        except Exception as error:
            if callback.essential or isinstance(error, Interrupted):
                raise
            # whatever an observer does wrong must not end a long run
            self._callbacks.remove(callback)
            self.listen()
            self._run.say(
                f"Callback '{callback_name(callback)}' failed in {event} and is switched off: "
                f"{type(error).__name__}: {error}"
            )


def callback_name(callback: Callback) -> str:
    """Return the name of a callback in checkpoints and messages."""
    return callback.name or type(callback).__name__
