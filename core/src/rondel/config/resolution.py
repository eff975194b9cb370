"""Lay config layers over each other and check the result as a whole."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from rondel.config.annotation import is_none_word, models
from rondel.config.layer import Layer, Path, dotted
from rondel.config.model import Config, default_of, tag_of, variant_of
from rondel.config.problems import find_problems
from rondel.errors import ConfigError

C = TypeVar("C", bound=Config)


@dataclass(frozen=True)
class Resolved(Generic[C]):
    """A checked config, and where each of its values came from.

    Args:
        config: The config.
        origins: ``"default"``, ``"recipe.toml:12"``, ``"command line"`` ... by dotted key.
    """

    config: C
    origins: Mapping[str, str]


def resolve(model: type[C], layers: Sequence[Layer]) -> Resolved[C]:
    """Merge layers, later ones over earlier ones, and check them against a config model.

    Groups and tables are merged key by key; lists are replaced as a whole. Below all layers lies
    what `Config.suiting` says of them.

    Raises:
        ConfigError: With every unknown key, wrong value and missing value of all layers.
    """
    values, origins = _merged(model, layers)
    suiting = model.suiting(values)
    if suiting:
        values, origins = _merged(model, [Layer("default", suiting), *layers])
    try:
        config = model.model_validate(_over_defaults(model, values, None))
    except ValidationError as error:
        raise ConfigError.collect(find_problems(model, error, values, origins)) from error
    return Resolved(
        config, {dotted(path): origins.get(path, "default") for path in _leaves(config, ())}
    )


def _merged(
    model: type[BaseModel], layers: Sequence[Layer]
) -> tuple[dict[str, Any], dict[Path, str]]:
    values: dict[str, Any] = {}
    origins: dict[Path, str] = {}
    for layer in layers:
        _merge(values, _with_groups(model, layer.values), layer, (), origins)
    return values, origins


def _with_groups(model: type[BaseModel], values: Mapping[str, Any]) -> dict[str, Any]:
    """Spell groups as mappings: instances, and names as in ``optimizer = "adamw"``."""
    result = dict(values)
    for name, value in values.items():
        field = model.model_fields.get(name)
        groups = models(field.annotation) if field is not None else ()
        if field is None or not groups:
            continue
        if isinstance(value, BaseModel):
            value = {key: getattr(value, key) for key in value.model_fields_set}  # noqa: PLW2901
        tag = tag_of(field)
        is_name = isinstance(value, str) and not is_none_word(value, field.annotation)
        if is_name and any(tag in group.model_fields for group in groups):
            result[name] = {tag: value}
        elif isinstance(value, Mapping):
            group = variant_of(field.annotation, value, None) or groups[0]
            result[name] = _with_groups(group, value)
    return result


def _merge(
    values: dict[str, Any],
    new: Mapping[str, Any],
    layer: Layer,
    path: Path,
    origins: dict[Path, str],
) -> None:
    for key, value in new.items():
        here = (*path, key)
        if isinstance(value, Mapping) and isinstance(values.get(key), dict):
            origins[here] = layer.origin_of(here)
            _merge(values[key], value, layer, here, origins)
            continue
        for old in [old for old in origins if old[: len(here)] == here]:
            del origins[old]
        _record(origins, layer, here, value)
        values[key] = _copied(value)


def _copied(value: Any) -> Any:
    """Copy mappings, so that merging into them leaves the layer as it is."""
    if isinstance(value, Mapping):
        return {key: _copied(item) for key, item in value.items()}
    return value


def _record(origins: dict[Path, str], layer: Layer, path: Path, value: object) -> None:
    origins[path] = layer.origin_of(path)
    if isinstance(value, Mapping):
        for key, item in value.items():
            _record(origins, layer, (*path, key), item)
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            _record(origins, layer, (*path, index), item)


def _over_defaults(
    model: type[BaseModel], values: Mapping[str, Any], outer: BaseModel | None
) -> dict[str, Any]:
    """Complete a group that is set in part from the default of the field it stands in.

    Without this, pydantic would fall back to the defaults of the group's class.
    """
    result = dict(values)
    for name, field in model.model_fields.items():
        default = default_of(name, field, outer)
        if name not in values:
            if outer is not None:
                result[name] = default
        elif isinstance(values[name], dict):
            group = variant_of(field.annotation, values[name], default)
            if group is not None:
                inner = default if isinstance(default, group) else None
                result[name] = _over_defaults(group, values[name], inner)
    return result


def _leaves(value: object, path: Path) -> Iterator[Path]:
    """Yield the paths of all values: those of groups and tables, not those inside lists."""
    items: dict[Any, Any] = {}
    if isinstance(value, BaseModel):
        items = {name: getattr(value, name) for name in type(value).model_fields}
    elif isinstance(value, Mapping):
        items = dict(value)
    if not items and path:
        yield path
    for name, item in items.items():
        yield from _leaves(item, (*path, str(name)))
