"""What tasks share that know a set of labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

from rondel_text.data.columns import Columns
from rondel_text.data.labels import Labels


class Labelled:
    """A task with labels: classes, tags.

    Args:
        labels: All of them.
        columns: Where text and labels stand.
    """

    kind: ClassVar[str]

    def __init__(self, labels: Labels, columns: Columns) -> None:
        self.labels = labels
        self.columns = columns

    @property
    def outputs(self) -> int:
        """C."""
        return len(self.labels)

    def to_facts(self) -> dict[str, Any]:
        """Return labels and columns."""
        return {
            "kind": self.kind,
            "labels": list(self.labels.names),
            "columns": self.columns.to_facts(),
        }

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> Self:
        """Make the task again."""
        return cls(Labels(tuple(facts["labels"])), Columns(**facts["columns"]))
