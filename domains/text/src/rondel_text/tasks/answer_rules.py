"""What may be an answer, and how long the windows are that it stands in."""

from __future__ import annotations

from dataclasses import dataclass

from rondel.errors import ConfigError

SHORTEST = 16
"""Tokens of a window that a question and some of its context fit into."""


@dataclass(frozen=True)
class Rules:
    """What may be an answer.

    Args:
        longest: Most tokens of a span.
        threshold: What a span must score above 'no answer'; None where every question has one.
        overlap: Tokens that a window repeats from the one before; None takes a third.
    """

    longest: int = 30
    threshold: float | None = None
    overlap: int | None = None


def check_windows(longest: int, overlap: int | None) -> None:
    """Refuse windows that cannot hold a question and some of its context that is new.

    Raises:
        ConfigError: Names the key.
    """
    if longest < SHORTEST:
        raise ConfigError(
            f"windows of {longest} tokens cannot hold a question and some of its context",
            where="max_length",
            hint=f"Set it to {SHORTEST} or more; 384 is usual.",
        )
    # a question may take half of what marks leave
    if overlap is not None and overlap >= (longest - 3) // 2:
        raise ConfigError(
            f"windows of {longest} tokens, half of them for a question, that repeat {overlap} may "
            "tell nothing new",
            where="context",
            hint="Lower it to a third of max_length or less.",
        )
