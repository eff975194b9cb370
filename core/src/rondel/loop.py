"""What a domain writes: a class whose ``train`` reads like its paper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from rondel.bundle import Bundle
    from rondel.data_manifest import DataManifest
    from rondel.run import Run


@dataclass(frozen=True)
class Watch:
    """The metric that decides which state is the best.

    Args:
        metric: Name among the values of the evaluation.
        mode: Whether lower ('min') or higher ('max') is better.
    """

    metric: str
    mode: Literal["min", "max"]


@dataclass(frozen=True)
class Baseline:
    """What a guess that learnt nothing achieves on the same data.

    Args:
        name: How it guesses, such as 'majority class'.
        values: Its metrics, under the names of the evaluation.
    """

    name: str
    values: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Table:
    """A table of the report.

    Args:
        columns: The heads.
        rows: Numbers, texts or None, as many in each row as there are heads.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[object]]

    def to_json(self) -> dict[str, Any]:
        """Describe the table as plain values."""
        return {"columns": list(self.columns), "rows": [list(row) for row in self.rows]}


@dataclass(frozen=True)
class Section:
    """A part of the report.

    Args:
        title: Its heading; also the name of the picture's file.
        text: Paragraphs, with an empty line between two.
        table: A table below the text.
        picture: A PNG below the table.
    """

    title: str
    text: str = ""
    table: Table | None = None
    picture: bytes | None = None


class Loop:
    """A domain's loop structure, in plain Python.

    ``train`` opens iterators of the run and calls updates, in the order in which they run.
    Everything else has a default, so that an own loop needs nothing but ``train``.
    """

    watch: Watch | None = None
    baseline: Baseline | None = None
    data: DataManifest | None = None

    def train(self, run: Run) -> None:
        """Train; open iterators of ``run`` and call updates.

        Code between iterators runs again after a resume: keep it idempotent, or wrap it in
        ``run.once``.
        """
        raise NotImplementedError

    def evaluate(self, run: Run) -> Mapping[str, Any]:
        """Return metrics by name: numbers, or `rondel.Metric` objects that the run merges."""
        raise NotImplementedError

    def sections(self, run: Run) -> Sequence[Section]:  # noqa: ARG002 - for loops that look again
        """Return what the report shows beside curves and metrics.

        Called once at the end, with the best state in place, under the conditions of an evaluation.
        """
        return ()

    def bundle(self) -> Bundle | None:
        """Return the model as it is now with all that predicting needs; None if there is none."""
        return None
