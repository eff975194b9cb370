"""doccano's JSONL: texts with labels of the whole, or with labelled spans.

Exports differ by kind of project and version: ``label`` or ``labels`` holds names or
``[start, end, name]``; ``entities`` holds objects, with ``cats`` for the whole text beside them.
"""

from __future__ import annotations

from collections.abc import Iterable
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

_GIVEN = ("entities", "label", "labels")
_DROPPED = {*_GIVEN, "cats", "relations", "Comments"}
_MEANING = {"spans": "spans", "labels": "labels of the whole text"}


def recognise(path: Path, head: str) -> bool:
    """Tell whether a file has spans as doccano writes them, or its comments.

    Labels of whole texts alone look like any other JSONL, and are read the same way there.
    """
    if path.suffix.lower() not in (*LINES, ".json"):
        return False
    return any("text" in row and _is_doccano(row) for row in first_objects(head))


def read(source: Source) -> Rows:
    """Read texts with ``spans``, lists of [start, end, label], or with ``labels``, lists of names.

    Raises:
        DataError: A text or label is malformed, or lines differ in what they label.
    """
    path = source.path
    rows = list(objects_of_lines(path))
    kind = _kind_of_file(rows, path)
    related = sum(bool(row.get("relations")) for _, row in rows)
    return Rows.of_records(
        ((number, _cells(row, kind, f"{path}:{number}")) for number, row in rows),
        file=str(path),
        notes=[f"{path}: relations between spans are not read: {related} rows"] if related else (),
    )


def _is_doccano(row: JsonObject) -> bool:
    given = _given(row)
    if not isinstance(given, list):
        return False
    if not given:
        return "Comments" in row
    first = given[0]
    if isinstance(first, dict):
        return "start_offset" in first
    return "Comments" in row or (
        isinstance(first, list) and [type(part) for part in first] == [int, int, str]
    )


def _given(row: JsonObject) -> Any:
    return next((row[key] for key in _GIVEN if key in row), None)


def _kind(given: object) -> str:
    """Return what is labelled, or "" if that is open."""
    if given is None or given == []:
        return ""
    first = given[0] if isinstance(given, list) else given
    return "spans" if isinstance(first, list | dict) else "labels"


def _kind_of_file(rows: Iterable[tuple[int, JsonObject]], path: Path) -> str:
    """Return what all lines label, which decides what an empty list means."""
    kind, line = "", 0
    for number, row in rows:
        found = "spans" if "entities" in row else _kind(_given(row))
        if kind and found and found != kind:
            raise DataError(
                f"has {_MEANING[found]}, line {line} has {_MEANING[kind]}",
                where=f"{path}:{number}",
                hint="Export the two projects to files of their own.",
            )
        if found and not kind:
            kind, line = found, number
    return kind or "labels"


def _cells(row: JsonObject, kind: str, where: str) -> dict[str, Any]:
    cells = {name: value for name, value in row.items() if name not in _DROPPED}
    cells["text"] = text_in(row, where)
    given = _given(row)
    if "cats" in row:
        cells["labels"] = names_in(row["cats"], where)
    if given is None:
        cells[kind] = None
    elif kind == "spans":
        cells[kind] = spans_in(given, ("start_offset", "end_offset", "label"), where)
    else:
        cells[kind] = names_in(given, where)
    return cells
