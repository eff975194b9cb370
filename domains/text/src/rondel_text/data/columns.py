"""Which columns of a table a task reads, and what their cells say."""

from __future__ import annotations

import difflib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rondel.errors import DataError
from rondel_text.data.rows import Rows


@dataclass(frozen=True)
class Columns:
    """The names of the columns that a task reads."""

    text: str = "text"
    pair: str | None = None
    label: str = "label"

    def to_facts(self) -> dict[str, Any]:
        """Return the names as plain values."""
        return {"text": self.text, "pair": self.pair, "label": self.label}


def cells(rows: Rows, name: str, key: str) -> Sequence[Any]:
    """Return a column.

    Args:
        rows: The table.
        name: Of the column.
        key: The config key that names it, for the message.

    Raises:
        DataError: There is none of that name; the nearest one is named.
    """
    found = rows.columns.get(name)
    if found is not None:
        return found
    there = list(rows.columns)
    close = difflib.get_close_matches(name, there, n=1)
    meant = f"Did you mean {key}={close[0]}?" if close else f"Say which is meant: {key}=..."
    raise DataError(
        f"there is no column {name!r}; there are {', '.join(map(repr, there[:20]))}",
        where=rows.files[0] if rows.files else "",
        hint=meant,
    )


def name_of(cell: Any) -> str | None:
    """Return what a cell says as the name of a class: 1.0 and 1 are the same, nothing is None."""
    if cell is None or (isinstance(cell, str) and not cell.strip()):
        return None
    if isinstance(cell, bool):
        return str(cell).lower()
    if isinstance(cell, float):
        if math.isnan(cell):
            return None
        return str(int(cell)) if cell.is_integer() else str(cell)
    return str(cell)


def names_in(cell: Any) -> list[str]:
    """Return the names in a cell: a list, or a text in which ``|``, ``;`` or ``,`` stands between."""
    if isinstance(cell, str):
        mark = next((mark for mark in "|;," if mark in cell), None)
        cell = cell.split(mark) if mark else [cell]
    parts = cell if isinstance(cell, list | tuple) else [cell]
    found = [name_of(part.strip() if isinstance(part, str) else part) for part in parts]
    return [name for name in found if name is not None]


def number_of(cell: Any) -> float | None:
    """Return what a cell says as a finite number, or None."""
    try:
        number = float(cell)
    except (TypeError, ValueError):
        return None
    return number if abs(number) < float("inf") else None
