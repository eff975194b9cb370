"""Which rows validate: drawn within each class, by group or by time; a function of the seed."""

from __future__ import annotations

from typing import Any, NoReturn, TypeAlias

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from rondel import keyed
from rondel.errors import DataError
from rondel_tabular.config import Task
from rondel_tabular.data import cells

Rows: TypeAlias = NDArray[np.int64]
BINS = 10
"""Ranges of equal size that a number is sorted into, so that both parts get the same spread."""


def strata(column: pd.Series[Any], task: Task) -> Rows:
    """Return the stratum of each row: its class, or the range its number falls into."""
    if task == "classification":  # a missing one is a stratum of its own
        return group_codes(column)
    ranks = pd.Series(cells.numbers(column)).rank(method="first", na_option="bottom").to_numpy()
    bins = max(1, min(BINS, len(ranks) // BINS))  # of few rows, so many that each can be divided
    return ((ranks - 1) * bins // len(ranks)).astype(np.int64)


def split_rows(groups: Rows, fraction: float, *, seed: int, where: str) -> tuple[Rows, Rows]:
    """Return the positions of training and validation rows, each in their order.

    A stratum with a single row gives it to the training part.

    Raises:
        DataError: No row is left to validate.
    """
    draw = keyed.generator(seed, "tabular", "split")
    chosen = []
    for group in range(int(groups.max()) + 1):
        members = np.flatnonzero(groups == group)
        count = min(round(fraction * len(members)), len(members) - 1)
        order = torch.randperm(len(members), generator=draw).numpy()
        chosen.append(members[order[: max(0, count)]])
    valid = np.sort(np.concatenate(chosen))
    if not len(valid):
        raise DataError(
            f"{len(groups)} rows are too few to keep {fraction:.0%} of each class for validation",
            where=where,
            hint="Give more rows, a larger valid_fraction, or a file with valid=FILE.",
        )
    train = np.setdiff1d(np.arange(len(groups)), valid)
    return train, valid


def split_by_time(column: pd.Series[Any], fraction: float, *, where: str) -> tuple[Rows, Rows]:
    """Return the positions of earlier and of later rows; rows of one moment stay together.

    Raises:
        DataError: A row has no time, or all have the same.
    """
    moments = cells.numbers(column) if cells.is_numeric(column) else cells.moments(column)
    codes, times = pd.factorize(pd.Series(moments), sort=True)
    timeless = codes < 0
    if timeless.any():
        count = cells.how_many(int(timeless.sum()), "row has", "rows have")
        raise DataError(
            f"{count} no time, {cells.first_of(column, timeless)}",
            where=f"{where}, column {str(column.name)!r}",
            hint="Correct these rows or leave them out, or choose another split.",
        )
    later = np.bincount(codes)[::-1].cumsum()[::-1]  # rows from each moment on
    enough = np.flatnonzero(later <= max(1, fraction * len(codes)))
    first = int(enough[0]) if len(enough) else len(times) - 1
    if first == 0:
        refuse_whole(column, where)
    return np.flatnonzero(codes < first), np.flatnonzero(codes >= first)


def split_by_group(
    column: pd.Series[Any], fraction: float, *, seed: int, where: str
) -> tuple[Rows, Rows]:
    """Return the positions of two parts that share no group; rows without one are a group.

    Raises:
        DataError: There is one group only.
    """
    codes = group_codes(column)
    sizes = np.bincount(codes)
    if len(sizes) < 2:
        refuse_whole(column, where)
    draw = keyed.generator(seed, "tabular", "groups")
    wanted = fraction * len(codes)
    held = np.zeros(len(sizes), dtype=bool)
    count = 0
    for group in torch.randperm(len(sizes), generator=draw).numpy():
        # a group that would bring the rows held back no nearer to their share trains
        if abs(count + sizes[group] - wanted) < abs(count - wanted):
            held[group] = True
            count += sizes[group]
    if not held.any():
        held[sizes.argmin()] = True
    if held.all():
        held[sizes.argmax()] = False
    return np.flatnonzero(~held[codes]), np.flatnonzero(held[codes])


def group_codes(column: pd.Series[Any]) -> Rows:
    """Return a number for the content of each cell, from 0 on; missing ones are alike."""
    codes, _ = pd.factorize(cells.texts(column), sort=True, use_na_sentinel=False)
    return np.asarray(codes, dtype=np.int64)


def refuse_whole(column: pd.Series[Any], where: str) -> NoReturn:
    """Refuse to divide rows by a column that is the same in all of them.

    Raises:
        DataError: Always.
    """
    raise DataError(
        "the rows cannot be divided: it is the same in all of them",
        where=f"{where}, column {str(column.name)!r}",
        hint="Choose another split_column, or split=stratified.",
    )
