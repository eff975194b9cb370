"""Several updates in one step: every gradient is computed before any parameter moves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from rondel.accumulation import LossFunction, differentiate
from rondel.errors import StateError
from rondel.update import Update, search_alone


class Joint:
    """Several updates whose gradients are computed before any of them steps.

    The loss function returns one loss per update, in their order. They may share a graph, but no
    parameter: its gradient could not be told apart.

    Raises:
        StateError: Two updates own the same parameter, or one of them searches along a line.
    """

    def __init__(self, updates: Sequence[Update]) -> None:
        self.updates = updates
        owned = [id(parameter) for update in updates for parameter in update.owned]
        if len(owned) > len(set(owned)):
            raise StateError(
                "two of the updates own the same parameter",
                where=" + ".join(f"'{update.name}'" for update in updates),
                hint="Let one update own it, or call the updates one after the other.",
            )
        for update in updates:
            if update.searches:
                raise search_alone(update.name)

    def __call__(self, loss_function: LossFunction, *inputs: Any) -> tuple[Tensor, ...]:
        """Compute every gradient, then step every update; return the detached mean losses.

        Raises:
            LossError: The function returned something else than one loss per update.
        """
        if self.updates[0].engine.replaying:
            return tuple(update.last for update in self.updates)
        accumulations = [update.accumulation for update in self.updates]
        differentiate(accumulations, loss_function, inputs)
        return tuple(update.finish(inputs) for update in self.updates)
