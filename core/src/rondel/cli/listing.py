"""Config keys and values as tables for people and as JSON Lines for programs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from rondel.cli.terminal import Terminal, text_table
from rondel.config import describe

if TYPE_CHECKING:
    from rondel.config import Resolved
    from rondel.settings import DomainConfig


def list_keys(terminal: Terminal, model: type[DomainConfig]) -> None:
    """Write every key of a config model with type, default, unit and help."""
    keys = describe(model)
    for key in keys:
        fields = ("name", "type", "default", "unit", "help", "resumable")
        terminal.row("key", {field: getattr(key, field) for field in fields})
    rows = [[k.name, k.type, _text(k.default), k.unit or "", k.help] for k in keys]
    terminal.result(text_table(["key", "type", "default", "unit", "help"], rows))


def list_values(terminal: Terminal, resolved: Resolved[DomainConfig]) -> None:
    """Write every resolved value and where it comes from."""
    rows = []
    for key, value in _leaves(resolved.config.model_dump(mode="json")):
        origin = _origin(key, resolved.origins)
        terminal.row("value", {"name": key, "value": value, "origin": origin})
        rows.append([key, _text(value), origin])
    terminal.result(text_table(["key", "value", "origin"], rows))


def _leaves(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _origin(key: str, origins: Mapping[str, str]) -> str:
    """Return the origin of a key, or of the nearest group around it that was set as a whole."""
    parts = key.split(".")
    around = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
    return next((origins[name] for name in around if name in origins), "default")


def _text(value: object) -> str:
    if value is None:
        return "none"
    return value if isinstance(value, str) else json.dumps(value, default=str)
