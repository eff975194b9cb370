"""Tables from files, by the suffix of their names."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd

from rondel.errors import DataError
from rondel_tabular.data.arrow_file import read_arrow, read_feather, read_parquet
from rondel_tabular.data.csv_file import read_csv
from rondel_tabular.data.frames import checked
from rondel_tabular.data.json_lines_file import read_json_lines

READERS: dict[str, Callable[[Path], pd.DataFrame]] = {
    ".csv": read_csv,
    ".tsv": read_csv,
    ".parquet": read_parquet,
    ".pq": read_parquet,
    ".feather": read_feather,
    ".arrow": read_arrow,
    ".jsonl": read_json_lines,
}
"""Readers by suffix."""


def read_table(path: Path) -> pd.DataFrame:
    """Read a table by the suffix of its name.

    Raises:
        DataError: The file is missing, unreadable, empty, damaged or of an unknown type.
    """
    reader = reader_of(path)
    with refusing_absence(path):
        return checked(reader(path), where=str(path))


def reader_of(path: Path) -> Callable[[Path], pd.DataFrame]:
    """Return what reads files of the type of a path.

    Raises:
        DataError: Nothing does.
    """
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise DataError(
            f"files of type {path.suffix or path.name!r} are not read",
            where=str(path),
            hint=f"Give one of {', '.join(READERS)}.",
        )
    return reader


@contextmanager
def refusing_absence(path: Path) -> Iterator[None]:
    """Say what can be done about a file that cannot be opened, or has nothing in it.

    Raises:
        DataError: It is missing, empty or unreadable.
    """
    try:
        if path.stat().st_size == 0:
            raise DataError(
                "the file is empty", where=str(path), hint="Export it again, with a header line."
            )
        yield
    except FileNotFoundError as error:
        raise DataError(
            "there is no such file", where=str(path), hint=nearby_files(path)
        ) from error
    except OSError as error:
        raise DataError(
            f"cannot be read: {error.strerror or error}",
            where=str(path),
            hint="Check that it is a file, whole, and that you may read it.",
        ) from error


def nearby_files(path: Path) -> str:
    """Name tables that lie where a missing one was looked for."""
    try:
        found = sorted(p.name for p in path.parent.iterdir() if p.suffix.lower() in READERS)
    except OSError:
        return f"There is no folder {str(path.parent)!r} either."
    if not found:
        return "Check the path."
    return f"The folder has {', '.join(found[:5])}{', ...' if len(found) > 5 else ''}."
