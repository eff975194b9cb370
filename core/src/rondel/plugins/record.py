"""What became of a plugin: its record, and the sentences that name it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "disabled", "broken", "incompatible", "duplicate"]


@dataclass(frozen=True)
class PluginRecord:
    """What became of one plugin.

    Args:
        name: The name of its entry point.
        distribution: The installed distribution that names it.
        version: The version of that distribution.
        module: The ``"module"`` or ``"module:attr"`` behind the entry point.
        state: Whether it takes part.
        reason: Why it does not, in one line.
        traceback: The whole traceback, if an exception was the reason.
        hooks: The hooks it implements.
    """

    name: str
    distribution: str
    version: str
    module: str
    state: State = "ok"
    reason: str = ""
    traceback: str = ""
    hooks: tuple[str, ...] = ()

    def __str__(self) -> str:
        owner = f"{self.distribution} {self.version}".strip()
        return f"Plugin {self.name!r} ({owner})"


def sentence(text: str) -> str:
    """End a text with a full stop, unless it asks or has one."""
    return text if text.endswith((".", "?")) else f"{text}."


def one_line(error: BaseException) -> str:
    """Return the type and the message of an exception in one line."""
    return " ".join(f"{type(error).__name__}: {error}".rstrip(": ").split())
