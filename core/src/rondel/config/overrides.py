"""``key=value`` from the command line, read by the type of the key instead of by guessing."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from rondel.config.annotation import (
    alternatives,
    choices,
    is_none_word,
    is_sequence,
    is_table,
    item_type,
    models,
    value_type,
)
from rondel.config.layer import Layer, split_key, unquoted
from rondel.config.model import tag_of
from rondel.errors import ConfigError, RondelError

_TRUTH = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_BRACKETS = {"[": "]", "{": "}", "(": ")"}


def parse_overrides(
    model: type[BaseModel], items: Sequence[str], *, origin: str = "command line"
) -> Layer:
    """Read ``key=value`` items into a layer; of two values for one key the later counts.

    Lists are written ``a,b`` or ``[a, b]``, tables ``{key = value}``, nothing ``none``. A group
    that is set as a whole, as in ``optimizer=adamw``, gets its ``name``.

    Raises:
        ConfigError: An item is no ``key=value``. What the model forbids is found by `resolve`.
    """
    values: dict[str, Any] = {}
    problems: list[RondelError] = []
    for item in items:
        key, equals, text = item.partition("=")
        parts, end = split_key(key)
        if not equals:
            problems.append(_no_value(item, origin))
        elif not parts or key[end:].strip():
            hint = "Lists are set as a whole." if "[" in key else ""
            problems.append(ConfigError(f"{key!r} is no key", where=origin, hint=hint))
        else:
            _insert(values, _placed(model, parts, text.strip()))
    if problems:
        raise ConfigError.collect(problems)
    return Layer(origin, values)


def value_from_text(text: str, annotation: Any, field: FieldInfo | None = None) -> Any:
    """Read a text as the type it is meant for; a text that does not fit is returned as it is."""
    if is_none_word(text, annotation):
        return None
    for choice in choices(annotation):
        if text == str(choice):
            return choice
    members = alternatives(annotation)
    for read in (_read_bool, _read_number, _read_path):
        value = read(text, members)
        if value is not None:
            return value
    if models(annotation):
        return _read_group(text, annotation, field)
    return _read_container(text, members)


def split_items(text: str, *, opening: str = "[(") -> list[str]:
    """Split ``a,b`` or ``[a, b]`` at the commas outside quotes and brackets."""
    text = text.strip()
    if text[:1] in tuple(opening) and _closing(text) == len(text) - 1:
        text = text[1:-1]
    items, start = [], 0
    for position, depth in _structure(text):
        if text[position] == "," and depth == 0:
            items.append(text[start:position].strip())
            start = position + 1
    items.append(text[start:].strip())
    if not items[-1]:  # a trailing comma, as TOML allows, or nothing at all
        items.pop()
    return items


def _no_value(item: str, origin: str) -> ConfigError:
    name = item.lstrip("-") or "key"
    return ConfigError(
        f"{item!r} is no key=value", where=origin, hint=f"Write {name}=VALUE, without spaces."
    )


def _placed(annotation: Any, parts: Sequence[str], text: str) -> dict[str, Any]:
    """Nest a text under its key parts, read by the type found there."""
    head, *rest = parts
    for group in models(annotation):
        field = group.model_fields.get(head)
        if field is not None:
            value = (
                _placed(field.annotation, rest, text)
                if rest
                else value_from_text(text, field.annotation, field)
            )
            return {head: value}
    for member in alternatives(annotation):
        if is_table(member):
            inner = value_type(member)
            if rest and (models(inner) or any(map(is_table, alternatives(inner)))):
                return {head: _placed(inner, rest, text)}
            return {".".join(parts): value_from_text(text, inner)}
    return {head: _placed(Any, rest, text) if rest else text}


def _insert(values: dict[str, Any], new: dict[str, Any]) -> None:
    for key, value in new.items():
        if isinstance(value, dict) and isinstance(values.get(key), dict):
            _insert(values[key], value)
        else:
            values[key] = value


def _read_bool(text: str, members: tuple[Any, ...]) -> bool | None:
    return _TRUTH.get(text.lower()) if bool in members else None


def _read_number(text: str, members: tuple[Any, ...]) -> float | int | None:
    try:
        if int in members:
            return int(text)
    except ValueError:
        pass
    if int not in members and float not in members:
        return None
    try:
        number = float(text)
    except ValueError:
        return None
    if float in members:
        return number
    is_whole = math.isfinite(number) and number.is_integer()
    return int(number) if is_whole else None  # 1e6 is a fine way to write a whole number


def _read_path(text: str, members: tuple[Any, ...]) -> str | None:
    """Expand ``~``, which shells leave alone after the equals sign."""
    return str(Path(text).expanduser()) if Path in members and text.startswith("~") else None


def _read_container(text: str, members: tuple[Any, ...]) -> Any:
    for member in members:
        if is_table(member) and text.startswith("{"):
            inner = value_type(member)
            return {unquoted(key): value_from_text(item, inner) for key, item in _pairs(text)}
        if is_sequence(member):
            return [
                value_from_text(unquoted(item), item_type(member, index))
                for index, item in enumerate(split_items(text))
            ]
    return text


def _read_group(text: str, annotation: Any, field: FieldInfo | None) -> Any:
    if text.startswith("{"):
        group: dict[str, Any] = {}
        for name, value in _pairs(text):
            parts, _ = split_key(name)
            _insert(group, _placed(annotation, parts or [name], value))
        return group
    tag = tag_of(field) if field is not None else "name"
    if any(tag in group.model_fields for group in models(annotation)):
        return _placed(annotation, [tag], text)
    return text


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    for item in split_items(text, opening="{"):
        key, _, value = item.partition("=")
        yield key.strip(), unquoted(value.strip())


def _structure(text: str) -> Iterator[tuple[int, int]]:
    """Yield position and bracket depth of every character outside quotes."""
    quote, depth = "", 0
    characters = iter(enumerate(text))
    for position, character in characters:
        if quote == '"' and character == "\\":
            next(characters, None)  # whatever is escaped, it ends no text
        elif quote:
            quote = "" if character == quote else quote
        elif character in "\"'" and _opens_text(text[:position]):
            quote = character
        else:
            depth += (character in _BRACKETS) - (character in _BRACKETS.values())
            yield position, depth


def _opens_text(before: str) -> bool:
    """Tell an opening quote from the apostrophe of "don't"."""
    return before.rstrip()[-1:] in ("", ",", "=", *_BRACKETS)


def _closing(text: str) -> int:
    """Return the position of the bracket that closes the first one, or -1."""
    return next((position for position, depth in _structure(text) if depth == 0), -1)
