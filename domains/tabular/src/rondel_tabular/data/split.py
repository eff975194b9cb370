"""Which rows validate: drawn within each class, as a pure function of the seed."""

from __future__ import annotations

from typing import Any, TypeAlias

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
    if task == "classification":
        codes, _ = pd.factorize(cells.texts(column), sort=True)
        return np.asarray(codes, dtype=np.int64)
    ranks = pd.Series(cells.numbers(column)).rank(method="first").to_numpy()
    return ((ranks - 1) * BINS // len(ranks)).astype(np.int64)


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
