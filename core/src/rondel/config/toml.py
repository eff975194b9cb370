"""Write a config as a recipe that reads back to exactly the same config."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, datetime, time
from enum import Enum
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from rondel.config.annotation import choices
from rondel.config.layer import dotted, quoted, quoted_key
from rondel.config.model import Config, default_of, unit_of
from rondel.errors import ConfigError


def to_toml(config: Config, *, comments: bool = False) -> str:
    """Write a config as a TOML recipe; `read_recipe` and `resolve` give the same config back.

    `None` is left out where it is the default, and written as ``"none"`` elsewhere.

    Args:
        config: The config.
        comments: Explain each key by its help and unit.

    Raises:
        ConfigError: A value cannot be written, such as a file name that is not Unicode.
    """
    lines = list(_table(config, None, (), comments=comments))
    return "\n".join(lines).strip("\n") + "\n"


def inline(value: object, *, key: str = "") -> str:
    """Write one value on one line.

    Raises:
        ConfigError: TOML has no such value.
    """
    if isinstance(value, BaseModel):
        value = _set_values(value)
    if isinstance(value, Mapping):
        pairs = [f"{quoted_key(str(k))} = {inline(v, key=key)}" for k, v in value.items()]
        return f"{{ {', '.join(pairs)} }}" if pairs else "{}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(inline(item, key=key) for item in value)}]"
    if isinstance(value, set | frozenset):
        return f"[{', '.join(sorted(inline(item, key=key) for item in value))}]"
    return _scalar(value.value if isinstance(value, Enum) else value, key)


def _scalar(value: object, key: str) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    try:
        return quoted("none" if value is None else str(value))
    except UnicodeEncodeError as error:
        raise ConfigError(
            f"{value!r} cannot be written to a recipe, because it is not Unicode",
            where=key,
            hint="Rename the file, or choose another text.",
        ) from error


def _table(
    group: BaseModel, outer: BaseModel | None, path: tuple[str, ...], *, comments: bool
) -> Iterator[str]:
    """Write a group: its own values first, then its tables, as TOML demands."""
    tables: list[str] = []
    for name, field in type(group).model_fields.items():
        value, default = getattr(group, name), default_of(name, field, outer)
        if isinstance(value, BaseModel) or _is_array_of_tables(value):
            tables.append(name)
        elif value is not None or default is not None:
            text = _none_word(field) if value is None else inline(value, key=dotted((*path, name)))
            yield f"{quoted_key(name)} = {text}{_comment(field) if comments else ''}"
    for name in tables:
        value = getattr(group, name)
        default = default_of(name, type(group).model_fields[name], outer)
        here = (*path, name)
        if isinstance(value, BaseModel):
            yield from ("", f"[{dotted(here)}]")
            inner = default if isinstance(default, type(value)) else None
            yield from _table(value, inner, here, comments=comments)
            continue
        for item in value:
            yield from ("", f"[[{dotted(here)}]]")
            yield from _table(item, None, here, comments=comments)


def _is_array_of_tables(value: object) -> bool:
    if not isinstance(value, list | tuple) or not value:
        return False
    return all(isinstance(item, BaseModel) for item in value)


def _none_word(field: FieldInfo) -> str:
    return '"null"' if "none" in choices(field.annotation) else '"none"'


def _set_values(group: BaseModel) -> dict[str, Any]:
    """Return a group's values without the `None` that its class sets anyway."""
    return {
        name: value
        for name, field in type(group).model_fields.items()
        if (value := getattr(group, name)) is not None or default_of(name, field, None) is not None
    }


def _comment(field: FieldInfo) -> str:
    unit = unit_of(field)
    words = [(field.description or "").replace("\n", " "), f"[{unit}]" if unit else ""]
    text = " ".join(word for word in words if word)
    return f"  # {text}" if text else ""
