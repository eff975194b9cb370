"""Parquet: a table, read one row group after the other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rondel.errors import DataError
from rondel_text.data.formats.source import Record, Source
from rondel_text.data.rows import Rows

BATCH = 256
"""Rows that become Python values together."""


def recognise(path: Path, head: str) -> bool:
    """Tell whether a file is parquet."""
    return path.suffix.lower() in (".parquet", ".pq") or head.startswith("PAR1")


def read(source: Source) -> Rows:
    """Read a table; the number of a row is its place in the file.

    Raises:
        DataError: It is no parquet file, a damaged one, or has two columns of one name.
    """
    columns = _columns(source.path)
    size = len(next(iter(columns.values()), []))
    return Rows(columns, (str(source.path),), [0] * size, range(1, size + 1))


def records(source: Source) -> Iterator[Record]:
    """Read the rows one after the other; a row group is the most that is in memory."""
    number = 0
    with _opened(source.path) as file:
        for batch in file.iter_batches(batch_size=BATCH):
            for number, cells in enumerate(batch.to_pylist(), number + 1):  # noqa: B020
                yield number, cells


def _columns(path: Path) -> dict[str, list[Any]]:
    with _opened(path) as file:
        columns: dict[str, list[Any]] = {name: [] for name in file.schema_arrow.names}
        for group in range(file.num_row_groups):
            table = file.read_row_group(group)
            for name, cells in columns.items():
                cells.extend(table[name].to_pylist())
    return columns


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Open a file whose columns have different names, and explain what cannot be read of it."""
    import pyarrow
    from pyarrow.parquet import ParquetFile

    try:
        with ParquetFile(path) as file:
            _refuse_twins(file.schema_arrow.names, str(path))
            yield file
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(
            f"is no parquet file that can be read: {str(error).partition(chr(10))[0]}",
            where=str(path),
            hint="Write it again, or check that the copy is complete.",
        ) from error


def _refuse_twins(names: list[str], where: str) -> None:
    twins = [name for name, count in Counter(names).items() if count > 1]
    if twins:
        raise DataError(
            f"the column name {twins[0]!r} occurs twice",
            where=where,
            hint="Write it again with a name of its own for every column.",
        )
