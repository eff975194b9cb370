"""What a field's annotation says: its alternatives, choices, item types and wording.

Nothing here knows configs; `rondel.config.model` adds what is special about them.
"""

from __future__ import annotations

import types
from collections.abc import Iterable, Mapping
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

NONE_WORDS = ("none", "null", "None")
"""How nothing is written in recipes and on the command line: TOML has no null."""

SHORT = {bool: "bool", int: "int", float: "float", str: "text", Path: "path", Any: "anything"}
"""Names of types in tables of keys."""

PLAIN = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    Path: "a path",
    Any: "anything",
}
"""Names of types in messages."""

_SHOWN_NAMES = 6

CONSTRAINTS = {
    "gt": "> {}",
    "ge": ">= {}",
    "lt": "< {}",
    "le": "<= {}",
    "multiple_of": "a multiple of {}",
    "min_length": "at least {} long",
    "max_length": "at most {} long",
    "pattern": "like {!r}",
}


def alternatives(annotation: Any) -> tuple[Any, ...]:
    """Return the members of a union, or the annotation alone; `Annotated` is unwrapped."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return alternatives(get_args(annotation)[0])
    if origin is Union or origin is types.UnionType:
        return tuple(inner for member in get_args(annotation) for inner in alternatives(member))
    return (annotation,)


def is_optional(annotation: Any) -> bool:
    """Tell whether the annotation allows `None`."""
    return type(None) in alternatives(annotation)


def choices(annotation: Any) -> tuple[Any, ...]:
    """Return the values of all `Literal` and `Enum` members."""
    found: list[Any] = []
    for member in alternatives(annotation):
        if get_origin(member) is Literal:
            found.extend(get_args(member))
        elif isinstance(member, type) and issubclass(member, Enum):
            found.extend(choice.value for choice in member)
    return tuple(found)


def models(annotation: Any) -> tuple[type[BaseModel], ...]:
    """Return the pydantic models among the alternatives."""
    return tuple(
        member
        for member in alternatives(annotation)
        if isinstance(member, type) and issubclass(member, BaseModel)
    )


def is_none_word(value: object, annotation: Any) -> bool:
    """Tell whether a text stands for `None` in an optional field."""
    return value in NONE_WORDS and is_optional(annotation) and value not in choices(annotation)


def is_sequence(member: Any) -> bool:
    """Tell whether an alternative is a list, tuple or set, with or without item types."""
    kind = get_origin(member) or member
    return isinstance(kind, type) and issubclass(kind, Iterable) and not _is_scalar(kind)


def is_table(member: Any) -> bool:
    """Tell whether an alternative is a dict or another mapping."""
    kind = get_origin(member) or member
    return isinstance(kind, type) and issubclass(kind, Mapping)


def item_type(member: Any, index: int) -> Any:
    """Return the annotation of one item of a list, tuple or set."""
    arguments = get_args(member)
    if not arguments:
        return Any
    fixed = get_origin(member) is tuple and arguments[-1] is not Ellipsis
    if fixed:
        return arguments[index] if index < len(arguments) else Any
    return arguments[0]


def value_type(member: Any) -> Any:
    """Return the annotation of the values of a dict."""
    arguments = get_args(member)
    return arguments[1] if len(arguments) == 2 else Any


def wording(annotation: Any, metadata: Iterable[object] = (), *, words: Mapping[Any, str]) -> str:
    """Describe a type for people, in the vocabulary `SHORT` or `PLAIN`.

    Args:
        annotation: The annotation of a field or of an item.
        metadata: The field's constraints, which an annotation alone lacks.
        words: The names of the simple types.
    """
    members = _members_with_metadata(annotation, metadata)
    parts = [
        f"{_member_wording(member, words)} {', '.join(limits)}".rstrip()
        for member, limits in members
        if member is not type(None) and not choices(member)
    ]
    allowed = choices(annotation)
    if allowed:
        parts.append("one of: " + ", ".join(str(choice) for choice in allowed))
    text = " or ".join(dict.fromkeys(parts)) or "none"
    if is_optional(annotation) and text != "none":
        text += ", optional" if words is SHORT else " or none"
    return text


def _is_scalar(kind: type) -> bool:
    return issubclass(kind, str | bytes | Mapping | BaseModel | Enum)


def _members_with_metadata(
    annotation: Any, metadata: Iterable[object]
) -> list[tuple[Any, list[str]]]:
    origin = get_origin(annotation)
    if origin is Annotated:
        inner, *own = get_args(annotation)
        return _members_with_metadata(inner, [*metadata, *own])
    if origin is Union or origin is types.UnionType:
        return [
            pair
            for member in get_args(annotation)
            for pair in _members_with_metadata(member, metadata)
        ]
    return [(annotation, _limits(metadata))]


def _limits(metadata: Iterable[object]) -> list[str]:
    """Put constraints into words; annotated-types and pydantic name them by the same attributes."""
    found: list[str] = []
    for item in metadata:
        if isinstance(item, FieldInfo):
            found.extend(_limits(item.metadata))
            continue
        for attribute, template in CONSTRAINTS.items():
            limit = getattr(item, attribute, None)
            if limit is not None:
                found.append(template.format(limit))
    return found


def _member_wording(member: Any, words: Mapping[Any, str]) -> str:
    if member in words:
        return words[member]
    if models(member):
        names = ", ".join([*member.model_fields][:_SHOWN_NAMES])
        more = ", ..." if len(member.model_fields) > _SHOWN_NAMES else ""
        return "group" if words is SHORT else f"a group ({names}{more})"
    if is_table(member):
        return f"table of {wording(value_type(member), words=words)}"
    if not is_sequence(member):
        return str(getattr(member, "__name__", member))
    arguments = get_args(member)
    if get_origin(member) is tuple and arguments and arguments[-1] is not Ellipsis:
        inner = ", ".join(wording(argument, words=words) for argument in arguments)
        return f"({inner})" if words is SHORT else f"a list of {len(arguments)} values ({inner})"
    inner = wording(item_type(member, 0), words=words)
    return f"list of {inner}" if words is SHORT else f"a list, each {inner}"
