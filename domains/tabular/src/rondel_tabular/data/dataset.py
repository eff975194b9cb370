"""A table made ready: schema, target, encoded training and validation rows, and what to say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pandas as pd
import torch
from torch import Tensor

from rondel.errors import ConfigError, DataError
from rondel_tabular.config import Kind, TabularConfig
from rondel_tabular.data import cells
from rondel_tabular.data.division import Division, divide, grouping, groups_of
from rondel_tabular.data.kinds import Guess, guess_kind
from rondel_tabular.data.leaks import hashes_of, suspicions, twins
from rondel_tabular.data.nearest import nearest
from rondel_tabular.data.part import Part, encode
from rondel_tabular.data.readers import read_table
from rondel_tabular.data.schema import Schema
from rondel_tabular.data.source import Source
from rondel_tabular.data.split import Rows
from rondel_tabular.data.target import Target
from rondel_tabular.data.weights import balanced

if TYPE_CHECKING:
    from rondel_tabular.streaming.stored import StoredRows

CELLS_AT_HAND = 1 << 21
"""Cells of validation rows that are kept beside their encoding, at most."""


@dataclass(frozen=True)
class Dataset:
    """A table made ready for a loop.

    Args:
        schema: How columns become inputs.
        targets: What is predicted.
        train: Rows that train.
        valid: Rows that validate.
        dropped: Columns left out, with the reason.
        notes: What else the user should know, one sentence each.
        missing: Share of missing cells by column, of all rows.
        train_rows: The place of each training row in the table, (N,) from 0 on.
        groups: The group of each training row, (N,) from 0 on, where rows are divided by groups.
        unlabelled: Numbers and levels of rows without a target, for a loop that reads them.
        valid_cells: The validation rows as they were read, if they are at hand.
        associations: How strongly each column goes with the target by itself, from 0 to 1.
        stored: The rows of ``train`` and ``valid`` for streams, if they are on the disk.
    """

    schema: Schema
    targets: tuple[Target, ...]
    train: Part
    valid: Part
    dropped: Mapping[str, str]
    notes: tuple[str, ...]
    missing: Mapping[str, float]
    train_rows: Rows
    groups: Rows | None = None
    unlabelled: tuple[Tensor, Tensor] | None = None
    valid_cells: pd.DataFrame | None = None
    associations: Mapping[str, float] = field(default_factory=dict)
    stored: tuple[StoredRows, StoredRows] | None = None

    def pool(self) -> tuple[Tensor, Tensor]:
        """Return numbers and levels of all rows that do not validate, with a target or without."""
        if self.unlabelled is None:
            return self.train.numbers, self.train.levels
        numbers, levels = self.unlabelled
        return torch.cat([self.train.numbers, numbers]), torch.cat([self.train.levels, levels])

    @property
    def outputs(self) -> int:
        """How many outputs a network needs for all targets."""
        return sum(target.outputs for target in self.targets)

    def summary(self) -> str:
        """Say in one line what the table is."""
        found = [
            f"{target.name!r} ({f'{len(target.labels)} classes' if target.labels else 'a number'})"
            for target in self.targets
        ]
        return (
            f"{self.train.rows} rows train and {self.valid.rows} validate; "
            f"{len(self.schema.columns)} columns predict {', '.join(found)}"
        )


def prepare(source: Source, config: TabularConfig) -> Dataset:
    """Find out what the columns are, split the rows and encode them.

    Raises:
        DataError: The table cannot be learnt from; the message says why.
        ConfigError: A key names a column that is not there, or no target is set.
    """
    division = divide(source, config)
    found = find(source.frame, division.train_rows, division, config, where=source.name)
    train, valid = encoded_sides(division, found, config, where=source.name)
    if config.class_weights == "balanced":
        train = train._replace(weights=balanced(train.values, train.weights, found.targets))
    at_hand = len(division.valid_rows) * source.frame.shape[1] <= CELLS_AT_HAND
    return Dataset(
        found.schema,
        found.targets,
        train=train,
        valid=valid,
        dropped=found.dropped,
        notes=(*division.notes, *found.notes),
        missing={str(name): float(c.isna().mean()) for name, c in source.frame.items()},
        train_rows=division.train_rows,
        groups=groups_of(division, config),
        unlabelled=unlabelled_rows(division, found.schema, config, where=source.name),
        valid_cells=division.valid if at_hand else None,
    )


def examined(dataset: Dataset, config: TabularConfig) -> Dataset:
    """Look for signs that a measurement will be too good to be true, and add them to the notes."""
    train, valid = dataset.train, dataset.valid
    doubts = suspicions(dataset.schema, dataset.targets, train, valid, config)
    again = twins(hashes_of(train), None if train.numbers is valid.numbers else hashes_of(valid))
    notes = (*dataset.notes, *doubts.notes, *again)
    return replace(dataset, notes=notes, associations=doubts.associations)


def encoded_sides(
    division: Division, found: Findings, config: TabularConfig, *, where: str
) -> tuple[Part, Part]:
    """Encode the rows that train and those that validate; the same ones are encoded once.

    Raises:
        DataError: A cell is not what its column holds.
        ConfigError: There is no column of weights.
    """
    fitted, weight = (found.schema, found.targets), config.weight
    train = encode(*fitted, division.frame, rows=division.train_rows, where=where, weight=weight)
    if division.is_shared:
        return train, train
    if division.others is None:
        frame = division.frame
    else:
        frame, where = division.others, str(config.valid)
    return train, encode(*fitted, frame, rows=division.valid_rows, where=where, weight=weight)


@dataclass(frozen=True)
class Findings:
    """What was found out about the columns of a table.

    Args:
        schema: How those become inputs that tell something.
        targets: What is predicted.
        dropped: The others, with the reason.
        notes: What the user should know of them.
    """

    schema: Schema
    targets: tuple[Target, ...]
    dropped: Mapping[str, str]
    notes: tuple[str, ...]


def find(
    frame: pd.DataFrame, rows: Rows, division: Division, config: TabularConfig, *, where: str
) -> Findings:
    """Find out what the columns of a table are.

    Args:
        frame: The table, or a sample of its rows.
        rows: The positions of those of its rows that train.
        division: Of all rows: what the targets are is learnt from all that train.
        config: Corrects what is guessed.
        where: What the table is called in messages.

    Raises:
        DataError: No column is left, or a cell is infinite.
        ConfigError: A key names a column that is not there.
    """
    apart = {*division.tasks, config.weight, grouping(config)}
    names = [str(name) for name in frame if name not in apart]
    with cells.located(where):
        guesses = choose_kinds(frame, names, config)
        kinds = {name: guess.kind for name, guess in guesses.items() if guess.kind != "drop"}
        dropped = {name: guess.reason for name, guess in guesses.items() if guess.kind == "drop"}
        if not kinds:
            refuse_useless(dropped, where)
        schema = Schema.fit(frame, kinds, rows=rows, bins=config.network.bins)
        learnt = division.frame[list(division.tasks)].iloc[division.train_rows]
        targets = targets_of(learnt, division, config)
    remarks = [f"Column {key!r}: {guesses[key].reason}" for key in kinds if guesses[key].reason]
    once = [note for target in targets for note in seen_once(target, learnt[target.name])]
    return Findings(schema, targets, dropped, (*remarks, *once))


def choose_kinds(frame: pd.DataFrame, names: list[str], config: TabularConfig) -> dict[str, Guess]:
    """Return what each column is: as the config says, else as its cells suggest.

    Raises:
        ConfigError: The config names a column that is not there.
    """
    for key in config.kinds:
        if key not in names:
            raise ConfigError(
                f"there is no column {key!r}", where=f"kinds.{key}", hint=nearest(key, names)
            )
    return {
        name: chosen(name, config.kinds[name]) if name in config.kinds else guess_kind(frame[name])
        for name in names
    }


def chosen(name: str, kind: Kind) -> Guess:
    """Return a kind that the config sets; of a column that is left out the reason is said."""
    return Guess(kind, f"set by kinds.{name}" if kind == "drop" else "")


def refuse_useless(dropped: Mapping[str, str], where: str) -> None:
    """Refuse a table whose columns all tell nothing.

    Raises:
        DataError: Always.
    """
    listed = "; ".join(f"{name!r}: {why}" for name, why in dropped.items())
    raise DataError(
        "no column is left to predict from",
        where=where,
        hint=f"Left out: {listed}." if dropped else "The target is the only one.",
    )


def targets_of(
    learnt: pd.DataFrame, division: Division, config: TabularConfig
) -> tuple[Target, ...]:
    """Learn what each target is from the rows that train."""
    several = len(division.tasks) > 1
    return tuple(
        Target.fit(
            learnt[name],
            task,
            head=config.head,
            quantiles=tuple(sorted(config.quantiles)),
            gaps=several,
        )
        for name, task in division.tasks.items()
    )


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


def unlabelled_rows(
    division: Division, schema: Schema, config: TabularConfig, *, where: str
) -> tuple[Tensor, Tensor] | None:
    """Encode the rows without a target: those of the table, and of a file of such rows.

    Returns None for a loop that has no use for them.

    Raises:
        DataError: The file cannot be read, or lacks a column.
    """
    if config.loop != "pretrain_then_finetune":
        return None
    found = [schema.encode(division.frame, rows=division.unlabelled, where=where)]
    path = config.pretraining.unlabelled
    if path is not None:
        found.append(schema.encode(read_table(path), where=str(path)))
    numbers, levels = zip(*found, strict=True)
    return torch.cat(numbers), torch.cat(levels)
