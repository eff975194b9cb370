"""A table made ready: schema, target, encoded training and validation rows, and what to say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from rondel.errors import ConfigError
from torch import Tensor

from rondel_tabular.config import Kind, TabularConfig
from rondel_tabular.data import cells
from rondel_tabular.data.kinds import Guess, guess_kind
from rondel_tabular.data.nearest import nearest
from rondel_tabular.data.schema import Schema
from rondel_tabular.data.split import split_rows, strata
from rondel_tabular.data.target import Target, guess_task, learn_target, target_column


@dataclass(frozen=True)
class Source:
    """A table and where it came from.

    Args:
        frame: All rows, or those that train if there are others to validate.
        valid: The rows that validate, if they are given apart.
        name: Of the file or the embedded set, for messages.
        target: The column to predict, if the source knows.
    """

    frame: pd.DataFrame
    name: str
    valid: pd.DataFrame | None = None
    target: str | None = None


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
    name = target_column(source.frame, config.target or source.target, where=source.name)
    frame, notes = labelled_rows(source.frame, name)
    column = frame[name]
    task = guess_task(column) if config.task == "auto" else config.task
    if source.valid is None:
        groups = strata(column, task) if column.nunique() > 1 else np.zeros(len(frame), np.int64)
        target = learn_target(column, np.arange(len(frame)), task, where=source.name)
        train_rows, valid_rows = split_rows(
            groups, config.valid_fraction, seed=config.run.seed, where=source.name
        )
        target = learn_target(column, train_rows, task, where=source.name)
        train, valid = frame.iloc[train_rows], frame.iloc[valid_rows]
    else:
        target = learn_target(column, np.arange(len(frame)), task, where=source.name)
        target_column(source.valid, name, where="valid")
        valid, more = labelled_rows(source.valid, name, part=" of the validation file")
        train, notes = frame, notes + more
    kinds, dropped, remarks = choose_kinds(frame.drop(columns=name), config)
    schema = Schema.fit(train, kinds)
    if target.task == "classification":
        notes += rare_classes(train[name])
    return Dataset(
        schema,
        target,
        train=encode(schema, target, train, source.name),
        valid=encode(schema, target, valid, source.name if source.valid is None else "valid"),
        dropped=dropped,
        notes=(*notes, *remarks, *(f"Column {key!r} is left out: {why}" for key, why in dropped.items())),
        missing={key: float(frame[key].isna().mean()) for key in frame},
    )
