"""Runs of n neighbours in a sequence, counted: of characters or of words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence


def ngrams(units: Sequence[str], n: int) -> Counter[tuple[str, ...]]:
    """Count the runs of ``n`` neighbouring units; a text is a sequence of its characters."""
    return Counter(zip(*(units[start:] for start in range(n)), strict=False))
