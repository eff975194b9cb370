"""Stop a run whose metric no longer gets better."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rondel.callback import Callback
from rondel.callbacks.best import better, watched
from rondel.loop import Watch

if TYPE_CHECKING:
    from rondel.run import Run


class EarlyStopping(Callback):
    """Stop after ``patience`` evaluations in a row without a better value.

    Args:
        watch: The metric and its direction.
        patience: How many evaluations to wait.
        evaluation: The evaluation that counts.
    """

    name = "early_stopping"
    essential = True

    def __init__(self, watch: Watch, patience: int, *, evaluation: str = "evaluation") -> None:
        self.watch = watch
        self.patience = patience
        self.evaluation = evaluation
        self.best: float | None = None
        self.waited = 0

    def evaluated(self, run: Run, name: str, values: Mapping[str, float]) -> None:
        """Count evaluations without progress."""
        if name != self.evaluation:
            return
        value = watched(values, self.watch, name)
        if better(value, self.best, self.watch.mode):
            self.best, self.waited = value, 0
            return
        self.waited += 1
        if self.waited >= self.patience:
            run.stop(f"no better {self.watch.metric} for {self.waited} evaluations")

    def state_dict(self) -> dict[str, Any]:
        """Return the best value and how long it was not beaten."""
        return {"best": self.best, "waited": self.waited}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Put both back."""
        self.best, self.waited = state["best"], state["waited"]
