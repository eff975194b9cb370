"""The keys of a config model as data: for tables of keys, suggestions and comparisons."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from rondel.config.annotation import (
    SHORT,
    alternatives,
    is_optional,
    is_sequence,
    item_type,
    models,
    wording,
)
from rondel.config.layer import dotted
from rondel.config.model import Config, default_of, is_resumable, unit_of
from rondel.config.toml import inline


@dataclass(frozen=True)
class Key:
    """A config key, described for people; ``groups[].match`` is a key of each listed group."""

    name: str
    type: str
    default: str
    unit: str | None
    help: str
    resumable: bool


@dataclass(frozen=True)
class Difference:
    """A key whose value differs between two configs."""

    key: str
    saved: object
    new: object
    resumable: bool


def describe(model: type[BaseModel]) -> list[Key]:
    """List every key of a config model, in the order of declaration."""
    return list(_keys(model, outer=None, prefix="", resumable=False))


def difference(model: type[BaseModel], saved: Config, new: Config) -> tuple[Difference, ...]:
    """Compare two configs key by key.

    A group that only one of them has is one difference, with `None` on the other side.

    Args:
        model: The config model of both.
        saved: The config of the earlier run.
        new: The config that is asked for now.
    """
    return tuple(_differences(model, saved, new, path=(), resumable=False))


def json_schema(model: type[BaseModel]) -> dict[str, Any]:
    """Return the JSON schema of a config model, for editors."""
    return model.model_json_schema()


def _keys(
    model: type[BaseModel], *, outer: BaseModel | None, prefix: str, resumable: bool
) -> Iterator[Key]:
    for name, field in model.model_fields.items():
        default = default_of(name, field, outer)
        key = Key(
            name=prefix + name,
            type=wording(field.annotation, field.metadata, words=SHORT),
            default=_default_text(default),
            unit=unit_of(field),
            help=field.description or "",
            resumable=resumable or is_resumable(field),
        )
        variants = models(field.annotation)
        if not variants:
            yield key
            yield from _item_keys(field, key)
            continue
        if is_optional(field.annotation):
            yield replace(key, default="none" if default is None else "a group")
        yield from _variant_keys(variants, default, key)


def _variant_keys(variants: tuple[type[BaseModel], ...], default: object, group: Key) -> list[Key]:
    """List the keys of all variants of a group once; of two with one name the default's counts."""
    found: dict[str, Key] = {}
    for variant in sorted(variants, key=lambda variant: not isinstance(default, variant)):
        outer = default if isinstance(default, variant) else None
        keys = _keys(variant, outer=outer, prefix=f"{group.name}.", resumable=group.resumable)
        for key in keys:
            known = found.setdefault(key.name, key)
            if known.type != key.type:
                found[key.name] = replace(known, type=_merged_type(known.type, key.type))
    return list(found.values())


def _merged_type(first: str, second: str) -> str:
    start = "one of: "
    if first.startswith(start) and second.startswith(start):
        return f"{first}, {second.removeprefix(start)}"
    return f"{first} or {second}"


def _item_keys(field: FieldInfo, parent: Key) -> Iterator[Key]:
    """List the keys of groups that stand in a list."""
    for member in alternatives(field.annotation):
        if is_sequence(member):
            for model in models(item_type(member, 0)):
                yield from _keys(
                    model, outer=None, prefix=f"{parent.name}[].", resumable=parent.resumable
                )


def _default_text(default: object) -> str:
    if default is PydanticUndefined:
        return "required"
    if default is None:
        return "none"
    text = inline(default)
    is_plain_text = text.startswith('"') and len(text) > 2
    return str(getattr(default, "value", default)) if is_plain_text else text


def _differences(
    model: type[BaseModel],
    saved: BaseModel,
    new: BaseModel,
    *,
    path: tuple[str, ...],
    resumable: bool,
) -> Iterator[Difference]:
    fields = model.model_fields | type(saved).model_fields | type(new).model_fields
    for name, field in fields.items():
        here = (*path, name)
        before, after = getattr(saved, name, None), getattr(new, name, None)
        may_change = resumable or is_resumable(field)
        if isinstance(before, BaseModel) and isinstance(after, BaseModel):
            yield from _differences(type(after), before, after, path=here, resumable=may_change)
        # repr: a NaN equals itself here
        elif before != after and repr(before) != repr(after):
            yield Difference(dotted(here), before, after, may_change)
