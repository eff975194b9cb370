"""What tasks learn of their rows before the training, some rows at a time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from rondel_text.data.columns import Columns, cells, name_of, names_in, number_of
from rondel_text.data.rows import Rows
from rondel_text.tasks import TASKS, Regression, Task


class Learner:
    """Finds what a task learns of its rows before the training: here nothing.

    Args:
        kind: The class of the task.
        columns: Where text and label stand.
    """

    def __init__(self, kind: Any, columns: Columns) -> None:
        self.kind = kind
        self.columns = columns

    def add(self, rows: Rows) -> None:
        """Look at some sound rows."""

    def task(self, name: str) -> Task:
        """Make the task; ``name`` stands for the data in a message.

        Raises:
            DataError: There is nothing to learn.
        """
        made: Task = self.kind.learnt(Rows.of({}, name=name), self.columns)
        return made


class NameLearner(Learner):
    """Finds the names of classes or labels."""

    def __init__(self, kind: Any, columns: Columns) -> None:
        super().__init__(kind, columns)
        self._names: dict[str, None] = {}

    def add(self, rows: Rows) -> None:
        """Note the names that are new."""
        for cell in cells(rows, self.columns.label, "label"):
            found = [name_of(cell)] if self.kind.kind == "classification" else names_in(cell)
            self._names |= {name: None for name in found if name is not None}

    def task(self, name: str) -> Task:
        """Make the task of all names."""
        found: list[Any] = list(self._names)
        if self.kind.kind == "multilabel":
            found = [[each] for each in found]  # a name may hold what parts names in a text
        made: Task = self.kind.learnt(Rows.of({self.columns.label: found}, name=name), self.columns)
        return made


class NumberLearner(Learner):
    """Finds mean and spread of numbers, of which four bytes each are kept."""

    def __init__(self, kind: Any, columns: Columns) -> None:
        super().__init__(kind, columns)
        self._numbers: list[Tensor] = []

    def add(self, rows: Rows) -> None:
        """Note the numbers."""
        found = map(number_of, cells(rows, self.columns.label, "label"))
        self._numbers.append(torch.tensor([number for number in found if number is not None]))

    def task(self, name: str) -> Task:
        """Make the task of all numbers."""
        return Regression.of_values(torch.cat(self._numbers), self.columns, where=name)


LEARNERS: Mapping[str, type[Learner]] = {
    "classification": NameLearner,
    "multilabel": NameLearner,
    "regression": NumberLearner,
}


def learner_of(kind: str, columns: Columns) -> Learner:
    """Return what learns for a kind of task."""
    return LEARNERS.get(kind, Learner)(TASKS[kind], columns)
