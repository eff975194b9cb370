"""How much a row counts: by a column of its own, or so that all classes count the same."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import torch
from torch import Tensor

from rondel.errors import ConfigError, DataError
from rondel_tabular.data import cells
from rondel_tabular.data.nearest import nearest
from rondel_tabular.data.split import Rows
from rondel_tabular.data.target import Target


def row_weights(
    frame: pd.DataFrame, name: str | None, *, where: str, rows: Rows | None = None
) -> Tensor:
    """Return how much each row counts, (N,) float32, 1 on the average.

    Args:
        frame: The table.
        name: The column of weights; None lets all rows count the same.
        where: What the table is called in messages.
        rows: The positions of those rows that are wanted; all by default.

    Raises:
        ConfigError: There is no such column.
        DataError: A weight is missing or negative, or all are 0.
    """
    if name is None:
        return torch.ones(len(frame) if rows is None else len(rows))
    check_weight(frame, name)
    column = frame[name] if rows is None else frame[name].iloc[rows]
    with cells.located(where):
        weights = cells.numbers(column)
    bad = ~(weights >= 0)
    if bad.any() or not weights.any():
        count = cells.how_many(int(bad.sum()), "weight is", "weights are")
        raise DataError(
            f"{count} no number of 0 or more, {cells.first_of(column, bad)}"
            if bad.any()
            else "all weights are 0",
            where=f"{where}, column {name!r}",
            hint="Give every row a weight of 0 or more.",
        )
    return torch.from_numpy((weights / weights.mean()).astype("float32"))


def check_weight(frame: pd.DataFrame, name: str) -> str:
    """Return the column of weights.

    Raises:
        ConfigError: The table has no such column.
    """
    if name in frame:
        return name
    raise ConfigError(
        f"there is no column {name!r} of weights",
        where="weight",
        hint=nearest(name, [str(column) for column in frame]),
    )


def balanced(
    values: Tensor,  # (N, T)
    weights: Tensor,  # (N,)
    targets: Sequence[Target],
) -> Tensor:  # (N,)
    """Return weights with which all classes count the same, 1 on the average.

    Raises:
        ConfigError: There are no classes, or several targets.
    """
    if len(targets) > 1 or not targets[0].labels:
        raise ConfigError(
            "only the classes of a single target can be balanced",
            where="class_weights",
            hint="Leave it out; head_weights.NAME weighs several targets.",
        )
    codes = values[:, 0].long()
    sums = torch.bincount(codes, weights=weights, minlength=targets[0].outputs)
    # a class whose rows all count nothing goes on counting nothing
    scaled = torch.where(weights > 0, weights / sums[codes], 0)
    return (scaled / scaled.mean()).float()
