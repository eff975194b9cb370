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
from numpy.typing import NDArray
from pandas.api import types
from torch import Tensor

from rondel.errors import ConfigError, DataError
from rondel_tabular.config import HeadName, Task
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
        head: What a network says of it.
        quantiles: Of the head 'quantiles', ascending.
        gaps: Whether rows may have none, as with several targets.
        temperature: Of a classification: what logits are divided by, so that probabilities are met.
    """

    name: str
    task: Task
    labels: tuple[Label, ...] = ()
    mean: float = 0.0
    scale: float = 1.0
    head: Literal["classes"] | HeadName = "point"
    quantiles: tuple[float, ...] = ()
    gaps: bool = False
    temperature: float = 1.0

    @property
    def outputs(self) -> int:
        """How many outputs a network needs."""
        sizes = {"classes": len(self.labels), "quantiles": len(self.quantiles), "gaussian": 2}
        return sizes.get(self.head, 1)

    @classmethod
    def fit(
        cls,
        column: pd.Series[Any],
        task: Task,
        *,
        head: HeadName = "point",
        quantiles: tuple[float, ...] = (),
        gaps: bool = False,
    ) -> Self:
        """Learn the classes, or mean and scale, from the cells of the training rows."""
        name = str(column.name)
        if task == "classification":
            return cls(name, task, labels=labels_of(column), head="classes", gaps=gaps)
        values = cells.numbers(column)
        present = values[~np.isnan(values)]
        return cls(
            name,
            task,
            mean=float(present.mean()),
            scale=float(present.std()) or 1.0,
            head=head,
            quantiles=quantiles if head == "quantiles" else (),
            gaps=gaps,
        )

    def encode(self, column: pd.Series[Any], *, where: str) -> Tensor:
        """Return class indices or standardised values, (N,) float32; NaN where there is none.

        Raises:
            DataError: A cell is empty and may not be, no number, or a class that was not there in
                training.
        """
        empty = cells.missing(column)
        if not self.gaps:
            refuse(empty, column, where=where, why="is empty")
        if self.task == "regression":
            values = cells.numbers(column)
            refuse(np.isnan(values) & ~empty, column, where=where, why="is no number")
            return torch.from_numpy(((values - self.mean) / self.scale).astype("float32"))
        codes = self.codes(column)
        listed = ", ".join(str(label) for label in self.labels[:8])
        refuse((codes < 0) & ~empty, column, where=where, why=f"is none of the classes {listed}")
        return torch.from_numpy(np.where(empty, np.nan, codes).astype("float32"))

    def codes(self, column: pd.Series[Any]) -> NDArray[np.int64]:
        """Return the class of each cell, (N,); -1 where it is empty or none of them."""
        return cells.places(column, [str(label) for label in self.labels])

    def point(self, outputs: Tensor) -> Tensor:  # (N, O) -> (N,)
        """Return one standardised number for each row: mean, or the quantile nearest the median."""
        if self.head != "quantiles":
            return outputs[:, 0]
        distances = [abs(quantile - 0.5) for quantile in self.quantiles]
        return outputs[:, distances.index(min(distances))]

    def probabilities(self, outputs: Tensor) -> Tensor:  # (N, C) -> (N, C)
        """Return the probability of each class, after the temperature, as float64."""
        return (outputs.double() / self.temperature).softmax(1)

    def in_unit(self, standardised: Tensor) -> Tensor:
        """Return standardised numbers in the unit of the target, as float64."""
        return standardised.double() * self.scale + self.mean

    def to_facts(self) -> dict[str, Any]:
        """Describe the target as plain values; `from_facts` reads it."""
        return asdict(self)

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> Self:
        """Read what `to_facts` wrote."""
        lists = {name: tuple(facts[name]) for name in ("labels", "quantiles")}
        return cls(**{**facts, **lists})


def target_column(frame: pd.DataFrame, name: str | None, *, where: str) -> str:
    """Return the name of the target column.

    Raises:
        ConfigError: None is set.
        DataError: The table has no such column.
    """
    if name is None:
        shown = ", ".join(str(column) for column in list(frame)[:12])
        raise ConfigError(
            "no column to predict is set",
            where="target",
            hint=f"Set target=COLUMN: {where} has {shown}{', ...' if frame.shape[1] > 12 else ''}.",
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


def settle_task(column: pd.Series[Any], wanted: Task | Literal["auto"], *, where: str) -> Task:
    """Return the task of a target without missing cells, after checking that it can be learnt.

    Raises:
        DataError: It is the same in every row, has too many classes, or is no number.
    """
    task = guess_task(column) if wanted == "auto" else wanted
    different = cells.count_different(column)
    if different < 2:
        raise DataError(
            f"the target {str(column.name)!r} is {str(column.iloc[0])!r} in every row: nothing can "
            "be learnt",
            where=where,
            hint="Choose another target, or rows of at least two classes.",
        )
    if task == "regression":
        refuse(np.isnan(cells.numbers(column)), column, where=where, why="is no number")
    elif different > min(MAX_CLASSES, len(column) // 2):
        raise DataError(
            f"the target {str(column.name)!r} has {different} different values in "
            f"{len(column)} rows: too many for classes",
            where=where,
            hint="Choose another target, or set task=regression if it is a number.",
        )
    return task


def refuse(bad: cells.Flags, column: pd.Series[Any], *, where: str, why: str) -> None:
    """Refuse a target that is bad in some rows.

    Raises:
        DataError: ``bad`` is true for at least one row.
    """
    if bad.any():
        count = cells.how_many(int(bad.sum()), "row", "rows")
        raise DataError(
            f"the target {str(column.name)!r} {why} in {count}, {cells.first_of(column, bad)}",
            where=where,
            hint="Correct these rows or leave them out.",
        )


def labels_of(column: pd.Series[Any]) -> tuple[Label, ...]:
    """Return the classes in their natural order, in the type that they were stored in."""
    different = list(cells.texts(column).dropna().unique())
    if types.is_bool_dtype(column.dtype):
        return tuple(sorted(word == "True" for word in different))
    if cells.is_numeric(column):
        values = sorted(float(word) for word in different)
        whole = all(value.is_integer() for value in values)
        return tuple(int(value) for value in values) if whole else tuple(values)
    return tuple(sorted(str(word) for word in different))
