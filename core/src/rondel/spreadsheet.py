"""What a table in a file must not do in the spreadsheet that opens it."""

from __future__ import annotations

from typing import Any

FORMULA_MARKS = ("=", "+", "-", "@", "\t", "\r")
"""What makes a spreadsheet take a cell for a formula."""


def guarded(value: Any) -> Any:
    """Put an apostrophe in front of a text that begins like a formula; leave all else alone."""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA_MARKS) else value
