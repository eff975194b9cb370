"""Put pydantic's findings into words: key, origin, offending value, what is expected."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from rondel.config.annotation import (
    PLAIN,
    alternatives,
    choices,
    is_sequence,
    is_table,
    item_type,
    models,
    value_type,
    wording,
)
from rondel.config.keys import describe
from rondel.config.layer import Path, dotted
from rondel.errors import ConfigError, RondelError

_FEW_KEYS = 8
_REASONED = ("value_error", "assertion_error")  # raised by validators, with words of their own
_LONGEST_VALUE = 80


@dataclass(frozen=True)
class _Place:
    """Where an error is: the key, what the key takes, and the groups it may stand in."""

    path: Path
    annotation: Any
    metadata: Sequence[object]
    owners: tuple[type[BaseModel], ...]


def find_problems(
    model: type[BaseModel],
    error: ValidationError,
    values: Mapping[str, Any],
    origins: Mapping[Path, str],
) -> list[RondelError]:
    """Return one problem per wrong key.

    Args:
        model: The config model.
        error: What pydantic found.
        values: The values as they were written.
        origins: Where each of them was written.
    """
    details = error.errors(include_url=False)
    places = [_place(model, detail) for detail in details]
    problems: dict[tuple[Path, str], RondelError] = {}
    for detail, place in zip(details, places, strict=True):
        # a union reports each of its alternatives: the group that was meant says more
        is_above = any(place.path == p.path[: len(place.path)] != p.path for p in places)
        if is_above and detail["type"] not in _REASONED:
            continue
        value = _written(values, place.path, detail["input"])
        what, hint = _words(model, detail, place, value)
        where = _where(place.path, origins)
        problems.setdefault((place.path, what), ConfigError(what, where=where, hint=hint))
    return list(problems.values())


def _where(path: Path, origins: Mapping[Path, str]) -> str:
    for length in range(len(path), 0, -1):
        origin = origins.get(path[:length])
        if origin is not None:
            return f"{origin}: {dotted(path)}"
    return dotted(path)


def _place(model: type[BaseModel], detail: ErrorDetails) -> _Place:
    """Follow pydantic's location, which names union members between the keys."""
    place = above = _Place((), model, (), (model,))
    annotation: Any = model
    for part in detail["loc"]:
        members = [member for member in alternatives(annotation) if member is not type(None)]
        if len(members) > 1:
            annotation = _member(members, part)
            if not models(annotation):
                return place  # a value with alternatives is one key: no member is to blame
            continue
        place, above = _inside(place, members[0], part), place
        annotation = place.annotation
    if detail["type"] == "missing" and not place.owners:
        return above  # a list that is too short
    if detail["type"].startswith("union_tag"):
        return _tag_place(place, detail)
    return place


def _inside(place: _Place, member: Any, part: str | int) -> _Place:
    path = (*place.path, part)
    if models(member):
        field = member.model_fields.get(part)
        if isinstance(field, FieldInfo):
            return _Place(path, field.annotation, field.metadata, models(member))
        return _Place(path, Any, (), models(member))
    if is_table(member):
        return _Place(path, value_type(member), (), ())
    if is_sequence(member) and isinstance(part, int):
        return _Place(path, item_type(member, part), (), ())
    return _Place(path, Any, (), ())


def _member(members: list[Any], part: str | int) -> Any:
    """Pick the group of a union by the name of its class or by its tag."""
    groups = [group for member in members for group in models(member)]
    for group in groups:
        tags = {str(tag) for f in group.model_fields.values() for tag in choices(f.annotation)}
        if str(part) == group.__name__ or str(part) in tags:
            return group
    return Any


def _tag_place(place: _Place, detail: ErrorDetails) -> _Place:
    tag = detail["ctx"]["discriminator"].strip("'")
    groups = models(place.annotation)
    kinds: Any = None
    for group in groups:
        field = group.model_fields[tag]
        kinds = field.annotation if kinds is None else kinds | field.annotation
    return _Place((*place.path, tag), kinds, (), groups)


def _written(values: Any, path: Path, default: object) -> Any:
    """Return the value as its author wrote it, before types were fitted."""
    for part in path:
        try:
            values = values[part]
        except (KeyError, IndexError, TypeError):
            return default
    return values


def _words(
    model: type[BaseModel], detail: ErrorDetails, place: _Place, value: object
) -> tuple[str, str]:
    """Return what is wrong and what to do."""
    kind = detail["type"]
    expected = wording(place.annotation, place.metadata, words=PLAIN)
    if kind == "extra_forbidden":
        return "unknown key", _suggestion(model, place)
    if kind in _REASONED:
        reason = str(detail["ctx"]["error"])
        return (reason if models(place.annotation) else f"got {_shown(value)}: {reason}"), ""
    if kind == "union_tag_invalid":
        value = detail["ctx"]["tag"]
    is_missing = kind == "missing" and isinstance(detail["loc"][-1], str)
    if is_missing or kind == "union_tag_not_found":
        is_in_list = any(isinstance(part, int) for part in place.path)
        hint = "" if is_in_list else f"Set it in a recipe or with {dotted(place.path)}=VALUE."
        return f"a value is required: {expected}", hint
    allowed = [str(choice) for choice in choices(place.annotation)]
    near = difflib.get_close_matches(str(value), allowed, n=1)
    hint = f"Did you mean {near[0]!r}?" if near else ""
    return f"got {_shown(value)}, expected {expected}", hint


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}..."


def _suggestion(model: type[BaseModel], place: _Place) -> str:
    """Name the key that was meant: by the same name elsewhere, a near name here, or there."""
    word = str(place.path[-1]).lower().replace("-", "_")
    siblings = [name for owner in place.owners for name in owner.model_fields]
    elsewhere = _keys_by_name(model)
    near_here = difflib.get_close_matches(word, siblings, n=1)
    near_there = difflib.get_close_matches(word, elsewhere, n=1)
    if word in siblings:
        found = [word]
    elif word in elsewhere:
        found = elsewhere[word]
    elif near_here:
        found = near_here
    else:
        found = elsewhere[near_there[0]] if near_there else _keys_by_help(model, word)
    here = dotted(place.path)
    if here in found:
        return f"Only other kinds of {dotted(place.path[:-1])!r} have it."
    if found:
        return f"Did you mean {' or '.join(map(repr, found))}?"
    return f"Known keys: {', '.join(siblings)}." if 0 < len(siblings) <= _FEW_KEYS else ""


def _keys_by_name(model: type[BaseModel]) -> dict[str, list[str]]:
    """Map the last part of each key and group to the dotted keys that end in it."""
    found: dict[str, list[str]] = {}
    for key in describe(model):
        parts = key.name.split(".")
        if "[]" in key.name:
            continue
        for length in range(1, len(parts) + 1):
            name = ".".join(parts[:length])
            names = found.setdefault(parts[length - 1], [])
            if name not in names:
                names.append(name)
    return found


def _keys_by_help(model: type[BaseModel], word: str) -> list[str]:
    """Find keys explained by the very word: ``learning_rate`` is the help of ``lr``."""
    words = word.replace("_", " ")
    return [key.name for key in describe(model) if key.help.lower().rstrip(".") == words]
