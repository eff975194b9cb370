"""Show where a run stands: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rondel.callback import Callback

if TYPE_CHECKING:
    from rondel.run import Run
    from rondel.update import Update


class Progress(Callback):
    """Redraw by time, never by step; nothing is read from the device in between.

    On a terminal a bar is redrawn ``per_second`` times a second. Elsewhere there is one full line
    per epoch, or every half minute, without carriage returns.

    Args:
        per_second: Redraws of the bar.
        quiet_s: Longest silence where there is no terminal.
        terminal: Draw a bar; by default if stderr is a terminal.
    """

    name = "progress"

    def __init__(
        self,
        *,
        epochs: int | None = None,
        per_second: float = 8.0,
        quiet_s: float = 30.0,
        terminal: bool | None = None,
    ) -> None:
        self.epochs = epochs
        self.terminal = sys.stderr.isatty() if terminal is None else terminal
        self._interval = 1.0 / per_second if self.terminal else quiet_s
        self._next = 0.0
        self._updates = 0
        self._bar: Any = None
        self._task: Any = None
        self._row: dict[str, float] = {}

    def run_started(self, run: Run) -> None:
        """Open the bar."""
        self._start = self._next = time.monotonic()
        self._next += self._interval
        if self.terminal and run.processes.writes:
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

            console = Console(stderr=True)
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(bar_width=24),
                TimeElapsedColumn(),
                TextColumn("{task.fields[numbers]}"),
                console=console,
                auto_refresh=False,
            )
            self._task = self._bar.add_task("starting", total=None, numbers="")
            self._bar.start()
            run.print_with(console.print)

    def update_finished(self, run: Run, update: Update) -> None:  # noqa: ARG002
        """Count, and redraw when it is time."""
        self._updates += 1
        if time.monotonic() >= self._next:
            self._draw(run)

    def logged(self, run: Run, row: Mapping[str, Any]) -> None:  # noqa: ARG002
        """Keep the latest values to show."""
        if row["event"] == "update":
            self._row[f"{row['name']} loss"] = row["values"].get("loss", float("nan"))
        elif row["event"] == "evaluation":
            self._row.update(list(row["values"].items())[:3])

    def epoch_finished(self, run: Run, epoch: int) -> None:  # noqa: ARG002
        """Show a finished epoch where there is no bar, one in five seconds at most."""
        if not self.terminal and time.monotonic() - self._start >= 5.0:
            self._start = time.monotonic()
            self._draw(run)

    def run_finished(self, run: Run, outcome: str) -> None:
        """Close the bar and say how it ended."""
        if self._bar is not None:
            self._draw(run)
            self._bar.stop()
            run.print_with(None)
        elif run.processes.writes:
            self._draw(run, outcome)

    def _draw(self, run: Run, outcome: str = "") -> None:
        self._next = time.monotonic() + self._interval
        if not run.processes.writes:
            return
        numbers = "  ".join(f"{name} {value:.4g}" for name, value in self._row.items())
        place = self._place(run)
        if self._bar is None:
            done = f"{outcome}: " if outcome else ""
            run.say(f"{done}{place}  {self._updates} updates  {numbers}")
            return
        total = self.epochs
        completed = 0 if run.epoch is None else run.epoch
        self._bar.update(
            self._task, description=place, total=total, completed=completed, numbers=numbers
        )
        self._bar.refresh()

    def _place(self, run: Run) -> str:
        parts = [run.phase] if run.phase else []
        if run.epoch is not None:
            total = f"/{self.epochs}" if self.epochs else ""
            parts.append(f"epoch {run.epoch + 1}{total}")
        return " ".join(parts) or f"step {run.step}"
