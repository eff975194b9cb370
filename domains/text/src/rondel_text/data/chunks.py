"""Rows of files that do not fit in memory, some at a time, and a sample of them that does."""

from __future__ import annotations

import hashlib
import heapq
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rondel.errors import ConfigError, DataError
from rondel_text.config import TextConfig
from rondel_text.data.formats.format import FORMATS, Format
from rondel_text.data.formats.source import Documents, Record, Records, Source
from rondel_text.data.reading import files_of
from rondel_text.data.rows import Rows

CHUNK_ROWS = 1000
CHUNK_CHARACTERS = 1 << 18
"""A chunk ends with the row that reaches either of them; tokens take many times their text."""
ROW_CHARACTERS = 100
"""What a row of a sample takes beside its text."""
ENDS_BYTES = 1 << 16
"""What is looked at of the beginning and the end of a file to tell whether it has changed."""


@dataclass(frozen=True)
class Chunk:
    """Some rows of a file.

    Args:
        file: The number of the file.
        rows: The rows.
    """

    file: int
    rows: Rows


@dataclass(frozen=True)
class Files:
    """Files of one format that are read row by row.

    Args:
        paths: The files, in the order of their names.
        records: Reads one of them.
        documents: What a document of plain text is.
    """

    paths: tuple[Path, ...]
    records: Records
    documents: Documents

    @classmethod
    def of(cls, config: TextConfig, path: Path) -> Files:
        """Find the files of a path.

        Raises:
            ConfigError: Their format has no rows that can be read one after the other.
            DataError: There are none.
        """
        paths, made = files_of(path, format=config.format, documents=config.documents)
        return cls(tuple(paths), records_of(made, config.documents), config.documents)

    def chunks(self, columns: Sequence[str] = ()) -> Iterator[Chunk]:
        """Yield all rows.

        Args:
            columns: Those that every chunk has; what a row lacks is None.

        Raises:
            DataError: A row cannot be read, or a file has none.
        """
        for number, path in enumerate(self.paths):
            empty = True
            for records in grouped(self.records(Source(path, self.documents))):
                empty = False
                rows = Rows.of_records(records, file=str(path))
                yield Chunk(number, with_columns(rows, columns))
            if empty:
                raise DataError("has no rows", where=str(path), hint="Look at how it was exported.")

    def stamps(self) -> list[dict[str, Any]]:
        """Return what tells a changed file from the same one, without reading all of it."""
        return [stamp(path) for path in self.paths]


def records_of(made: Format, documents: Documents) -> Records:
    """Return the reader of a format that needs no memory for the whole file.

    Raises:
        ConfigError: It has none.
    """
    known = [name for name, other in FORMATS.items() if other.records is not None]
    if made.records is None:
        raise ConfigError(
            f"{made.title} is read as a whole",
            where="streaming",
            hint=f"Convert it to one of {', '.join(known)}, or leave streaming out.",
        )
    if made.name == "text" and documents == "file":
        raise ConfigError(
            "a document of plain text is a whole file",
            where="streaming",
            hint="Say documents=line or documents=blank, or leave streaming out.",
        )
    return made.records


def grouped(records: Iterator[Record]) -> Iterator[list[Record]]:
    """Yield records in groups of a limited size."""
    group: list[Record] = []
    size = 0
    for record in records:
        group.append(record)
        size += sum(len(cell) for cell in record[1].values() if isinstance(cell, str | list))
        if len(group) >= CHUNK_ROWS or size >= CHUNK_CHARACTERS:
            yield group
            group, size = [], 0
    if group:
        yield group


def with_columns(rows: Rows, columns: Sequence[str]) -> Rows:
    """Return rows that have certain columns, in their order."""
    if not columns or list(rows.columns) == list(columns):
        return rows
    made = {name: rows.columns.get(name, [None] * len(rows)) for name in columns}
    return Rows(made, rows.files, rows.file, rows.numbers, rows.notes)


def stamp(path: Path) -> dict[str, Any]:
    """Return name, size and time of a file, and a hash of its beginning and its end.

    Raises:
        DataError: It cannot be read.
    """
    try:
        about = path.stat()
        with path.open("rb") as file:
            ends = hashlib.blake2b(file.read(ENDS_BYTES), digest_size=16)
            file.seek(-min(about.st_size, ENDS_BYTES), os.SEEK_END)
            ends.update(file.read(ENDS_BYTES))
    except OSError as error:
        raise DataError(
            f"cannot be read: {error.strerror or error}",
            where=str(path),
            hint="Check that it is a file and that you may read it.",
        ) from error
    return {
        "path": str(path),
        "bytes": about.st_size,
        "modified": about.st_mtime_ns,
        "ends": ends.hexdigest(),
    }


class Sample:
    """A random sample of rows that has a limited size, in their order; all rows, if they fit.

    The rows with the smallest shares are kept (bottom-k sampling), so that the same rows give the
    same sample.

    Args:
        most: Characters; a row counts `ROW_CHARACTERS` more than it has.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.is_whole = True
        self._size = self._count = 0
        self._limit = 1.0
        self._kept: list[tuple[float, int, int, Any]] = []

    def add(self, share: float, row: Any, *, characters: int) -> None:
        """Offer a row; its share is a random number in [0, 1) that is a function of its content."""
        self._count += 1
        if share >= self._limit:
            return
        size = characters + ROW_CHARACTERS
        heapq.heappush(self._kept, (-share, -self._count, size, row))
        self._size += size
        while self._size > self.most and len(self._kept) > 1:
            least, _, size, _ = heapq.heappop(self._kept)
            self._size -= size
            self._limit, self.is_whole = -least, False

    def rows(self) -> list[Any]:
        """Return the rows that are kept."""
        return [row for *_, row in sorted(self._kept, key=lambda kept: -kept[1])]
