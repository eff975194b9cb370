"""How the columns of a table become tensors: fitted on training rows, applied to any others.

A schema is plain values: names, kinds, centres, slopes, edges and levels. It is stored in the bundle,
needs no pickle, and copes with reordered, surplus and absent columns, other types and unseen
categories.

Shapes: N rows, P numeric features, K categorical columns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple, Self

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from rondel.errors import DataError
from rondel_tabular.config import Kind
from rondel_tabular.data import cells
from rondel_tabular.data.column import BINS, Column, NumericPart, missing_in
from rondel_tabular.data.nearest import nearest
from rondel_tabular.data.split import Rows

BLOCK_ROWS = 1 << 16


class Place(NamedTuple):
    """Where the features of a column stand."""

    numbers: range
    """Among the P numbers; the indicator for 'missing' is the last of them."""
    level: int | None
    """Among the K categories."""


@dataclass(frozen=True)
class Schema:
    """The columns that a model reads, in the order of its inputs."""

    columns: tuple[Column, ...]

    @classmethod
    def fit(
        cls,
        frame: pd.DataFrame,
        kinds: Mapping[str, Kind],
        *,
        rows: Rows | None = None,
        bins: int = BINS,
    ) -> Self:
        """Learn how to encode the named columns of a table from its rows, or from some of them."""
        columns = (frame[name] if rows is None else frame[name].iloc[rows] for name in kinds)
        found = zip(columns, kinds.values(), strict=True)
        return cls(tuple(Column.fit(column, kind, bins=bins) for column, kind in found))

    @property
    def numbers(self) -> int:
        """P, how many numeric features there are."""
        return sum(len(c.parts) + c.optional for c in self.columns if c.kind != "category")

    @property
    def edges(self) -> list[tuple[float, ...]]:
        """The edges of the bins of each of the P numeric features; indicators have one bin."""
        found: list[tuple[float, ...]] = []
        for column in self.columns:
            found += [part.edges for part in column.parts]
            found += [(0.0, 1.0)] if column.optional and column.kind != "category" else []
        return found

    @property
    def levels(self) -> tuple[int, ...]:
        """How many levels each of the K categorical columns has, 'unknown' included."""
        return tuple(len(c.levels) + 1 for c in self.columns if c.kind == "category")

    @property
    def places(self) -> list[Place]:
        """Where the features of each column stand."""
        found, number, level = [], 0, 0
        for column in self.columns:
            if column.kind == "category":
                found.append(Place(range(0), level))
                level += 1
            else:
                count = len(column.parts) + column.optional
                found.append(Place(range(number, number + count), None))
                number += count
        return found

    def encode(
        self,
        frame: pd.DataFrame,
        *,
        rows: Rows | None = None,
        where: str = "the table",
        partial: bool = False,
    ) -> tuple[Tensor, Tensor]:  # (N, P) float32, (N, K) int32
        """Turn rows into the inputs of a model, column by column.

        Args:
            frame: The table.
            rows: The positions of those rows that are wanted; all by default.
            where: What the table is called in messages.
            partial: They are a piece of a table, in which a column may hold nothing of its kind.

        Raises:
            DataError: A column is absent that had no missing cell in training, or holds nothing
                of its kind, or holds infinite numbers.
        """
        self._refuse_absent(frame, where)
        size = len(frame) if rows is None else len(rows)
        numbers = np.empty((size, self.numbers), dtype=np.float32)
        levels = np.empty((size, len(self.levels)), dtype=np.int32)
        with cells.located(where):
            for column, place in zip(self.columns, self.places, strict=True):
                found = frame.get(column.name)
                if found is not None and rows is not None:
                    found = found.iloc[rows]
                if place.level is not None:
                    fill_levels(levels[:, place.level], column, found)
                    continue
                mine = numbers[:, place.numbers.start : place.numbers.stop]
                if fill_numbers(mine, column, found) and found is not None and not partial:
                    column.refuse_nonsense(found)
        return torch.from_numpy(numbers), torch.from_numpy(levels)

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
        return {"version": 2, "columns": [asdict(column) for column in self.columns]}

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
                    parts=tuple(
                        NumericPart(**{**part, "edges": tuple(part["edges"])})
                        for part in column["parts"]
                    ),
                    levels=tuple(column["levels"]),
                )
                for column in columns
            )
        )


def fill_levels(
    levels: NDArray[np.int32],  # (N,)
    column: Column,
    found: pd.Series[Any] | None,
) -> None:
    """Write the levels of a category, some rows at a time."""
    for start in range(0, len(levels), BLOCK_ROWS):
        block = levels[start : start + BLOCK_ROWS]
        piece = None if found is None else found.iloc[start : start + BLOCK_ROWS]
        block[:] = column.encode_levels(piece, len(block))


def fill_numbers(
    numbers: NDArray[np.float32],  # (N, features of the column)
    column: Column,
    found: pd.Series[Any] | None,
) -> bool:
    """Write the features of a numeric column, some rows at a time.

    What is computed on the way takes many times the column, and not of all rows at once.

    Returns:
        Whether the column is there and all of its cells are missing.
    """
    blank = found is not None
    for start in range(0, len(numbers), BLOCK_ROWS):
        block = numbers[start : start + BLOCK_ROWS]
        piece = None if found is None else found.iloc[start : start + BLOCK_ROWS]
        values = column.read(piece, len(block))
        blank = blank and bool(missing_in(values).all())
        for number, feature in enumerate(column.features(values)):
            block[:, number] = feature
    return blank
