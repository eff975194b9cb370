"""Suggestions for misspelt names."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(wanted: str, names: Iterable[str]) -> str:
    """Return a sentence that suggests the nearest name, or lists a few if none is near."""
    by_lower = {name.lower(): name for name in names}
    close = difflib.get_close_matches(wanted.lower(), by_lower, n=1)
    if close:
        return f"Did you mean {by_lower[close[0]]!r}?"
    if not by_lower:
        return ""
    few = list(by_lower.values())[:8]
    more = ", ..." if len(by_lower) > len(few) else ""
    return f"The columns are {', '.join(few)}{more}."
