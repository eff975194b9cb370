"""A layer of config values, and the spelling of dotted keys."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

Path = tuple[str | int, ...]
"""Where a value stands: names of groups and keys, numbers of list items."""

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_KEY_PART = re.compile(r"""\s*("(?:\\.|[^"\\\n])*"|'[^'\n]*'|[^\s.="'\[\]{}#,]+)\s*(\.?)""")


@dataclass(frozen=True)
class Layer:
    """Values from one source.

    Args:
        origin: The source in words: a file, ``"command line"``, ``"--seed"``.
        values: Nested mappings of key to value.
        lines: The line of each dotted key, where the source is a file.
    """

    origin: str
    values: Mapping[str, Any]
    lines: Mapping[str, int] = field(default_factory=dict)

    def origin_of(self, path: Path) -> str:
        """Return the origin of a key, with the line of the nearest key known above it."""
        for length in range(len(path), 0, -1):
            line = self.lines.get(dotted(path[:length]))
            if line is not None:
                return f"{self.origin}:{line}"
        return self.origin


def dotted(path: Path) -> str:
    """Spell a path as users do: ``optimizer.groups[0].match``."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{quoted_key(part)}" if text else quoted_key(part)
    return text


def quoted_key(name: str) -> str:
    """Quote a name that TOML does not take bare."""
    return name if _BARE_KEY.fullmatch(name) else quoted(name)


def quoted(text: str) -> str:
    r"""Write a text as a TOML basic string: control characters as escapes, the rest as it is.

    Raises:
        UnicodeEncodeError: The text holds half of a surrogate pair, which no TOML file can.
    """
    text.encode()
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{"".join(_escaped(escaped))}"'


def split_key(text: str, start: int = 0) -> tuple[list[str], int]:
    """Read a dotted key and return its parts and where it ends; no parts if there is none."""
    parts: list[str] = []
    position = start
    while match := _KEY_PART.match(text, position):
        parts.append(unquoted(match[1]))
        position = match.end()
        if not match[2]:
            return parts, position
    return [], start


def unquoted(text: str) -> str:
    """Return the content of a quoted text, or a bare text as it is."""
    if len(text) < 2 or text[0] != text[-1] or text[0] not in "\"'":
        return text
    try:
        return str(tomllib.loads(f"text = {text}")["text"])
    except tomllib.TOMLDecodeError:
        return text[1:-1]


def _escaped(text: str) -> Iterator[str]:
    short = {"\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r"}
    for character in text:
        if character < " " or character == "\x7f":
            yield short.get(character, f"\\u{ord(character):04x}")
        else:
            yield character
