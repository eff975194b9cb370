"""Cells of a column as numbers, texts or moments, whatever type they were stored in.

Missing cells, and cells that are not of the wanted kind, are NaN or NA. What is copied is one column
at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.api import types

from rondel.errors import DataError
from rondel_tabular.data.frames import DATA_ROW

Numbers: TypeAlias = NDArray[np.float64]
Flags: TypeAlias = NDArray[np.bool_]
NOT_THERE = ("?",)
"""Cells that mean 'missing' beside the empty ones and those that pandas knows (NA, null ...)."""
TRUE = frozenset({"true", "yes", "t", "y", "on", "1"})
FALSE = frozenset({"false", "no", "f", "n", "off", "0"})


@contextmanager
def located(where: str) -> Iterator[None]:
    """Put the name of the table in front of the column that an error names."""
    try:
        yield
    except DataError as error:
        if not error.where.startswith("column "):
            raise
        place = f"{where}, {error.where}"
        raise DataError(error.what, where=place, hint=error.hint) from error


def row_of(column: pd.Series[Any], place: int) -> str:
    """Name a row as the user can find it: 'line 7', or 'data row 6'."""
    return f"{column.index.name or DATA_ROW} {column.index[place]}"


def first_of(column: pd.Series[Any], chosen: Flags) -> str:
    """Show the first of the chosen cells: its content and its row."""
    place = int(np.flatnonzero(chosen)[0])
    return f"the first is {str(column.iloc[place])!r} in {row_of(column, place)}"


def how_many(count: int, one: str, several: str) -> str:
    """Return a number and what there is of it: '1 cell is', '2 cells are'."""
    return f"{count} {one if count == 1 else several}"


def is_numeric(column: pd.Series[Any]) -> bool:
    """Tell whether a column is stored as real numbers."""
    kind = column.dtype
    return types.is_numeric_dtype(kind) and not (
        types.is_bool_dtype(kind) or types.is_complex_dtype(kind)
    )


def texts(column: pd.Series[Any]) -> pd.Series[Any]:
    """Return the cells as stripped text, so that 3, 3.0 and "3" are the same level."""
    if is_numeric(column):
        values = column.to_numpy(dtype="float64", na_value=np.nan)
        present = values[~np.isnan(values)]
        whole = bool(np.all(present == np.trunc(present))) and bool(np.all(np.abs(present) < 2**53))
        column = column.astype("float64" if not whole else "Int64")
    # categories come as a type of their own, which would pass through below
    plain = column.astype("object") if isinstance(column.dtype, pd.CategoricalDtype) else column
    stripped = plain.astype("string").str.strip()
    return stripped.mask(stripped.isin(["", *NOT_THERE]))


def missing(column: pd.Series[Any]) -> Flags:
    """Tell which cells are missing."""
    if is_numeric(column) or types.is_bool_dtype(column.dtype):
        return column.isna().to_numpy(dtype=bool)
    return texts(column).isna().to_numpy(dtype=bool)


def places(column: pd.Series[Any], known: Sequence[str]) -> NDArray[np.int64]:
    """Return the place of each cell's text among those that are known; -1 if it is none of them."""
    codes, different = pd.factorize(texts(column))
    found = pd.Index(list(known), dtype="object").get_indexer(pd.Index(list(different)))
    return np.append(found, -1)[codes].astype(np.int64)  # the code of a missing cell is -1


def count_different(column: pd.Series[Any]) -> int:
    """Return how many different cells there are, without the missing ones."""
    plain = is_numeric(column) or types.is_bool_dtype(column.dtype)
    return int((column if plain else texts(column)).nunique())


def numbers(column: pd.Series[Any]) -> Numbers:
    """Return the cells as numbers.

    Raises:
        DataError: A cell is infinite.
    """
    if is_numeric(column) or types.is_bool_dtype(column.dtype):
        values = column.to_numpy(dtype="float64", na_value=np.nan)
    elif types.is_timedelta64_dtype(column.dtype):
        values = column.dt.total_seconds().to_numpy(dtype="float64", na_value=np.nan)
    else:
        parsed = pd.to_numeric(texts(column), errors="coerce")
        values = parsed.to_numpy(dtype="float64", na_value=np.nan)
    infinite = np.isinf(values)
    if infinite.any():
        raise DataError(
            f"infinite numbers, {first_of(column, infinite)}",
            where=f"column {column.name!r}",
            hint="Correct them or leave them empty: an empty cell counts as missing.",
        )
    return values


def truths(column: pd.Series[Any]) -> Numbers:
    """Return the cells as 1 for true and 0 for false."""
    if types.is_bool_dtype(column.dtype) or is_numeric(column):
        values = numbers(column)
        return np.where(np.isnan(values), np.nan, values != 0)
    words = texts(column).str.lower()
    values = np.full(len(words), np.nan)
    values[words.isin(TRUE).to_numpy(dtype=bool)] = 1.0
    values[words.isin(FALSE).to_numpy(dtype=bool)] = 0.0
    return values


def moments(column: pd.Series[Any]) -> pd.Series[Any]:
    """Return the cells as points in time, in UTC."""
    if types.is_datetime64_any_dtype(column.dtype):
        return pd.to_datetime(column, utc=True)
    return pd.to_datetime(texts(column), format="mixed", errors="coerce", utc=True)


def moment_parts(column: pd.Series[Any]) -> dict[str, Numbers]:
    """Return what a point in time says, as numbers: the day, and where in its cycles it lies."""
    time = moments(column)
    elapsed = (time - pd.Timestamp("1970-01-01", tz="UTC")) / pd.Timedelta(days=1)
    parts = {
        "days": elapsed,
        "month": time.dt.month,
        "day": time.dt.day,
        "weekday": time.dt.day_of_week,
        "hour": time.dt.hour,
    }
    return {name: part.to_numpy(dtype="float64", na_value=np.nan) for name, part in parts.items()}
