"""The loop of several targets: one network, a head for each column to predict."""

from __future__ import annotations

from typing import Any

from rondel.errors import ConfigError
from rondel_tabular.loops.ensemble import Ensemble


class MultiHead(Ensemble):
    """Fit one network to several columns at once, classes and numbers (Caruana, 1997).

    A row need not have all of them: a head learns from the rows that have its own, and counts as
    much as the others however few these are, times ``head_weights.NAME``.

    Raises:
        ConfigError: There is one target only, or a weight of none of them.
    """

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        names = [target.name for target in self.dataset.targets]
        if len(names) < 2:
            raise ConfigError(
                f"the loop 'multihead' predicts several columns, and {names[0]!r} is one",
                where="targets",
                hint="Name them: targets=one,other. For one, leave loop out.",
            )
        for name in self.config.head_weights:
            if name not in names:
                raise ConfigError(
                    f"there is no target {name!r}",
                    where=f"head_weights.{name}",
                    hint=f"The targets are {', '.join(names)}.",
                )
