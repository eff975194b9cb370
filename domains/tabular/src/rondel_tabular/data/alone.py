"""What a column says of a target by itself: a predictor of one column, measured on other rows.

Shapes: n rows that it is fitted on, m rows that it is measured on, O outputs: one for each class, or one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rondel_tabular.data.part import Part
from rondel_tabular.data.schema import Place, Schema
from rondel_tabular.data.target import Target

Values: TypeAlias = NDArray[np.float64]
COARSE = 32
"""Bins at most that smooth out what is noise in a number."""
NEIGHBOURS = 8
"""Rows of a fine bin, that follows a number closely."""
ENOUGH_ROWS = 100
"""Rows on which a predictor is measured so well that a column can be accused."""
MOST_CELLS = 1 << 22
"""Rows times classes, or rows times numbers, that are looked at."""


@dataclass(frozen=True)
class Score:
    """How well a column predicts a target by itself.

    Args:
        explained: The share of the target's variance that it explains, at most 1 (of all class
            indicators together); below 0 where it says less than the mean does.
        accuracy: The share of rows whose class it tells; of a number the same as ``explained``.
    """

    explained: float
    accuracy: float


@dataclass(frozen=True)
class Fitting:
    """Rows to fit a predictor on and rows to measure it on.

    Args:
        train: Some rows.
        valid: Others.
    """

    train: Part
    valid: Part

    @classmethod
    def of(cls, train: Part, valid: Part, *, most: int, draw: torch.Generator) -> Fitting:
        """Draw at most so many rows of each part; if they are the same or few, divide them anew."""
        shared = train.numbers is valid.numbers
        if shared or valid.rows < ENOUGH_ROWS:
            pool = train if shared else Part(*map(torch.cat, zip(train, valid, strict=True)))
            halves = torch.randperm(pool.rows, generator=draw)[: 2 * most].chunk(2)
            return cls(*(rows_of(pool, half) for half in halves))
        parts = [
            rows_of(part, torch.randperm(part.rows, generator=draw)[:most].sort().values)
            for part in (train, valid)
        ]
        return cls(*parts)


def rows_of(part: Part, rows: Tensor) -> Part:
    """Return some rows."""
    return Part(*(tensor[rows] for tensor in part))


def most_rows(schema: Schema, targets: Sequence[Target], at_most: int) -> int:
    """Return how many rows can be looked at quickly, for as many columns and classes."""
    widest = max(schema.numbers, *(target.outputs for target in targets))
    return max(100, min(at_most, MOST_CELLS // max(1, widest)))


def scores(schema: Schema, fitting: Fitting, target: Target, place: int) -> Mapping[str, Score]:
    """Return how well each column predicts a target by itself; none if too few rows have it.

    Args:
        schema: How the features belong to columns.
        fitting: The rows.
        target: What is predicted.
        place: Of the target among all targets.
    """
    known = [~part.values[:, place].isnan() for part in (fitting.train, fitting.valid)]
    train, valid = rows_of(fitting.train, known[0]), rows_of(fitting.valid, known[1])
    if min(train.rows, valid.rows) < 2:
        return {}
    truths = [answers(target, part.values[:, place]) for part in (train, valid)]
    found = {}
    for column, where in zip(schema.columns, schema.places, strict=True):
        told = [
            score_of(prediction, truths[1], truths[0].mean(0))
            for prediction in predictions(train, valid, where, truths[0])
        ]
        found[column.name] = Score(
            explained=max((score.explained for score in told), default=0.0),
            accuracy=max((score.accuracy for score in told), default=0.0),
        )
    return found


def answers(target: Target, values: Tensor) -> Values:  # (n,) -> (n, O)
    """Return an indicator for each class, or the number."""
    if target.labels:
        indicators: Values = np.eye(len(target.labels))[values.long().numpy()]
        return indicators
    return values.double().numpy()[:, None]


def predictions(train: Part, valid: Part, place: Place, truth: Values) -> list[Values]:  # (m, O)
    """Return what each feature of a column predicts, coarsely and finely."""
    if place.level is not None:
        seen, asked = (part.levels[:, place.level].numpy() for part in (train, valid))
        return [by_level(seen, asked, truth)]
    coarse = max(2, min(COARSE, int(train.rows**0.5 / 2)))
    fine = max(2, train.rows // NEIGHBOURS)
    return [
        by_bin(train.numbers[:, number].numpy(), valid.numbers[:, number].numpy(), truth, bins)
        for number in place.numbers
        for bins in (coarse, fine)
    ]


def by_level(seen: NDArray[np.int32], asked: NDArray[np.int32], truth: Values) -> Values:
    """Predict the mean of the rows with the same level."""
    _, codes = np.unique(np.concatenate([seen, asked]), return_inverse=True)
    groups = codes[: len(seen)]
    means = means_of(groups, truth, int(codes.max()) + 1)
    unseen = np.bincount(groups, minlength=len(means)) == 0
    means[unseen] = truth.mean(0)
    return means[codes[len(seen) :]]


def by_bin(
    seen: NDArray[np.float32], asked: NDArray[np.float32], truth: Values, bins: int
) -> Values:
    """Predict between the means of bins with about the same number of rows."""
    order = np.argsort(seen, kind="stable")
    first = np.searchsorted(seen[order], seen)  # the same number is never in two bins
    _, groups = np.unique(first * bins // len(seen), return_inverse=True)
    count = int(groups.max()) + 1
    centers = means_of(groups, seen[:, None].astype("float64"), count)[:, 0]
    means = means_of(groups, truth, count)
    return np.stack([np.interp(asked, centers, column) for column in means.T], axis=1)


def means_of(groups: NDArray[np.int64], values: Values, count: int) -> Values:
    """Return the mean of the values of each group, (count, O); 0 where there are none."""
    sums = np.stack([np.bincount(groups, column, count) for column in values.T], axis=1)
    sizes = np.bincount(groups, minlength=count)
    result: Values = sums / np.maximum(sizes, 1)[:, None]
    return result


def score_of(prediction: Values, truth: Values, mean: Values) -> Score:
    """Measure what a column predicts, (m, O), against the truth and the mean (O,)."""
    whole = float(np.square(truth - mean).sum())
    explained = 1 - float(np.square(truth - prediction).sum()) / whole if whole else 0.0
    if truth.shape[1] == 1:
        return Score(explained, explained)
    told = float((prediction.argmax(1) == truth.argmax(1)).mean())
    return Score(explained, told)
