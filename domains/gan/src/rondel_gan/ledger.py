"""What a game has to remember between two batches: moves, and what was noted since it last looked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from rondel.errors import StateError


class Ledger:
    """The books of a game; part of every checkpoint.

    Args:
        plan: Who moves when, as it is written.
    """

    def __init__(self, plan: str) -> None:
        self.plan = plan
        self.moves: Counter[str] = Counter()
        """Moves of each player, by its letter."""
        self._notes: dict[str, list[Tensor]] = {}

    def add(self, name: str, value: Tensor) -> None:
        """Keep a number, still on its device."""
        self._notes.setdefault(name, []).append(value.detach())

    def drain(self) -> dict[str, float]:
        """Return the mean of each number since the last call, and start anew."""
        means = {name: sum(map(float, kept)) / len(kept) for name, kept in self._notes.items()}
        self._notes = {}
        return means

    def state_dict(self) -> dict[str, Any]:
        """Return plan, moves and numbers."""
        notes = {name: list(kept) for name, kept in self._notes.items()}
        return {"plan": self.plan, "moves": dict(self.moves), "notes": notes}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Put everything back.

        Raises:
            StateError: The turns are not those of the checkpoint.
        """
        if state["plan"] != self.plan:
            raise StateError(
                f"the turns are {self.plan!r}, those of the checkpoint {state['plan']!r}",
                where="turns",
                hint="Resume with the turns of the run, or start a new one.",
            )
        self.moves = Counter(state["moves"])
        self._notes = {name: list(kept) for name, kept in state["notes"].items()}
