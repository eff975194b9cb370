"""Named counters: how far a stream has been read, over all passes, phases and interruptions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(slots=True)
class Counter:
    """What was handed out of one stream."""

    passes: int = 0
    """Passes begun."""
    position: int = 0
    """Position in the present pass of a stream that is cycled beside another."""
    batches: int = 0
    samples: int = 0


@dataclass
class Counters:
    """The counters of a run, by stream name."""

    streams: dict[str, Counter] = field(default_factory=dict)

    def of(self, name: str) -> Counter:
        """Return the counter of a stream, new if it was never read."""
        return self.streams.setdefault(name, Counter())

    def state_dict(self) -> dict[str, Any]:
        """Return all counters."""
        return {name: asdict(counter) for name, counter in self.streams.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Put all counters back."""
        self.streams = {name: Counter(**values) for name, values in state.items()}
