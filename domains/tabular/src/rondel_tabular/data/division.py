"""Which rows of a table have a target, and which of them train and validate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from rondel.errors import ConfigError, DataError
from rondel_tabular.config import TabularConfig, Task
from rondel_tabular.data import cells
from rondel_tabular.data.nearest import nearest
from rondel_tabular.data.source import Source
from rondel_tabular.data.split import (
    Rows,
    group_codes,
    split_by_group,
    split_by_time,
    split_rows,
    strata,
)
from rondel_tabular.data.target import settle_task, target_column


@dataclass(frozen=True)
class Division:
    """The rows of a table that have a target, and which of them train and validate.

    Rows are given by their positions in the table, in ascending order, so that nothing is copied.

    Args:
        tasks: What each target is, by name.
        frame: All rows of the table.
        unlabelled: Those that have no target.
        train_rows: Those that train.
        valid_rows: Those that validate, of ``others`` if there are others.
        others: A table of its own to validate on.
        notes: What was left out, one sentence each.
    """

    tasks: Mapping[str, Task]
    frame: pd.DataFrame
    unlabelled: Rows
    train_rows: Rows
    valid_rows: Rows
    others: pd.DataFrame | None = None
    notes: tuple[str, ...] = ()

    @property
    def is_shared(self) -> bool:
        """Whether the same rows train and validate, as with folds."""
        return self.valid_rows is self.train_rows

    @property
    def train(self) -> pd.DataFrame:
        """A copy of the rows that train."""
        return self.frame.iloc[self.train_rows]

    @property
    def valid(self) -> pd.DataFrame:
        """A copy of the rows that validate."""
        return (self.frame if self.others is None else self.others).iloc[self.valid_rows]


def divide(source: Source, config: TabularConfig) -> Division:
    """Divide a table into rows that train and rows that validate.

    Raises:
        DataError: A target is not there or cannot be learnt, or there are too few rows.
        ConfigError: No target is set, or a column to divide by is not there.
    """
    wanted = config.targets or (config.target or source.target,)
    names = [target_column(source.frame, name, where=source.name) for name in wanted]
    rows, notes = labelled_rows(source.frame, names, where=source.name)
    without = np.setdiff1d(np.arange(len(source.frame)), rows, assume_unique=True)
    with cells.located(source.name):
        tasks = {name: task_of(source, name, config) for name in names}
    if source.valid is not None:
        where = str(config.valid)
        for name in names:
            target_column(source.valid, name, where=where)
        valid, more = labelled_rows(source.valid, names, where=where)
        return Division(tasks, source.frame, without, rows, valid, source.valid, notes + more)
    if config.copies > 1:  # every row trains some networks and validates others
        return Division(tasks, source.frame, without, rows, rows, notes=notes)
    with cells.located(source.name):
        groups = strata(source.frame[names[0]].iloc[rows], tasks[names[0]])
    train, held = parts_of(source.frame, rows, groups, config, where=source.name)
    held, more = without_strangers(source.frame, tasks, train, held, where=source.name)
    return Division(tasks, source.frame, without, train, held, notes=notes + more)


def task_of(source: Source, name: str, config: TabularConfig) -> Task:
    """Return what a target is, judged by the rows that have it."""
    column = source.frame[name]
    known = column[~cells.missing(column)]
    return settle_task(known, config.tasks.get(name, config.task), where=source.name)


def parts_of(
    frame: pd.DataFrame, rows: Rows, groups: Rows, config: TabularConfig, *, where: str
) -> tuple[Rows, Rows]:
    """Return the rows that train and those that validate, as the config says.

    Args:
        frame: The table.
        rows: The positions of the rows to divide, (N,).
        groups: Their strata, (N,).
        config: How to divide.
        where: What the table is called in messages.

    Raises:
        ConfigError: There is no such column to divide by.
        DataError: No row is left to validate.
    """
    fraction, seed = config.valid_fraction, config.run.seed
    if config.split in ("stratified", "random"):
        same = np.zeros_like(groups)
        drawn_from = groups if config.split == "stratified" else same
        train, held = split_rows(drawn_from, fraction, seed=seed, where=where)
    else:
        name = check_split_column(frame, config.split_column, config.split)
        column = frame[name].iloc[rows]
        with cells.located(where):
            train, held = (
                split_by_time(column, fraction, where=where)
                if config.split == "time"
                else split_by_group(column, fraction, seed=seed, where=where)
            )
    return rows[train], rows[held]


def check_split_column(frame: pd.DataFrame, name: str | None, split: str) -> str:
    """Return the column that rows are divided by.

    Raises:
        ConfigError: None is set, or the table has no such column.
    """
    if name is not None and name in frame:
        return name
    raise ConfigError(
        f"split={split} needs a column to divide by"
        + (f", and there is no {name!r}" if name else ""),
        where="split_column",
        hint=nearest(name or "", [str(column) for column in frame]),
    )


def grouping(config: TabularConfig) -> str | None:
    """Return the column that groups rows and tells nothing else; one of time is read as well."""
    return config.split_column if config.split == "group" else None


def groups_of(division: Division, config: TabularConfig) -> Rows | None:
    """Return the group of each training row, from 0 on, where rows are divided by groups.

    Raises:
        ConfigError: There is no such column.
    """
    if config.split != "group":
        return None
    name = check_split_column(division.frame, config.split_column, "group")
    return group_codes(division.frame[name].iloc[division.train_rows])


def labelled_rows(
    frame: pd.DataFrame, names: Sequence[str], *, where: str
) -> tuple[Rows, tuple[str, ...]]:
    """Return the rows that have a target at all, and a sentence about those that have none.

    Raises:
        DataError: No row has one.
    """
    gaps = [cells.missing(frame[name]) for name in names]
    for name, missing in zip(names, gaps, strict=True):
        if missing.all():
            raise DataError(
                f"the target {name!r} is empty in every row",
                where=where,
                hint="Choose another target, or look at how the table was exported.",
            )
    empty = np.logical_and.reduce(gaps)
    rows = np.flatnonzero(~empty)
    if not empty.any():
        return rows, ()
    count = int(empty.sum())
    listed = " or ".join(repr(name) for name in names)
    verbs = ("has", "is") if count == 1 else ("have", "are")
    return rows, (
        f"{count} of {len(frame)} rows of {where} {verbs[0]} no {listed} and {verbs[1]} left out",
    )


def labelled(
    frame: pd.DataFrame, names: Sequence[str], *, where: str
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Return a table of the rows that have a target, and a sentence about those that have none.

    Raises:
        DataError: No row has one.
    """
    rows, notes = labelled_rows(frame, names, where=where)
    return (frame.iloc[rows] if notes else frame), notes


def without_strangers(
    frame: pd.DataFrame, tasks: Mapping[str, Task], train: Rows, held: Rows, *, where: str
) -> tuple[Rows, tuple[str, ...]]:
    """Return validation rows without those of a class that no training row has.

    Such a class has no output, so that nothing could be measured.

    Raises:
        DataError: No row is left to validate.
    """
    notes = []
    for name in (name for name, task in tasks.items() if task == "classification"):
        codes, labels = pd.factorize(cells.texts(frame[name]))  # -1 is missing
        strange = (codes[held] >= 0) & ~np.isin(codes[held], codes[train])
        if not strange.any():
            continue
        listed = ", ".join(sorted({str(labels[code]) for code in codes[held[strange]]})[:5])
        count = cells.how_many(int(strange.sum()), "row has", "rows have")
        held = held[~strange]
        notes.append(
            f"{count} a class of {name!r} that no training row has and cannot validate: {listed}"
        )
    if not len(held):
        raise DataError(
            "every validation row has a class that no training row has",
            where=where,
            hint="Choose another split, or a file with valid=FILE.",
        )
    return held, tuple(notes)
