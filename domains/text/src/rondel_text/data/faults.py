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
    lines = list(told(rows, found))
    bad = {fault.row for fault in found}
    if policy == "stop":
        raise DataError(
            "\n".join([f"{len(bad)} of {len(rows)} rows cannot be learnt from:", *lines]),
            hint="Repair them, or leave them out by bad_rows=drop.",
        )
    kept = [row for row in range(len(rows)) if row not in bad]
    if not kept:
        raise DataError("no row is left to learn from:\n" + "\n".join(lines))
    return rows.take(kept), [f"{len(bad)} rows were dropped:", *lines]


def told(rows: Rows, faults: list[Fault]) -> Iterator[str]:
    """Yield a line for each of the first faults."""
    for fault in faults[:NAMED]:
        yield f"  {rows.where(fault.row)}, column {fault.column!r}: {fault.what}"
    if len(faults) > NAMED:
        yield f"  and {len(faults) - NAMED} more"


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
