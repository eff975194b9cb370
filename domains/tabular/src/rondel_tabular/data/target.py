"""What is to be predicted: classes with their labels, or a number with mean and scale.

Shapes: N rows, C classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self, TypeAlias

import numpy as np
import pandas as pd
import torch
from pandas.api import types
from rondel.errors import ConfigError, DataError
from torch import Tensor

from rondel_tabular.config import Task
from rondel_tabular.data import cells
from rondel_tabular.data.nearest import nearest

Label: TypeAlias = "str | int | float | bool"
MAX_CLASSES = 1000
FEW = 20
"""Up to this many different whole numbers are taken for classes, if each occurs often."""


@dataclass(frozen=True)
class Target:
    """The target column.

    Args:
        name: In the table.
        task: What it is.
        labels: Of a classification: the classes, in the order of the logits.
        mean: Of a regression: what prediction 0 stands for.
        scale: Of a regression: the target's standard deviation.
    """

    name: str
    task: Task
    labels: tuple[Label, ...] = ()
    mean: float = 0.0
    scale: float = 1.0

    @property
    def outputs(self) -> int:
        """How many outputs a network needs."""
        return len(self.labels) or 1

    def encode(self, column: pd.Series[Any], *, where: str) -> Tensor:
        """Return class indices (N,) int64, or standardised values (N,) float32.

        Raises:
            DataError: A cell is empty, no number, or a class that was not there in training.
        """
        if self.task == "regression":
            values = cells.numbers(column)
            self._refuse(np.isnan(values), column, where, "is no number")
            return torch.from_numpy(((values - self.mean) / self.scale).astype("float32"))
        known = pd.Index([str(label) for label in self.labels], dtype="object")
        codes = known.get_indexer(cells.texts(column).astype("object"))
        listed = ", ".join(str(label) for label in self.labels[:8])
        self._refuse(codes < 0, column, where, f"is none of the classes {listed}")
        return torch.from_numpy(codes.astype("int64"))

    def _refuse(
        self, bad: np.ndarray[Any, np.dtype[np.bool_]], column: pd.Series[Any], where: str, why: str
    ) -> None:
        if bad.any():
            first = int(np.flatnonzero(bad)[0])
            raise DataError(
                f"the target {self.name!r} {why} in {int(bad.sum())} rows, the first is data row "
                f"{first + 1} with {str(column.iloc[first])!r}",
                where=where,
                hint="Correct these rows or leave them out.",
            )

    def to_facts(self) -> dict[str, Any]:
        """Describe the target as plain values; `from_facts` reads it."""
        return asdict(self)

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> Self:
        """Read what `to_facts` wrote."""
        return cls(**{**facts, "labels": tuple(facts["labels"])})


def target_column(frame: pd.DataFrame, name: str | None, *, where: str) -> str:
    """Return the name of the target column.

    Raises:
        ConfigError: None is set.
        DataError: The table has no such column.
    """
    if name is None:
        shown = ", ".join(str(column) for column in list(frame)[:12])
        raise ConfigError(
            "which column is to be predicted?",
            where="target",
            hint=f"Set target=COLUMN; {where} has {shown}{', ...' if frame.shape[1] > 12 else ''}.",
        )
    if name not in frame:
        raise DataError(
            f"there is no column {name!r} to predict",
            where=where,
            hint=nearest(name, [str(column) for column in frame]),
        )
    return name


def guess_task(column: pd.Series[Any]) -> Task:
    """Guess whether a target without missing cells is a class or a number."""
    if types.is_bool_dtype(column.dtype):
        return "classification"
    values = cells.numbers(column)
    if np.isnan(values).any():
        return "classification"
    different = np.unique(values)
    if len(different) == 2:
        return "classification"
    whole = bool(np.all(different == np.trunc(different)))
    often = len(different) <= min(FEW, len(values) // 5)
    return "classification" if whole and often else "regression"


def learn_target(
    column: pd.Series[Any], rows: np.ndarray[Any, Any], task: Task | Literal["auto"], *, where: str
) -> Target:
    """Learn the classes from all rows, or mean and scale from the training rows.

    Args:
        column: The target without missing cells.
        rows: Positions of the training rows.
        task: What it is, or 'auto' to guess.
        where: The table's name, for messages.

    Raises:
        DataError: It is the same in every row, or has cells or classes that cannot be learnt.
    """
    name = str(column.name)
    task = guess_task(column) if task == "auto" else task
    if column.nunique() < 2:
        raise DataError(
            f"the target {name!r} is {str(column.iloc[0])!r} in every row: nothing can be learnt",
            where=where,
            hint="Choose another target, or rows of at least two classes.",
        )
    if task == "classification":
        return Target(name, task, labels=_labels(column, where))
    values = cells.numbers(column)
    Target(name, task)._refuse(np.isnan(values), column, where, "is no number")
    mean, scale = float(values[rows].mean()), float(values[rows].std())
    return Target(name, task, mean=mean, scale=scale or 1.0)


def _labels(column: pd.Series[Any], where: str) -> tuple[Label, ...]:
    """Return the classes in their natural order, in the type that they were stored in."""
    words = cells.texts(column)
    different = list(words.unique())
    if len(different) > min(MAX_CLASSES, len(words) // 2):
        raise DataError(
            f"the target {str(column.name)!r} has {len(different)} different values in "
            f"{len(words)} rows: too many for classes",
            where=where,
            hint="Choose another target, or set task=regression if it is a number.",
        )
    if types.is_bool_dtype(column.dtype):
        return tuple(sorted(word == "True" for word in different))
    if cells.is_numeric(column):
        values = sorted(float(word) for word in different)
        whole = all(value.is_integer() for value in values)
        return tuple(int(value) for value in values) if whole else tuple(values)
    return tuple(sorted(str(word) for word in different))
