"""Tables in the files of Arrow: parquet, feather and its own two formats."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pandas as pd

from rondel.errors import DataError
from rondel_tabular.data.frames import freed_into_frame, named_rows

BUFFER_BYTES = 1 << 16


def read_parquet(path: Path) -> pd.DataFrame:
    """Read a parquet file."""
    from pyarrow import parquet

    with refusing_damage(path, "parquet"):
        # by small pieces: with all of the file in a buffer, the table would be in memory twice
        table = [parquet.read_table(path, pre_buffer=False, buffer_size=BUFFER_BYTES)]
        return named_rows(freed_into_frame(table))


def parquet_columns(path: Path) -> list[str]:
    """Return the names of the columns of a parquet file."""
    from pyarrow import parquet

    with refusing_damage(path, "parquet"):
        empty = parquet.read_schema(path).empty_table()
        return [str(name) for name in empty.to_pandas().columns]


def parquet_chunks(
    path: Path, rows: int, *, columns: Sequence[str] | None = None
) -> Iterator[pd.DataFrame]:
    """Read a parquet file some rows at a time.

    Args:
        path: The file.
        rows: How many at a time.
        columns: Those that are wanted; all by default.
    """
    from pyarrow import parquet

    with refusing_damage(path, "parquet"):
        # neither whole column chunks nor row groups in memory: a file may be a single one of them
        file = parquet.ParquetFile(path, pre_buffer=False, buffer_size=BUFFER_BYTES)
    with file:
        batches = file.iter_batches(rows, columns=None if columns is None else list(columns))
        first = 1
        while True:
            with refusing_damage(path, "parquet"):
                batch = next(batches, None)
            if batch is None:
                return
            if batch.num_rows:
                yield named_rows(batch.to_pandas(), first=first)
                first += batch.num_rows


def read_feather(path: Path) -> pd.DataFrame:
    """Read a feather file."""
    from pyarrow import feather

    with refusing_damage(path, "feather"):
        return named_rows(freed_into_frame([feather.read_table(path, memory_map=False)]))


def read_arrow(path: Path) -> pd.DataFrame:
    """Read a file of Arrow's interprocess format, with or without random access."""
    import pyarrow
    from pyarrow import ipc

    with refusing_damage(path, "Arrow"), path.open("rb") as file:
        try:
            reader = ipc.open_file(file)
        except pyarrow.ArrowInvalid:
            file.seek(0)
            reader = ipc.open_stream(file)
        return named_rows(freed_into_frame([reader.read_all()]))


@contextmanager
def refusing_damage(path: Path, kind: str) -> Iterator[None]:
    """Turn what Arrow says of a damaged file into what helps to mend it.

    Raises:
        DataError: The file is damaged.
    """
    import pyarrow

    try:
        yield
    except (pyarrow.ArrowException, ValueError) as error:
        raise DataError(
            f"is no {kind} file: {str(error).splitlines()[0]}",
            where=str(path),
            hint="Write it again, or check that the copy is complete.",
        ) from error
