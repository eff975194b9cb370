"""The rows of a run: of updates, of values that the loop logs, of events."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from torch import Tensor

from rondel.log import Value, Window
from rondel.update import Update


class Diary:
    """Writes rows: of updates, of values that the loop logs, of events.

    Args:
        length: Values per row.
        write: Takes event, name and content of a row.
    """

    def __init__(self, length: int, write: Callable[[str, str, Mapping[str, Any]], None]) -> None:
        self._notes = Window(length)
        self._write = write

    def row(self, event: str, name: str, **content: Any) -> None:
        """Write a row."""
        self._write(event, name, content)

    def note(self, values: Mapping[str, Value]) -> None:
        """Keep values of the loop; a full window becomes a row."""
        for name, value in values.items():
            self._notes.add(name, value.detach() if isinstance(value, Tensor) else value)
        if any(self._notes.full(name) for name in values):
            self._write_notes()

    def write(self, update: Update) -> None:
        """Write what an update did since its last row."""
        values = update.window.drain()
        if values:
            values["lr"] = update.learning_rate
            self.row("update", update.name, updates=update.updates, values=values)

    def flush(self, updates: Iterable[Update]) -> None:
        """Write every open window."""
        for update in updates:
            self.write(update)
        self._write_notes()

    def _write_notes(self) -> None:
        values = self._notes.drain()
        if values:
            self.row("log", "log", values=values)

    def state_dict(self) -> dict[str, Any]:
        """Return the open window of the loop's own values."""
        return self._notes.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Put it back."""
        self._notes.load_state_dict(state)
