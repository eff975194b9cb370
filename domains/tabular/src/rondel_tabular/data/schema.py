"""How the columns of a table become tensors: fitted on training rows, applied to any others.

A schema is plain values: names, kinds, means, scales and levels. It is stored in the bundle, needs
no pickle, and copes with reordered, surplus and absent columns, other types and unseen categories.

Shapes: N rows, P numeric features, K categorical columns.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from rondel.errors import DataError
from rondel_tabular.config import Kind
from rondel_tabular.data import cells
from rondel_tabular.data.nearest import nearest

MAX_LEVELS = 1000
FARTHEST = 10.0
"""Standardised numbers are kept within this, so that one wild cell cannot drown the others."""

PARTS: dict[Kind, Callable[[pd.Series[Any]], dict[str, cells.Numbers]]] = {
    "number": lambda column: {"": cells.numbers(column)},
    "boolean": lambda column: {"": cells.truths(column)},
    "datetime": cells.moment_parts,
}
"""The numbers that a column of each numeric kind is made of."""


@dataclass(frozen=True)
class Part:
    """A number that a column is made of: itself (no name), or the month of a date."""

    name: str
    mean: float
    scale: float


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
    parts: tuple[Part, ...] = ()
    levels: tuple[str, ...] = ()

    @classmethod
    def fit(cls, column: pd.Series[Any], kind: Kind) -> Self:
        """Learn means, scales and levels of a column."""
        name = str(column.name)
        if kind == "category":
            words = cells.texts(column)
            counts = words.value_counts()
            # sort=False above would keep ties in order of appearance; the text decides instead
            kept = sorted(counts[counts >= 2].items(), key=lambda item: (-item[1], str(item[0])))
            levels = tuple(str(level) for level, _ in kept[:MAX_LEVELS])
            return cls(name, kind, bool(words.isna().any()), levels=levels)
        values = PARTS[kind](column)
        empty = any(bool(np.isnan(part).any()) for part in values.values())
        parts = [_fit_part(key, part) for key, part in values.items()]
        # a part that never changes says nothing; a plain number stays, for its indicator
        useful = [part for part in parts if part.scale > 0 or not part.name]
        fitted = tuple(Part(p.name, p.mean, p.scale or 1.0) for p in useful)
        return cls(name, kind, empty, parts=fitted)

    def encode_numbers(self, column: pd.Series[Any] | None, rows: int) -> list[cells.Numbers]:
        """Return the standardised features of a numeric column, an absent one as missing."""
        if column is None:
            values = {part.name: np.full(rows, np.nan) for part in self.parts}
        else:
            values = PARTS[self.kind](column)
            self._refuse_nonsense(column, values)
        features = []
        missing = np.zeros(rows)
        for part in self.parts:
            scaled = (values[part.name] - part.mean) / part.scale
            missing = np.isnan(scaled)
            features.append(np.clip(np.nan_to_num(scaled), -FARTHEST, FARTHEST))
        return [*features, missing.astype("float64")] if self.optional else features

    def encode_levels(self, column: pd.Series[Any] | None, rows: int) -> cells.Numbers:
        """Return the level of each cell of a category; 0 is unseen, rare or missing."""
        if column is None:
            return np.zeros(rows)
        known = pd.Index(list(self.levels), dtype="object")
        return (
            known.get_indexer(pd.Index(cells.texts(column).astype("object"))).astype("float64") + 1
        )

    def _refuse_nonsense(self, column: pd.Series[Any], values: Mapping[str, cells.Numbers]) -> None:
        """Refuse a column of which every cell is of another kind."""
        present = cells.texts(column).dropna()
        if len(present) and all(bool(np.isnan(part).all()) for part in values.values()):
            raise DataError(
                f"no cell is a {self.kind}, the first is {str(present.iloc[0])!r}",
                where=f"column {self.name!r}",
                hint="Convert the column, or set another kind for it with kinds.NAME=KIND.",
            )


@dataclass(frozen=True)
class Schema:
    """The columns that a model reads, in the order of its inputs."""

    columns: tuple[Column, ...]

    @classmethod
    def fit(cls, frame: pd.DataFrame, kinds: Mapping[str, Kind]) -> Self:
        """Learn how to encode the named columns of a table from its rows."""
        return cls(tuple(Column.fit(frame[name], kind) for name, kind in kinds.items()))

    @property
    def numbers(self) -> int:
        """P, how many numeric features there are."""
        return sum(len(c.parts) + c.optional for c in self.columns if c.kind != "category")

    @property
    def levels(self) -> tuple[int, ...]:
        """How many levels each of the K categorical columns has, 'unknown' included."""
        return tuple(len(c.levels) + 1 for c in self.columns if c.kind == "category")

    def encode(
        self, frame: pd.DataFrame, *, where: str = "the table"
    ) -> tuple[Tensor, Tensor]:  # (N, P) float32, (N, K) int64
        """Turn rows into the inputs of a model.

        Raises:
            DataError: A column is absent that had no missing cell in training, or holds nothing
                of its kind, or holds infinite numbers.
        """
        self._refuse_absent(frame, where)
        rows = len(frame)
        numbers = np.empty((rows, self.numbers), dtype=np.float32)
        levels = np.empty((rows, len(self.levels)), dtype=np.int64)
        with cells.located(where):
            self._fill(frame, numbers, levels)
        return torch.from_numpy(numbers), torch.from_numpy(levels)

    def _fill(
        self, frame: pd.DataFrame, numbers: NDArray[np.float32], levels: NDArray[np.int64]
    ) -> None:
        """Write the features of every column into its place."""
        place = level = 0
        for column in self.columns:
            found = frame.get(column.name)
            if column.kind == "category":
                levels[:, level] = column.encode_levels(found, len(frame))
                level += 1
                continue
            for feature in column.encode_numbers(found, len(frame)):
                numbers[:, place] = feature
                place += 1

    def _refuse_absent(self, frame: pd.DataFrame, where: str) -> None:
        absent = [c.name for c in self.columns if not c.optional and c.name not in frame]
        if not absent:
            return
        unused = [str(name) for name in frame if str(name) not in {c.name for c in self.columns}]
        listed = ", ".join(repr(name) for name in absent[:5])
        raise DataError(
            f"the column{'s' if len(absent) > 1 else ''} {listed}"
            f"{', ...' if len(absent) > 5 else ''} which the model reads "
            f"{'are' if len(absent) > 1 else 'is'} not there",
            where=where,
            hint=f"{nearest(absent[0], unused)} Only columns that had empty cells in training may "
            "be left out.".strip(),
        )

    def to_facts(self) -> dict[str, Any]:
        """Describe the schema as plain values; `from_facts` reads it."""
        return {"version": 1, "columns": [asdict(column) for column in self.columns]}

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> Self:
        """Read what `to_facts` wrote."""
        columns: Sequence[Mapping[str, Any]] = facts["columns"]
        return cls(
            tuple(
                Column(
                    name=column["name"],
                    kind=column["kind"],
                    optional=column["optional"],
                    parts=tuple(Part(**part) for part in column["parts"]),
                    levels=tuple(column["levels"]),
                )
                for column in columns
            )
        )


def _fit_part(name: str, values: cells.Numbers) -> Part:
    """Learn mean and standard deviation of what is there; scale 0 if it is always the same."""
    present = values[~np.isnan(values)]
    if not len(present):
        return Part(name, 0.0, 0.0)
    mean, scale = float(present.mean()), float(present.std())
    # rounding leaves a tiny deviation where all values are the same
    return Part(name, mean, scale if scale > 1e-12 * max(1.0, abs(mean)) else 0.0)
