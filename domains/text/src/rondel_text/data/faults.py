"""Rows that nothing can be learnt from: named, and dropped if asked to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

from rondel.errors import DataError
from rondel_text.data.rows import Rows

Policy = Literal["stop", "drop"]
NAMED = 5
BROKEN = "half of a character stands in it (a lone surrogate)"


class Fault(NamedTuple):
    """What is wrong with a row, and in which column."""

    row: int
    column: str
    what: str


def sound(rows: Rows, faults: Iterable[Fault], policy: Policy) -> tuple[Rows, list[str]]:
    """Return the rows without the faulty ones, and a note on what was dropped.

    Raises:
        DataError: There are some, and the policy is to stop; or no row is left.
    """
    found = list(faults)
    if not found:
        return rows, []
    tally = Tally()
    kept = tally.kept(rows, found)
    return kept, tally.notes(policy)


class Tally:
    """The faults of rows that are looked at piece by piece; only the first ones are kept."""

    def __init__(self) -> None:
        self.rows = self.bad = self._faults = 0
        self._lines: list[str] = []

    def kept(self, rows: Rows, faults: Iterable[Fault]) -> Rows:
        """Count some rows with their faults, and return those without any."""
        found = list(faults)
        bad = {fault.row for fault in found}
        self.rows += len(rows)
        self.bad += len(bad)
        self._faults += len(found)
        self._lines += [line_of(rows, fault) for fault in found[: NAMED - len(self._lines)]]
        return rows.take([row for row in range(len(rows)) if row not in bad]) if bad else rows

    def notes(self, policy: Policy) -> list[str]:
        """Return a note on what was dropped.

        Raises:
            DataError: There are faults, and the policy is to stop; or no row is left.
        """
        if not self.bad:
            return []
        lines = [*self._lines, *more_than_named(self._faults)]
        if policy == "stop":
            raise DataError(
                "\n".join([f"{self.bad} of {self.rows} rows cannot be learnt from:", *lines]),
                hint="Repair them, or leave them out by bad_rows=drop.",
            )
        if self.bad == self.rows:
            raise DataError("no row is left to learn from:\n" + "\n".join(lines))
        return [f"{self.bad} rows were dropped:", *lines]


def told(rows: Rows, faults: list[Fault]) -> Iterator[str]:
    """Yield a line for each of the first faults."""
    yield from (line_of(rows, fault) for fault in faults[:NAMED])
    yield from more_than_named(len(faults))


def line_of(rows: Rows, fault: Fault) -> str:
    """Say where a fault is."""
    return f"  {rows.where(fault.row)}, column {fault.column!r}: {fault.what}"


def more_than_named(count: int) -> Iterator[str]:
    """Yield a line that says how many faults were not named, if there are such."""
    if count > NAMED:
        yield f"  and {count - NAMED} more"


def empty_texts(column: str, texts: Iterable[object]) -> Iterator[Fault]:
    """Yield the rows whose text is missing, empty, no text, or broken."""
    for row, text in enumerate(texts):
        if text is None or (isinstance(text, str) and not text.strip()):
            yield Fault(row, column, "the text is empty")
        elif not isinstance(text, str):
            yield Fault(row, column, f"{text!r} is no text")
        elif not is_whole(text):
            yield Fault(row, column, BROKEN)


def is_whole(text: str) -> bool:
    """Tell whether no half of a character stands in a text: JSON may hold one, UTF-8 cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
