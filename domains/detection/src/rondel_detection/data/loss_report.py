"""What a conversion could not keep: every kind of loss, how often, and the first places."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

EXAMPLES = 5
"""Places that are kept of each kind of loss."""


@dataclass
class Loss:
    """One kind of loss: how often it happened, and where first."""

    count: int = 0
    examples: list[str] = field(default_factory=list)


class LossReport:
    """Losses by kind, in the order in which they were first met.

    A kind is a short sentence that says what became of what, such as
    ``"polygon became its enclosing box"``.
    """

    def __init__(self) -> None:
        self.losses: dict[str, Loss] = {}

    def add(self, kind: str, place: str = "", *, count: int = 1) -> None:
        """Note a loss; ``place`` is a file with line, or an id."""
        loss = self.losses.setdefault(kind, Loss())
        loss.count += count
        if place and len(loss.examples) < EXAMPLES:
            loss.examples.append(place)

    def merge(self, other: LossReport) -> None:
        """Add the losses of another report."""
        for kind, loss in other.losses.items():
            mine = self.losses.setdefault(kind, Loss())
            mine.count += loss.count
            mine.examples = (mine.examples + loss.examples)[:EXAMPLES]

    def __bool__(self) -> bool:
        """Tell whether anything was lost."""
        return bool(self.losses)

    def __iter__(self) -> Iterator[str]:
        """Yield one line for each kind of loss."""
        for kind, loss in self.losses.items():
            places = f" (first: {', '.join(loss.examples[:3])})" if loss.examples else ""
            yield f"{loss.count} x {kind}{places}"

    def to_json(self) -> Mapping[str, Any]:
        """Describe the report as plain values."""
        return {
            kind: {"count": loss.count, "examples": list(loss.examples)}
            for kind, loss in self.losses.items()
        }
