"""Reads a CSV file of numeric columns."""

import csv
from dataclasses import dataclass
from pathlib import Path

from rondel.errors import DataError


@dataclass(frozen=True)
class Table:
    """The columns that predict, and the one that is predicted."""

    features: tuple[str, ...]
    rows: list[list[float]]
    target: str
    answers: list[float]


def read_table(path: Path, *, target: str | None = None) -> Table:
    """Read a CSV file with a header line; every cell is a number.

    Raises:
        DataError: The file is missing, has no such column, or a cell is no number.
    """
    if not path.is_file():
        raise DataError("there is no such file", where=str(path), hint="Check the path.")
    with path.open(newline="", encoding="utf-8-sig") as file:
        header, *lines = [*csv.reader(file)] or [[""]]
        numbers = [_numbers(line, header, f"{path}:{n}") for n, line in enumerate(lines, start=2)]
    name = target if target is not None else header[-1]
    if name not in header:
        raise DataError(f"no column {name!r}", where=str(path), hint=f"There are {header}.")
    column = header.index(name)
    return Table(
        features=tuple(header[:column] + header[column + 1 :]),
        rows=[row[:column] + row[column + 1 :] for row in numbers],
        target=name,
        answers=[row[column] for row in numbers],
    )


def _numbers(line: list[str], header: list[str], where: str) -> list[float]:
    if len(line) != len(header):
        raise DataError(f"{len(line)} cells, but the header has {len(header)}", where=where)
    try:
        return [float(cell) for cell in line]
    except ValueError as error:
        raise DataError(str(error), where=where, hint="Every cell must be a number.") from error
