"""A column and how it is encoded: centres, slopes and edges of its numbers, or its levels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rondel.errors import DataError
from rondel_tabular.config import Kind
from rondel_tabular.data import cells, words

MAX_LEVELS = 1000
FARTHEST = 3.0
"""What scaled numbers never reach, so that one wild cell cannot drown the others."""
BINS = 48
"""Ranges that a number is sorted into, at most."""
MOSTLY_ONE = 0.5
"""The share of one value from which half of the edges stand between different values."""

PARTS: dict[Kind, Callable[[pd.Series[Any]], dict[str, cells.Numbers]]] = {
    "number": lambda column: {"": cells.numbers(column)},
    "boolean": lambda column: {"": cells.truths(column)},
    "datetime": cells.moment_parts,
    "text": words.hashed,
}
"""The numbers that a column of each numeric kind is made of."""


@dataclass(frozen=True)
class NumericPart:
    """A number that a column is made of: itself (no name), the month of a date, a bucket of words.

    Args:
        name: Of the part; empty for the number itself.
        center: The median; what a missing number becomes.
        slope: One over the distance of the quartiles; 0 if the number is always the same.
        edges: Of the bins, ascending, after scaling.
    """

    name: str
    center: float
    slope: float
    edges: tuple[float, ...] = (0.0, 1.0)

    @classmethod
    def fit(cls, name: str, values: cells.Numbers, bins: int) -> Self:
        """Learn centre, slope and edges from what is there."""
        present = values[~np.isnan(values)]
        if not len(present):
            return cls(name, 0.0, 0.0)
        low, first, center, third, high = np.quantile(present, (0, 0.25, 0.5, 0.75, 1)).tolist()
        # rounding leaves a tiny range where all values are the same
        if high - low <= 1e-12 * max(abs(low), abs(high)):
            return cls(name, center, 0.0)
        slope = 1 / (third - first) if third > first else 2 / (high - low)
        unfinished = cls(name, center, slope)
        return replace(unfinished, edges=edges_of(unfinished.scaled(present), bins))

    def scaled(self, values: cells.Numbers) -> cells.Numbers:
        """Return values between -3 and 3, most of them near 0 (Holzmüller et al., 2024: RealMLP).

        z = (x - median) / (distance of the quartiles), then z / sqrt(1 + (z / 3)^2).
        """
        moved = (values - self.center) * self.slope
        scaled: cells.Numbers = moved / np.sqrt(1 + np.square(moved / FARTHEST))
        return scaled


@dataclass(frozen=True)
class Column:
    """A column and how it is encoded.

    Args:
        name: In the table.
        kind: What its cells are.
        optional: Cells were missing in training, so it may be absent; a number then has an
            indicator of its own for 'missing'.
        parts: Of a numeric kind: its numbers.
        levels: Of a category: those seen at least twice, most frequent first. Every other text,
            and a missing cell, is the level 'unknown', which is 0.
    """

    name: str
    kind: Kind
    optional: bool
    parts: tuple[NumericPart, ...] = ()
    levels: tuple[str, ...] = ()

    @classmethod
    def fit(cls, column: pd.Series[Any], kind: Kind, *, bins: int = BINS) -> Self:
        """Learn centres, slopes, edges and levels of a column."""
        name = str(column.name)
        if kind == "category":
            texts = cells.texts(column)
            counts = texts.value_counts()
            # sort=False above would keep ties in order of appearance; the text decides instead
            kept = sorted(counts[counts >= 2].items(), key=lambda item: (-item[1], str(item[0])))
            levels = tuple(str(level) for level, _ in kept[:MAX_LEVELS])
            return cls(name, kind, bool(texts.isna().any()), levels=levels)
        values = PARTS[kind](column)
        empty = any(bool(np.isnan(part).any()) for part in values.values())
        parts = [NumericPart.fit(key, part, bins) for key, part in values.items()]
        # a part that never changes says nothing; a plain number stays, for its indicator
        useful = tuple(part for part in parts if part.slope > 0 or not part.name)
        return cls(name, kind, empty, parts=useful)

    def encode_numbers(self, column: pd.Series[Any] | None, rows: int) -> list[cells.Numbers]:
        """Return the scaled features of a numeric column, an absent one as missing."""
        return self.features(self.read(column, rows))

    def read(self, column: pd.Series[Any] | None, rows: int) -> dict[str, cells.Numbers]:
        """Return the numbers that the cells are made of, by the name of their part."""
        if column is not None:
            return PARTS[self.kind](column)
        return {name: np.full(rows, np.nan) for name in ("", *(part.name for part in self.parts))}

    def features(self, values: Mapping[str, cells.Numbers]) -> list[cells.Numbers]:
        """Return numbers as scaled features, and the indicator for 'missing' if there is one."""
        features = [np.nan_to_num(part.scaled(values[part.name])) for part in self.parts]
        return [*features, missing_in(values).astype("float64")] if self.optional else features

    def encode_levels(self, column: pd.Series[Any] | None, rows: int) -> NDArray[np.int64]:
        """Return the level of each cell of a category; 0 is unseen, rare or missing."""
        if column is None:
            return np.zeros(rows, dtype=np.int64)
        return cells.places(column, self.levels) + 1

    def refuse_nonsense(self, column: pd.Series[Any]) -> None:
        """Refuse a column of which no cell is of its kind, unless all of them are empty.

        Raises:
            DataError: A cell is there.
        """
        there = ~cells.missing(column)
        if there.any():
            raise DataError(
                f"no cell is a {self.kind}, {cells.first_of(column, there)}",
                where=f"column {self.name!r}",
                hint="Convert the column, or set another kind for it with kinds.NAME=KIND.",
            )


def missing_in(values: Mapping[str, cells.Numbers]) -> cells.Flags:
    """Tell which cells are missing, by the numbers that they are made of."""
    return np.isnan(next(iter(values.values())))


def edges_of(values: cells.Numbers, bins: int) -> tuple[float, ...]:
    """Return the edges of at most so many bins, between which a network's answer may bend.

    They are quantiles of the values. Where one value makes up half of them, quantiles would all be
    that value: half of the edges are quantiles of the different values then.

    Args:
        values: Scaled, at least two different ones.
        bins: At least 1.
    """
    different, counts = np.unique(values, return_counts=True)
    if len(different) <= bins + 1:
        return tuple(different.tolist())
    apart = bins // 2 if counts.max() > MOSTLY_ONE * len(values) else 0
    edges = np.quantile(values, np.linspace(0, 1, bins - apart + 1))
    if apart:
        edges = np.concatenate([edges, np.quantile(different, np.linspace(0, 1, apart + 1))])
    return tuple(np.unique(edges).tolist())
