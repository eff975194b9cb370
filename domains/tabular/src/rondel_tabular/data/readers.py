"""Tables from files: CSV, TSV and parquet, each refused with a reason where it is damaged."""

from __future__ import annotations

import csv
import warnings
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NoReturn

import pandas as pd

from rondel.errors import DataError

DELIMITERS = ",;\t|"
NOT_THERE = ("?",)
"""Cells that mean 'missing' beside the empty ones and those that pandas knows (NA, null ...)."""


def read_table(path: Path) -> pd.DataFrame:
    """Read a table by the suffix of its name.

    Raises:
        DataError: The file is missing, unreadable, empty, damaged or of an unknown type.
    """
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise DataError(
            f"files of type {path.suffix or path.name!r} are not read",
            where=str(path),
            hint=f"Give one of {', '.join(READERS)}.",
        )
    try:
        if path.stat().st_size == 0:
            raise DataError(
                "the file is empty", where=str(path), hint="Export it again, with a header line."
            )
        return checked(reader(path), where=str(path))
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


def checked(frame: pd.DataFrame, *, where: str) -> pd.DataFrame:
    """Return a table with text for column names and a plain index, after checking both.

    Raises:
        DataError: It has no columns or no rows, or a column name twice.
    """
    frame = frame.set_axis([str(name) for name in frame.columns], axis=1)
    refuse_twins(frame.columns, where=where)
    if not len(frame.columns) or not len(frame):
        lacks = "rows below its header" if len(frame.columns) else "columns"
        raise DataError(
            f"the table has no {lacks}", where=where, hint="Look at how it was exported."
        )
    return frame.reset_index(drop=True)


def refuse_twins(names: Iterable[str], *, where: str) -> None:
    """Refuse a column name that occurs twice.

    Raises:
        DataError: One does.
    """
    twins = [name for name, count in Counter(names).items() if count > 1 and name]
    if twins:
        raise DataError(
            f"{len(twins)} column names occur twice, the first is {twins[0]!r}"
            if len(twins) > 1
            else f"the column name {twins[0]!r} occurs twice",
            where=where,
            hint="Give every column a name of its own.",
        )


def nearby_files(path: Path) -> str:
    """Name tables that lie where a missing one was looked for."""
    try:
        found = sorted(p.name for p in path.parent.iterdir() if p.suffix.lower() in READERS)
    except OSError:
        return f"There is no folder {str(path.parent)!r} either."
    if not found:
        return "Check the path."
    return f"The folder has {', '.join(found[:5])}{', ...' if len(found) > 5 else ''}."


def read_csv(path: Path) -> pd.DataFrame:
    """Read a UTF-8 text file with a header line, its cells separated by , ; | or tab."""
    try:
        header, delimiter = read_header(path)
        refuse_twins(header, where=str(path))
        with warnings.catch_warnings():
            # pandas only warns, and drops cells, if every row has more of them than the header
            warnings.simplefilter("error", pd.errors.ParserWarning)
            return pd.read_csv(
                path,
                sep=delimiter,
                encoding="utf-8-sig",
                index_col=False,
                low_memory=False,
                na_values=list(NOT_THERE),
                skipinitialspace=True,
            )
    except UnicodeDecodeError as error:
        refuse_encoding(path, error)
    except pd.errors.ParserWarning as error:
        raise DataError(
            f"the rows have more cells than the {len(header)} of the header",
            where=f"{path}, line 2",
            hint="Name every column in the first line, or quote cells that hold the delimiter.",
        ) from error
    except (pd.errors.ParserError, pd.errors.EmptyDataError, csv.Error) as error:
        refuse_rows(path, error)


def read_header(path: Path) -> tuple[list[str], str]:
    """Return the cells of the first line and the delimiter that gives the most of them."""
    with path.open(encoding="utf-8-sig", newline="") as lines:
        first = next((line for line in lines if line.strip()), "")
    splits = {mark: next(csv.reader([first], delimiter=mark), []) for mark in DELIMITERS}
    delimiter = max(splits, key=lambda mark: len(splits[mark]))
    return [cell.strip() for cell in splits[delimiter]], delimiter


def refuse_encoding(path: Path, error: UnicodeDecodeError) -> NoReturn:
    """Say in which line a file stops being UTF-8."""
    number = 1
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):  # noqa: B007 - the number is the result
            if "\N{REPLACEMENT CHARACTER}" in line.decode("utf-8", "replace"):
                break
    byte = error.object[error.start]
    raise DataError(
        f"is not UTF-8 text (byte 0x{byte:02x})",
        where=f"{path}, line {number}",
        hint="Save it as UTF-8, or as parquet.",
    ) from error


def refuse_rows(path: Path, error: Exception) -> NoReturn:
    """Say which row of a text file cannot be split into cells."""
    reason = str(error).strip().removeprefix("Error tokenizing data. C error: ")
    raise DataError(
        f"cannot be split into rows and cells: {reason}",
        where=str(path),
        hint="A row has more cells than the header, or a quote is not closed.",
    ) from error


def read_parquet(path: Path) -> pd.DataFrame:
    """Read a parquet file."""
    import pyarrow

    try:
        return pd.read_parquet(path)
    except (pyarrow.ArrowException, ValueError) as error:
        raise DataError(
            f"is no parquet file: {str(error).splitlines()[0]}",
            where=str(path),
            hint="Write it again, or check that the copy is complete.",
        ) from error


READERS: dict[str, Callable[[Path], pd.DataFrame]] = {
    ".csv": read_csv,
    ".tsv": read_csv,
    ".parquet": read_parquet,
    ".pq": read_parquet,
}
"""Readers by suffix."""
