"""The names of classes and tags, and the numbers that a model knows them by."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

from rondel.errors import DataError
from rondel_text.data.faults import Fault


@dataclass(frozen=True)
class Labels:
    """Names in the order of their numbers."""

    names: tuple[str, ...]

    @classmethod
    def found(cls, names: Iterable[str]) -> Labels:
        """Return the distinct names, sorted; numbers sort by their value."""
        return cls(tuple(sorted(set(names), key=by_value)))

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.names)

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {name: number for number, name in enumerate(self.names)}

    def number(self, name: str, where: str) -> int:
        """Return the number of a name.

        Raises:
            DataError: It is not among them; the nearest one is named.
        """
        number = self._numbers.get(name)
        if number is None:
            raise DataError(f"the label {name!r} is unknown", where=where, hint=self._nearest(name))
        return number

    def strangers(self, column: str, rows: Iterable[Iterable[str]]) -> Iterator[Fault]:
        """Yield the rows with a name that is not among these; of each row the first one."""
        for row, names in enumerate(rows):
            for name in names:
                if name not in self._numbers:
                    what = f"the label {name!r} was never learnt. {self._nearest(name)}"
                    yield Fault(row, column, what)
                    break

    def _nearest(self, name: str) -> str:
        close = difflib.get_close_matches(name, self.names, n=1)
        if close:
            return f"Did you mean {close[0]!r}?"
        few = ", ".join(map(repr, self.names[:10]))
        return f"Known are {few}{', ...' if len(self.names) > 10 else ''}."


def by_value(name: str) -> tuple[bool, float, str]:
    """Order names: numbers first, by their value, then words."""
    try:
        number = float(name)
    except ValueError:
        return True, 0.0, name
    if math.isnan(number):  # neither less nor more than any other
        return True, 0.0, name
    return False, number, name
