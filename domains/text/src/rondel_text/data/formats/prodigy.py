"""Prodigy's JSONL: texts with spans or labels, of which only the accepted ones count."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from rondel.errors import DataError
from rondel_text.data.formats.json_text import (
    JsonObject,
    first_objects,
    names_in,
    objects_of_lines,
    spans_in,
    text_in,
)
from rondel_text.data.formats.jsonl import LINES
from rondel_text.data.formats.source import Source
from rondel_text.data.rows import Rows

_DROPPED = {"reject": "'reject'", "ignore": "'ignore'", None: "no answer"}
_OWN_KEYS = {"_input_hash", "_task_hash", "spans", "accept", "label"}


def recognise(path: Path, head: str) -> bool:
    """Tell whether a file has Prodigy's answers."""
    if path.suffix.lower() not in (*LINES, ".json"):
        return False
    return any(
        {"text", "answer"} <= row.keys() and row.keys() & _OWN_KEYS for row in first_objects(head)
    )


def read(source: Source) -> Rows:
    """Read accepted texts with ``spans``, lists of [start, end, label], or ``labels``, of names.

    Those that were rejected, ignored or not answered are left out, and counted in the notes.

    Raises:
        DataError: A text, span, label or answer is malformed.
    """
    path = source.path
    dropped: Counter[str] = Counter()
    accepted: list[tuple[int, JsonObject]] = []
    for number, row in objects_of_lines(path):
        answer = row.get("answer")
        if answer == "accept":
            accepted.append((number, row))
        elif answer is None or answer in ("reject", "ignore"):
            dropped[_DROPPED[answer]] += 1
        else:
            raise DataError(
                f"the answer {answer!r} is unknown",
                where=f"{path}:{number}",
                hint="Answers are 'accept', 'reject' and 'ignore'.",
            )
    has_spans = any("spans" in row for _, row in accepted)
    return Rows.of_records(
        ((number, _cells(row, has_spans, f"{path}:{number}")) for number, row in accepted),
        file=str(path),
        notes=_notes(dropped, path),
    )


def _notes(dropped: Counter[str], path: Path) -> list[str]:
    if not dropped:
        return []
    counts = ", ".join(f"{count} with {answer}" for answer, count in sorted(dropped.items()))
    return [f"{path}: rows were left out by their answer: {counts}"]


def _cells(row: JsonObject, has_spans: bool, where: str) -> dict[str, Any]:
    cells: dict[str, Any] = {"text": text_in(row, where)}
    if has_spans:  # a text in which nobody marked anything may come without the key
        cells["spans"] = spans_in(row.get("spans") or [], ("start", "end", "label"), where)
    given = row.get("accept", row.get("label"))
    if given is not None:
        cells["labels"] = names_in(given, where)
    return cells
