"""Tables in JSON Lines files: one object a line, its names are the columns."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NoReturn

import pandas as pd

from rondel.errors import DataError
from rondel_tabular.data.frames import DATA_ROW, named_rows


def read_json_lines(path: Path) -> pd.DataFrame:
    """Read a JSON Lines file; what an object lacks is missing.

    Raises:
        DataError: A line is no object, or has a name twice.
    """
    columns: dict[str, list[Any]] = {}
    rows = number = 0
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            for name, cell in cells_of(line, f"{path}, line {number}").items():
                known = columns.setdefault(name, [])
                known.extend([None] * (rows - len(known)))
                known.append(cell)
            rows += 1
    for known in columns.values():
        known.extend([None] * (rows - len(known)))
    frame = pd.DataFrame(columns, index=range(rows))
    return named_rows(frame, name="line" if rows == number else DATA_ROW)


def cells_of(line: bytes, where: str) -> dict[str, Any]:
    """Return the cells of a row by the names of their columns."""
    try:
        found = json.loads(line, object_pairs_hook=lambda pairs: _named(pairs, where))
    except UnicodeDecodeError as error:
        _refuse(f"is not UTF-8 text (byte 0x{error.object[error.start]:02x})", where, error)
    except ValueError as error:
        _refuse(f"is no JSON: {error}", where, error)
    if not isinstance(found, dict):
        _refuse(f"is no object but {type(found).__name__}", where)
    return found


def _named(pairs: list[tuple[str, Any]], where: str) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twin = next(name for name in names if names.count(name) > 1)
        _refuse(f"the name {twin!r} occurs twice", where)
    return found


def _refuse(what: str, where: str, error: Exception | None = None) -> NoReturn:
    raise DataError(
        what, where=where, hint='Write one object a line, like {"age": 31, "city": "Rome"}.'
    ) from error
