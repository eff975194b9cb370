"""Which fold holds which row out: drawn within each stratum, or by whole groups."""

from __future__ import annotations

import numpy as np
import torch

from rondel import keyed
from rondel.errors import DataError
from rondel_tabular.data.split import Rows


def stratified_folds(strata: Rows, count: int, *, seed: int, repeat: int = 0) -> Rows:
    """Return the fold of each row: of every stratum, each fold has as many rows, or one more.

    Args:
        strata: (N,) the class of each row, or the range of its number.
        count: Folds.
        seed: Of the run.
        repeat: Which division of several.

    Raises:
        DataError: There are fewer rows than folds.
    """
    if len(strata) < count:
        raise DataError(
            f"{len(strata)} rows are too few for {count} folds",
            where="folds.count",
            hint="Choose fewer folds, or give more rows.",
        )
    draw = keyed.generator(seed, "tabular", "folds", repeat)
    shuffled = torch.randperm(len(strata), generator=draw).numpy()
    dealt = shuffled[np.argsort(strata[shuffled], kind="stable")]
    folds = np.empty(len(strata), dtype=np.int64)
    folds[dealt] = np.arange(len(strata)) % count  # like cards, one stratum after the other
    return folds


def grouped_folds(groups: Rows, count: int, *, seed: int, repeat: int = 0) -> Rows:
    """Return the fold of each row, so that no group lies in two.

    The largest groups are dealt first, each into the fold that has the fewest rows.

    Args:
        groups: (N,) the group of each row, from 0 on.
        count: Folds.
        seed: Of the run.
        repeat: Which division of several.

    Raises:
        DataError: There are fewer groups than folds.
    """
    sizes = np.bincount(groups)
    if np.count_nonzero(sizes) < count:
        raise DataError(
            f"{np.count_nonzero(sizes)} groups are too few for {count} folds",
            where="folds.count",
            hint="Choose fewer folds, or another split_column.",
        )
    draw = keyed.generator(seed, "tabular", "folds", repeat)
    shuffled = torch.randperm(len(sizes), generator=draw).numpy()
    filled = np.zeros(count, dtype=np.int64)
    fold_of = np.zeros(len(sizes), dtype=np.int64)
    for group in shuffled[np.argsort(-sizes[shuffled], kind="stable")]:
        fold_of[group] = filled.argmin()
        filled[fold_of[group]] += sizes[group]
    return fold_of[groups]
