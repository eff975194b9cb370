"""CSV and TSV: a header line, then records, their cells kept as the strings that they are."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rondel.errors import DataError
from rondel_text.data.formats.source import Record, Source
from rondel_text.data.formats.text_file import HEAD_BYTES, head, raw_lines, read_text
from rondel_text.data.rows import Rows

DELIMITERS = ",;\t"
_LONGEST_CELL = 2**31 - 1  # the most that the csv module takes on every system
_REASONS = {"unexpected end of data": "a quote that opens in this record is never closed"}


def recognise(path: Path, head: str) -> bool:  # noqa: ARG001 - the name says it
    """Tell whether a file is CSV."""
    return path.suffix.lower() == ".csv"


def recognise_tsv(path: Path, head: str) -> bool:  # noqa: ARG001 - the name says it
    """Tell whether a file is TSV."""
    return path.suffix.lower() in (".tsv", ".tab")


def read(source: Source) -> Rows:
    """Read a table with , ; or tab between its cells, whichever parts the header most."""
    return _read(source.path, DELIMITERS)


def read_tsv(source: Source) -> Rows:
    """Read a table with tabs between its cells."""
    return _read(source.path, "\t")


def records(source: Source) -> Iterator[Record]:
    """Read the rows of `read` one after the other."""
    return _stream(source.path, DELIMITERS)


def records_tsv(source: Source) -> Iterator[Record]:
    """Read the rows of `read_tsv` one after the other."""
    return _stream(source.path, "\t")


def _read(path: Path, delimiters: str) -> Rows:
    text = read_text(path)
    with _long_cells():
        delimiter = _delimiter(text[:HEAD_BYTES], delimiters)
        lines = io.StringIO(text, newline="")
        return Rows.of_records(_records(lines, delimiter, path), file=str(path))


def _stream(path: Path, delimiters: str) -> Iterator[Record]:
    with _long_cells():
        delimiter = _delimiter(head(path), delimiters)
        yield from _records(_lines(path), delimiter, path)


def _lines(path: Path) -> Iterator[str]:
    """Yield lines as the csv module wants them: a carriage return ends one, too."""
    for line in raw_lines(path):
        if "\r" in line.removesuffix("\n").removesuffix("\r"):
            yield from io.StringIO(line, newline="")
        else:
            yield line


@contextmanager
def _long_cells() -> Iterator[None]:
    """Lift the module's limit of 131,072 characters: a cell may be a book."""
    limit = csv.field_size_limit(_LONGEST_CELL)
    try:
        yield
    finally:
        csv.field_size_limit(limit)


def _delimiter(start: str, delimiters: str) -> str:
    """Return what parts the header most."""
    return max(delimiters, key=lambda mark: _header_width(start, mark))


def _header_width(start: str, delimiter: str) -> int:
    reader = csv.reader(io.StringIO(start, newline=""), delimiter=delimiter)
    return len(next(filter(None, reader), []))


def _records(lines: Iterable[str], delimiter: str, path: Path) -> Iterator[Record]:
    lists = _lists(lines, delimiter, path)
    line, header = next(lists)
    header = [name.strip() for name in header]
    _refuse_twins(header, f"{path}:{line}")
    for number, cells in lists:
        if len(cells) != len(header):
            raise DataError(
                f"the number of cells is {len(cells)}, in the header {len(header)}",
                where=f"{path}:{number}",
                hint=f"Quote cells that hold a {delimiter!r}, and name each column in the header.",
            )
        yield number, dict(zip(header, cells, strict=True))


def _lists(lines: Iterable[str], delimiter: str, path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the cells of each record that is not blank, with its first line."""
    # strict, because the lenient reader takes all rows behind a forgotten quote for one cell
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        first = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise DataError(
                f"cannot be split into cells: {_REASONS.get(str(error), error)}",
                where=f"{path}:{first}",
                hint='A cell with a quote in it is written "like ""this"" one".',
            ) from error
        if cells:
            yield first, cells


def _refuse_twins(header: list[str], where: str) -> None:
    for name, count in Counter(header).items():
        if count > 1:
            columns = [number for number, other in enumerate(header, 1) if other == name]
            raise DataError(
                f"the columns {', '.join(map(str, columns))} are all named {name!r}",
                where=where,
                hint="Give every column a name of its own in the header line.",
            )
