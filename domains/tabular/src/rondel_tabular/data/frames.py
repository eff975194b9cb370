"""Tables in memory, of pandas, polars or Arrow: with names of columns and rows for messages.

The index of a table is what its rows are called: 'line' 2, 3, ... of a text file, else 'data row'
1, 2, ... It stays with a row through every selection, so that a message names what the user can find.
"""

from __future__ import annotations

import ctypes
from collections import Counter
from collections.abc import Iterable
from typing import Any

import pandas as pd

from rondel.errors import DataError, UsageError

DATA_ROW = "data row"
"""What a row is called that is no line of a file; they count from 1."""


def is_table(data: Any) -> bool:
    """Tell whether something is a table in memory that `as_frame` takes."""
    return any(hasattr(data, name) for name in ("to_arrow", "__arrow_c_stream__"))


def as_frame(data: Any, *, where: str) -> pd.DataFrame:
    """Return a table in memory as a checked data frame.

    Args:
        data: A frame of pandas or polars, a table of Arrow, or anything with the Arrow interface.
        where: What it is called in messages.

    Raises:
        DataError: It has no columns or no rows, or a column name twice.
        UsageError: It is no table.
    """
    if isinstance(data, pd.DataFrame):
        return named_rows(checked(data, where=where))
    if not is_table(data):
        raise UsageError(
            f"cannot take {type(data).__name__} for a table",
            where=where,
            hint="Give a frame of pandas or polars, a table of Arrow, or the path of a file.",
        )
    import pyarrow

    table = data.to_arrow() if hasattr(data, "to_arrow") else pyarrow.table(data)
    refuse_twins(table.column_names, where=where)
    return named_rows(checked(table.to_pandas(), where=where))


def freed_into_frame(tables: list[Any]) -> pd.DataFrame:
    """Return the one Arrow table of a list as a data frame, freeing its columns one by one.

    The list is emptied: while anything else holds the table, both would be in memory.
    """
    frame: pd.DataFrame = tables.pop().to_pandas(split_blocks=True, self_destruct=True)
    release_unused()
    return frame


def release_unused() -> None:
    """Give the system back what allocators keep of tables, texts and columns that are gone."""
    import pyarrow

    pyarrow.default_memory_pool().release_unused()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:  # glibc keeps what columns took, a few of them at a time
        trim(0)


def checked(frame: pd.DataFrame, *, where: str) -> pd.DataFrame:
    """Return a table with text for column names, after checking them.

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
    return frame


def named_rows(frame: pd.DataFrame, *, first: int = 1, name: str = DATA_ROW) -> pd.DataFrame:
    """Return a table whose rows are named by a number: ``first``, ``first + 1``, ..."""
    return frame.set_axis(pd.RangeIndex(first, first + len(frame), name=name), axis=0)


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
