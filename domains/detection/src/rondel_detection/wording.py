"""How counts and lines are put into words, on the terminal as on the page."""

from __future__ import annotations


def plural(count: int, noun: str, nouns: str = "") -> str:
    """Write a count with its noun: ``1 box``, ``2 boxes``."""
    return f"{count:,} {noun if count == 1 else nouns or noun + 's'}"


def printable(line: str) -> str:
    """Replace what a terminal would obey instead of showing; names come from files."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in line)
