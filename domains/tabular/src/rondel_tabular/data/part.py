"""Encoded rows: what a stream slices and a loss reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd
import torch
from torch import Tensor

from rondel_tabular.data.frames import release_unused
from rondel_tabular.data.schema import Schema
from rondel_tabular.data.split import Rows
from rondel_tabular.data.target import Target
from rondel_tabular.data.weights import row_weights


class Part(NamedTuple):
    """Encoded rows, as a stream slices them: N rows, P numbers, K categories, T targets."""

    numbers: Tensor  # (N, P) float32
    levels: Tensor  # (N, K) int32, 0 is 'unknown'
    values: Tensor  # (N, T) float32 class indices or standardised values; NaN where there is none
    weights: Tensor  # (N,) float32 how much each row counts, 1 on the average

    @property
    def rows(self) -> int:
        """N, the number of rows."""
        return len(self.numbers)


def encode(
    schema: Schema,
    targets: Sequence[Target],
    frame: pd.DataFrame,
    *,
    where: str,
    rows: Rows | None = None,
    weight: str | None = None,
) -> Part:
    """Turn rows into the tensors that a stream slices.

    Args:
        schema: How columns become inputs.
        targets: What is predicted.
        frame: The table.
        where: What it is called in messages.
        rows: The positions of those rows that are wanted; all by default.
        weight: The column of how much a row counts.

    Raises:
        DataError: A cell is not what its column holds.
        ConfigError: There is no column of weights.
    """
    values = values_of(targets, frame, rows=rows, where=where)
    weights = row_weights(frame, weight, rows=rows, where=where)
    release_unused()  # what the texts of labels took, before the most of it is needed
    return Part(*schema.encode(frame, rows=rows, where=where), values, weights)


def values_of(
    targets: Sequence[Target], frame: pd.DataFrame, *, where: str, rows: Rows | None = None
) -> Tensor:  # (N, T)
    """Return class indices or standardised values of rows, as `encode` does.

    Raises:
        DataError: A cell is empty and may not be, no number, or an unknown class.
    """
    columns = (
        frame[target.name] if rows is None else frame[target.name].iloc[rows] for target in targets
    )
    found = [t.encode(column, where=where) for t, column in zip(targets, columns, strict=True)]
    return torch.stack(found, dim=1)
