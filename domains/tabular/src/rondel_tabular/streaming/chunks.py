"""Tables in files that are read some rows at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from rondel.errors import ConfigError, DataError
from rondel_tabular.data import cells
from rondel_tabular.data.arrow_file import parquet_chunks, parquet_columns
from rondel_tabular.data.csv_file import csv_chunks, csv_columns
from rondel_tabular.data.frames import DATA_ROW, refuse_twins
from rondel_tabular.data.readers import reader_of, refusing_absence
from rondel_tabular.data.split import Rows

CHUNK_CELLS = 1 << 21
CHUNK_ROWS = 1 << 16
PARQUET, TEXT = (".parquet", ".pq"), (".csv", ".tsv")


@dataclass(frozen=True)
class Chunks:
    """A table in a file that is read some rows at a time.

    Args:
        path: The file.
        columns: Their names.
        rows: How many are read at a time.
        texts: Of a text file: columns that hold text, though some rows at a time may not look so.
    """

    path: Path
    columns: tuple[str, ...]
    rows: int
    texts: tuple[str, ...] = ()

    @classmethod
    def of(cls, path: Path) -> Chunks:
        """Look at a file: of parquet at its end, of text at all of it.

        Raises:
            ConfigError: Files of its type are read as a whole.
            DataError: It cannot be read.
        """
        reader_of(path)
        suffix = path.suffix.lower()
        if suffix not in (*PARQUET, *TEXT):
            raise ConfigError(
                f"files of type {suffix!r} are read as a whole",
                where="streaming",
                hint=f"Convert it to one of {', '.join((*TEXT, *PARQUET))}, or leave streaming out.",
            )
        with refusing_absence(path):
            names = parquet_columns(path) if suffix in PARQUET else csv_columns(path)
            refuse_twins(names, where=str(path))
            rows = min(CHUNK_ROWS, max(256, CHUNK_CELLS // max(1, len(names))))
            found = cls(path, tuple(names), rows)
            if suffix in PARQUET:
                return found
            return cls(path, tuple(names), rows, tuple(texts_in(found)))

    @property
    def heads(self) -> pd.DataFrame:
        """The table without its rows."""
        return pd.DataFrame(columns=list(self.columns))

    def read(self, columns: Sequence[str] | None = None) -> Iterator[pd.DataFrame]:
        """Yield all rows, some at a time; they are called 'data row' 1, 2, ...

        Args:
            columns: Those that are wanted; all by default.

        Raises:
            DataError: The file is damaged.
        """
        with refusing_absence(self.path):
            if self.path.suffix.lower() in PARQUET:
                yield from parquet_chunks(self.path, self.rows, columns=columns)
                return
            texts = [name for name in self.texts if columns is None or name in columns]
            yield from csv_chunks(self.path, self.rows, columns=columns, texts=texts)

    def narrow(self, columns: Sequence[str]) -> pd.DataFrame:
        """Return some columns of all rows.

        Raises:
            DataError: There are no rows, or the file is damaged.
        """
        pieces = [piece for piece in self.read(columns) if len(piece)]
        if not pieces:
            raise DataError(
                "the table has no rows below its header",
                where=str(self.path),
                hint="Look at how it was exported.",
            )
        return joined(pieces)

    def sample(self, rows: Rows) -> tuple[pd.DataFrame, dict[str, int]]:
        """Return some rows, and how many cells of each column are missing in all of them.

        Args:
            rows: Their positions, ascending.
        """
        pieces, start = [], 0
        missing = np.zeros(len(self.columns), dtype=np.int64)
        for chunk in self.read():
            missing += chunk.isna().sum().to_numpy()
            first, last = np.searchsorted(rows, (start, start + len(chunk)))
            pieces.append(chunk.iloc[rows[first:last] - start])
            start += len(chunk)
        return joined(pieces), dict(zip(self.columns, missing.tolist(), strict=True))


def joined(pieces: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Return rows one below the other, each with the name it had."""
    frame = pd.concat(pieces)
    frame.index.name = DATA_ROW
    return frame


def texts_in(chunks: Chunks) -> list[str]:
    """Return the columns that hold text, or different things, as pandas would take the whole file.

    Some rows of such a column may look like numbers; read on their own they would become some, and
    the text '1.0' would be another level than in its other rows.
    """
    found: dict[str, set[str]] = {name: set() for name in chunks.columns}
    for chunk in chunks.read():
        for name, column in chunk.items():
            if not column.isna().all():
                found[str(name)].add(kind_of(column))
    return [name for name, kinds in found.items() if "text" in kinds or len(kinds) > 1]


def kind_of(column: pd.Series[Any]) -> str:
    """Return what pandas took the cells of a text file for."""
    if cells.is_numeric(column):
        return "number"
    return "boolean" if all(isinstance(cell, bool) for cell in column.dropna()) else "text"
