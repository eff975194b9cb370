"""Remember which state was the best: a pointer to a checkpoint, never a second copy."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rondel.callback import Callback
from rondel.errors import UsageError
from rondel.loop import Watch
from rondel.record import read_best, write_json

if TYPE_CHECKING:
    from rondel.run import Run


def better(value: float, than: float | None, mode: str) -> bool:
    """Tell whether a value is better; NaN never is."""
    if math.isnan(value):
        return False
    return than is None or (value < than if mode == "min" else value > than)


def watched(values: Mapping[str, float], watch: Watch, name: str) -> float:
    """Return the watched metric.

    Raises:
        UsageError: The evaluation has no such metric.
    """
    if watch.metric not in values:
        raise UsageError(
            f"the metric {watch.metric!r} is watched, but {name} gave {', '.join(values)}",
            hint="Watch one of those.",
        )
    return values[watch.metric]


class Best(Callback):
    """Keep the checkpoint of the evaluation with the best metric, and a pointer to it.

    Args:
        watch: The metric and its direction.
        name: The evaluation that counts.
    """

    name = "best"
    essential = True

    def __init__(self, watch: Watch, *, evaluation: str = "evaluation") -> None:
        self.watch = watch
        self.evaluation = evaluation
        self.value: float | None = None
        self.step: int | None = None
        self.values: dict[str, float] | None = None

    def run_started(self, run: Run) -> None:
        """Tell a resumed run what the best was."""
        run.best = self.values

    def evaluated(self, run: Run, name: str, values: Mapping[str, float]) -> None:
        """Take note of a better value; its checkpoint is written at the safe point that follows."""
        if name != self.evaluation:
            return
        value = watched(values, self.watch, name)
        if better(value, self.value, self.watch.mode):
            self.value, self.step = value, run.step + 1
            self.values = run.best = dict(values)
            run.protected = {self.step}
            run.request_checkpoint()

    def checkpoint_saved(self, run: Run, path: Path) -> None:
        """Point to the best checkpoint."""
        pointer = {
            "step": self.step,
            "metric": self.watch.metric,
            "value": self.value,
            "mode": self.watch.mode,
        }
        if self.step is not None and run.processes.writes and read_best(path.parent) != pointer:
            write_json(path.parent / "best.json", pointer)

    def state_dict(self) -> dict[str, Any]:
        """Return the best value, the step it was reached at, and the whole evaluation."""
        return {"value": self.value, "step": self.step, "values": self.values}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Put them back."""
        self.value, self.step, self.values = state["value"], state["step"], state["values"]
