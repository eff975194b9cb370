"""A table made ready: schema, target, encoded training and validation rows, and what to say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
from torch import Tensor

from rondel.errors import ConfigError, DataError
from rondel_tabular.config import TabularConfig, Task
from rondel_tabular.data import cells
from rondel_tabular.data.kinds import Guess, guess_kind
from rondel_tabular.data.nearest import nearest
from rondel_tabular.data.schema import Schema
from rondel_tabular.data.source import Source
from rondel_tabular.data.split import split_rows, strata
from rondel_tabular.data.target import Target, settle_task, target_column


@dataclass(frozen=True)
class Part:
    """Encoded rows: numbers (N, P), levels (N, K) and targets (N,)."""

    tensors: tuple[Tensor, Tensor, Tensor]

    @property
    def targets(self) -> Tensor:
        """The encoded targets (N,)."""
        return self.tensors[2]

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.targets)


@dataclass(frozen=True)
class Dataset:
    """A table made ready for a loop.

    Args:
        schema: How columns become inputs.
        target: What is predicted.
        train: Rows that train.
        valid: Rows that validate.
        dropped: Columns left out, with the reason.
        notes: What else the user should know, one sentence each.
        missing: Share of missing cells by column, of all rows.
    """

    schema: Schema
    target: Target
    train: Part
    valid: Part
    dropped: Mapping[str, str]
    notes: tuple[str, ...]
    missing: Mapping[str, float]

    def summary(self) -> str:
        """Say in one line what the table is."""
        target, classes = self.target, len(self.target.labels)
        what = f"{classes} classes" if classes else "a number"
        return (
            f"{len(self.train)} rows train and {len(self.valid)} validate; "
            f"{len(self.schema.columns)} columns predict {target.name!r} ({what})"
        )


def prepare(source: Source, config: TabularConfig) -> Dataset:
    """Find out what the columns are, split the rows and encode them.

    Raises:
        DataError: The table cannot be learnt from; the message says why.
        ConfigError: A key names a column that is not there, or no target is set.
    """
    division = divide(source, config)
    name, train = division.target, division.train
    with cells.located(source.name):
        guesses = choose_kinds(source.frame.drop(columns=name), config)
    kinds = {key: guess.kind for key, guess in guesses.items() if guess.kind != "drop"}
    dropped = {key: guess.reason for key, guess in guesses.items() if guess.kind == "drop"}
    if not kinds:
        raise DataError(
            "no column is left to predict from",
            where=source.name,
            hint=f"Left out: {'; '.join(f'{key!r}: {why}' for key, why in dropped.items())}."
            if dropped
            else "The target is the only one.",
        )
    with cells.located(source.name):
        schema = Schema.fit(train, kinds)
    target = Target.fit(train[name], division.task)
    remarks = [f"Column {key!r}: {guesses[key].reason}" for key in kinds if guesses[key].reason]
    return Dataset(
        schema,
        target,
        train=encode(schema, target, train, where=source.name),
        valid=encode(schema, target, division.valid, where=str(config.valid or source.name)),
        dropped=dropped,
        notes=(*division.notes, *remarks, *seen_once(target, train[name])),
        missing={str(key): float(column.isna().mean()) for key, column in division.frame.items()},
    )


@dataclass(frozen=True)
class Division:
    """The rows of a table that have a target, and which of them train and validate."""

    target: str
    task: Task
    frame: pd.DataFrame
    train: pd.DataFrame
    valid: pd.DataFrame
    notes: tuple[str, ...]


def divide(source: Source, config: TabularConfig) -> Division:
    """Divide a table into rows that train and rows that validate.

    Raises:
        DataError: The target is not there or cannot be learnt, or there are too few rows.
        ConfigError: No target is set.
    """
    name = target_column(source.frame, config.target or source.target, where=source.name)
    frame, notes = labelled(source.frame, name, where=source.name)
    with cells.located(source.name):
        task = settle_task(frame[name], config.task, where=source.name)
    if source.valid is not None:
        where = str(config.valid)
        target_column(source.valid, name, where=where)
        valid, more = labelled(source.valid, name, where=where)
        return Division(name, task, frame, frame, valid, notes + more)
    groups, seed = strata(frame[name], task), config.run.seed
    train, held = split_rows(groups, config.valid_fraction, seed=seed, where=source.name)
    return Division(name, task, frame, frame.iloc[train], frame.iloc[held], notes)


def labelled(frame: pd.DataFrame, name: str, *, where: str) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Return the rows that have a target, and a sentence about those that have none.

    Raises:
        DataError: No row has one.
    """
    empty = cells.texts(frame[name]).isna().to_numpy(dtype=bool)
    if empty.all():
        raise DataError(
            f"the target {name!r} is empty in every row",
            where=where,
            hint="Choose another target, or look at how the table was exported.",
        )
    if not empty.any():
        return frame, ()
    count = int(empty.sum())
    note = f"{count} of {len(frame)} rows of {where} have no {name!r} and are left out"
    return frame[~empty].reset_index(drop=True), (note,)


def choose_kinds(frame: pd.DataFrame, config: TabularConfig) -> dict[str, Guess]:
    """Return what each column is: as the config says, else as its cells suggest.

    Raises:
        ConfigError: The config names a column that is not there.
    """
    names = [str(name) for name in frame]
    for key in config.kinds:
        if key not in names:
            raise ConfigError(
                f"there is no column {key!r}", where=f"kinds.{key}", hint=nearest(key, names)
            )
    return {
        name: Guess(config.kinds[name], f"set by kinds.{name}")
        if name in config.kinds
        else guess_kind(frame[name])
        for name in names
    }


def encode(schema: Schema, target: Target, frame: pd.DataFrame, *, where: str) -> Part:
    """Turn rows into the tensors that a stream slices."""
    targets = target.encode(frame[target.name], where=where)
    return Part((*schema.encode(frame, where=where), targets))


def seen_once(target: Target, column: pd.Series[Any]) -> tuple[str, ...]:
    """Say which classes have a single row, which trains and is never measured."""
    if target.task == "regression":
        return ()
    counts = cells.texts(column).value_counts()
    rare = sorted(str(label) for label, count in counts.items() if count == 1)
    if not rare:
        return ()
    listed = ", ".join(rare[:5]) + (", ..." if len(rare) > 5 else "")
    return (f"Classes with a single training row, which are never measured: {listed}",)
