"""Tables in CSV and TSV files, each refused with a reason and a line where it is damaged."""

from __future__ import annotations

import csv
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any, NoReturn

import pandas as pd

from rondel.errors import DataError
from rondel_tabular.data.cells import NOT_THERE
from rondel_tabular.data.frames import DATA_ROW, named_rows, refuse_twins

DELIMITERS = ",;\t|"
BLOCK_BYTES = 1 << 20


def read_csv(path: Path) -> pd.DataFrame:
    """Read a UTF-8 text file with a header line, its cells separated by , ; | or tab."""
    with refusing_damage(path):
        frame: pd.DataFrame = pd.read_csv(path, low_memory=False, **how_to_read(path))
    # one line a row, unless a cell goes over several lines or a line is blank
    whole = lines_of(path) == len(frame) + 1
    return named_rows(frame, first=2, name="line") if whole else named_rows(frame)


def csv_columns(path: Path) -> list[str]:
    """Return the names of the columns of such a file."""
    with refusing_damage(path):
        return [str(name) for name in pd.read_csv(path, nrows=0, **how_to_read(path)).columns]


def csv_chunks(
    path: Path, rows: int, *, columns: Sequence[str] | None = None, texts: Sequence[str] = ()
) -> Iterator[pd.DataFrame]:
    """Read such a file some rows at a time.

    Args:
        path: The file.
        rows: How many at a time.
        columns: Those that are wanted; all by default.
        texts: Those whose cells are text, whatever they look like.
    """
    with refusing_damage(path):
        chunks = pd.read_csv(
            path,
            chunksize=rows,
            low_memory=False,
            usecols=None if columns is None else list(columns),
            dtype=dict.fromkeys(texts, "str"),
            **how_to_read(path),
        )
    with chunks:
        first = 1
        while True:
            with refusing_damage(path):
                chunk = next(chunks, None)
            if chunk is None:
                return
            yield named_rows(chunk, first=first, name=DATA_ROW)
            first += len(chunk)


def how_to_read(path: Path) -> dict[str, Any]:
    """Return what pandas must be told of a file, after a look at its header."""
    header, delimiter = read_header(path)
    refuse_twins(header, where=str(path))
    return {
        "sep": delimiter,
        "header": 0,
        "names": [name or f"Unnamed: {place}" for place, name in enumerate(header)],
        "encoding": "utf-8-sig",
        "index_col": False,
        "na_values": list(NOT_THERE),
        "skipinitialspace": True,
    }


def read_header(path: Path) -> tuple[list[str], str]:
    """Return the cells of the first line and the delimiter that gives the most of them."""
    with path.open(encoding="utf-8-sig", newline="") as lines:
        first = next((line for line in lines if line.strip()), "")
        sizes = {
            mark: len(next(csv.reader([first], delimiter=mark, skipinitialspace=True), []))
            for mark in DELIMITERS
        }
        delimiter = max(sizes, key=lambda mark: sizes[mark])
        # a name may go over several lines
        header = next(
            csv.reader(chain([first], lines), delimiter=delimiter, skipinitialspace=True), []
        )
    return [" ".join(cell.split()) for cell in header], delimiter


def lines_of(path: Path) -> int:
    """Count the lines of a file; one without an end counts as well."""
    count, last = 0, b"\n"
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            count += block.count(b"\n")
            last = block[-1:]
    return count + (last != b"\n")


@contextmanager
def refusing_damage(path: Path) -> Iterator[None]:
    """Turn what pandas says of a damaged file into what helps to mend it.

    Raises:
        DataError: The file is damaged.
    """
    try:
        with warnings.catch_warnings():
            # pandas only warns, and drops cells, if every row has more of them than the header
            warnings.simplefilter("error", pd.errors.ParserWarning)
            yield
    except UnicodeDecodeError as error:
        refuse_encoding(path, error)
    except pd.errors.ParserWarning as error:
        raise DataError(
            f"the rows have more cells than the {len(read_header(path)[0])} of the header",
            where=f"{path}, line 2",
            hint="Name every column in the first line, or quote cells that hold the delimiter.",
        ) from error
    except (pd.errors.ParserError, pd.errors.EmptyDataError, csv.Error) as error:
        reason = str(error).strip().removeprefix("Error tokenizing data. C error: ")
        raise DataError(
            f"cannot be split into rows and cells: {reason}",
            where=str(path),
            hint="A row has more cells than the header, or a quote is not closed.",
        ) from error


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
