"""Rows of a text data set: columns of plain values, each row knowing where it came from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain
from typing import Any, Self

from rondel.errors import DataError


@dataclass(frozen=True)
class Rows:
    """A table of texts.

    Args:
        columns: Values by column name, each as long as ``numbers``. A cell is None where the file
            has none, else a string, number, boolean or a list of them.
        files: The files that the rows were read from.
        file: Index into ``files`` of each row.
        numbers: Line of each row in its file, counted from 1 (of a row that spans several lines, the
            first; in a parquet file, the row).
        notes: What of the files is not in the rows, a sentence each, for the user to see.
    """

    columns: Mapping[str, Sequence[Any]]
    files: Sequence[str]
    file: Sequence[int]
    numbers: Sequence[int]
    notes: Sequence[str] = ()

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.numbers)

    def __getitem__(self, column: str) -> Sequence[Any]:
        """Return a column."""
        return self.columns[column]

    def where(self, row: int) -> str:
        """Say where a row came from, for a message: ``reviews.csv:17``."""
        return f"{self.files[self.file[row]]}:{self.numbers[row]}"

    def take(self, rows: Sequence[int]) -> Self:
        """Return some of the rows, in the given order."""
        return type(self)(
            columns={name: [cells[row] for row in rows] for name, cells in self.columns.items()},
            files=self.files,
            file=[self.file[row] for row in rows],
            numbers=[self.numbers[row] for row in rows],
            notes=self.notes,
        )

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield each row as a dict."""
        for row in range(len(self)):
            yield {name: cells[row] for name, cells in self.columns.items()}

    @classmethod
    def of(cls, columns: Mapping[str, Sequence[Any]], *, name: str) -> Self:
        """Make rows of values in memory; ``name`` stands for the file.

        Raises:
            DataError: The columns differ in length.
        """
        sizes = {column: len(cells) for column, cells in columns.items()}
        if len(set(sizes.values())) > 1:
            raise DataError(f"the columns differ in length: {sizes}", where=name)
        size = next(iter(sizes.values()), 0)
        return cls(columns, (name,), [0] * size, range(1, size + 1))

    @classmethod
    def of_records(
        cls,
        records: Iterable[tuple[int, Mapping[str, Any]]],
        *,
        file: str,
        notes: Sequence[str] = (),
    ) -> Self:
        """Make rows of the records of a file, each with its line; what a record lacks is None."""
        found = list(records)
        names = dict.fromkeys(chain.from_iterable(cells for _, cells in found))
        return cls(
            columns={name: [cells.get(name) for _, cells in found] for name in names},
            files=(file,),
            file=[0] * len(found),
            numbers=[number for number, _ in found],
            notes=notes,
        )

    @classmethod
    def join(cls, parts: Sequence[Rows]) -> Self:
        """Put tables one below the other; a column that one of them lacks is None there."""
        names = dict.fromkeys(chain.from_iterable(part.columns for part in parts))
        starts = accumulate((len(part.files) for part in parts), initial=0)
        return cls(
            columns={
                name: list(
                    chain.from_iterable(
                        part.columns.get(name, [None] * len(part)) for part in parts
                    )
                )
                for name in names
            },
            files=[name for part in parts for name in part.files],
            file=[
                start + index
                for part, start in zip(parts, starts, strict=False)  # starts has one more, the end
                for index in part.file
            ],
            numbers=[number for part in parts for number in part.numbers],
            notes=[note for part in parts for note in part.notes],
        )
