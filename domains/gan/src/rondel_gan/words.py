"""What people write after ``rondel gan predict BUNDLE``: words KEY=VALUE, and pictures."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rondel.errors import UsageError

LISTED = 20
"""Choices that an error names."""
KINDS = {int: "a whole number", float: "a number"}
SAMPLING, TRANSLATING = ("n", "seed", "truncation", "class", "code"), ("direction",)
"""The words that a generator understands, and those of a translator."""


def numbers(text: str) -> tuple[float, ...]:
    """Read numbers between commas."""
    return tuple(float(part) for part in text.split(","))


READERS: dict[str, Callable[[str], Any]] = {
    "n": int,
    "seed": int,
    "truncation": float,
    "class": str,
    "code": numbers,
    "direction": str,
}


def parse(inputs: Sequence[str], known: Sequence[str]) -> tuple[dict[str, Any], list[Path]]:
    """Return the values by their keys, and the pictures and folders.

    Args:
        inputs: As they stand on the command line.
        known: The keys that mean something.

    Raises:
        UsageError: A word is not understood, or there is no such file.
    """
    values: dict[str, Any] = {}
    files = []
    for text in inputs:
        key, equals, value = text.partition("=")
        if Path(text).exists():
            files.append(Path(text))
        elif equals and key in known:
            values[key] = read(key, value)
        else:
            raise not_understood(text, known)
    return values, files


def read(key: str, value: str) -> Any:
    """Read the value of a key.

    Raises:
        UsageError: It is no number of its kind.
    """
    reader = READERS[key]
    try:
        return reader(value)
    except ValueError as error:
        kind = KINDS.get(reader, "a list of numbers")  # type: ignore[call-overload]
        raise UsageError(f"{key}={value!r} is not {kind}", hint=f"Write {key}=1.") from error


def not_understood(text: str, known: Sequence[str]) -> UsageError:
    """Return the error about a word that is neither a known key nor a file."""
    if "=" not in text:
        return UsageError(
            f"{text!r} is neither a file nor a folder", hint=f"Check the path. {expected(known)}"
        )
    return UsageError(f"{text!r} is not understood", hint=expected(known))


def expected(known: Sequence[str]) -> str:
    """Say which words are understood."""
    examples = {
        "n": "n=64",
        "seed": "seed=0",
        "truncation": "truncation=1.0",
        "class": "class=NAME",
        "code": "code=0.5,-1",
        "direction": "direction=back",
    }
    return f"Write {' '.join(examples[key] for key in known)}."


def nearest(name: str, choices: Sequence[str]) -> str:
    """Name the choice that was probably meant, else all of them."""
    close = difflib.get_close_matches(name, choices, n=1)
    if close:
        return f"Did you mean {close[0]!r}?"
    listed = ", ".join(map(repr, choices[:LISTED]))
    return f"Known: {listed}{' ...' if len(choices) > LISTED else ''}."
