"""`Config` and `setting`: how config keys are declared.

A config is frozen, refuses unknown keys and checks its defaults as strictly as what users write.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator
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


class Config(BaseModel):
    """A group of config keys.

    The words ``none`` and ``null`` mean `None` in every optional field, because TOML and the
    command line have no other way to say it; an optional text can therefore not be "none".

    Example:
        class ModelConfig(Config):
            width: int = setting(64, help="Features of the hidden layers.", gt=0)
            dropout: float = setting(0.1, help="Share of features dropped.", ge=0, lt=1)
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, validate_default=True, protected_namespaces=()
    )

    @classmethod
    def suiting(cls, values: Mapping[str, Any]) -> Mapping[str, Any]:  # noqa: ARG003 - for subclasses
        """Return defaults of other keys that suit what was chosen, such as the rate of a model.

        Args:
            values: What the layers set, nested and unchecked; only the outermost group is asked.
        """
        return {}

    @model_validator(mode="before")
    @classmethod
    def _fit_values(cls, values: Any) -> Any:
        if not isinstance(values, Mapping):
            return values
        fields = cls.model_fields
        return {
            name: _fitted(value, fields[name].annotation) if name in fields else value
            for name, value in values.items()
        }


def setting(
    default: Any,
    *,
    help: str,  # noqa: A002 - the word users of this function expect, as in argparse and click
    unit: str | None = None,
    resumable: bool = False,
    gt: float | None = None,
    ge: float | None = None,
    lt: float | None = None,
    le: float | None = None,
    multiple_of: float | None = None,
    min_length: int | None = None,
    max_length: int | None = None,
    pattern: str | None = None,
    discriminator: str | None = None,
) -> Any:
    """Declare a config key.

    In a union with choices, put limits on the member they belong to:
    ``steps: Annotated[int, Field(gt=0)] | Literal["auto"]``.

    Args:
        default: The value where no layer sets the key; ``...`` makes the key required.
        help: One line for ``rondel <domain> config``.
        unit: Unit of a number, such as ``"s"``.
        resumable: The key may change when a run is resumed. On a group: all keys in it may.
        gt: The value must be greater.
        ge: The value must be greater or equal.
        lt: The value must be less.
        le: The value must be less or equal.
        multiple_of: The value must be a multiple.
        min_length: Fewest characters or items.
        max_length: Most characters or items.
        pattern: Regular expression that a text must match.
        discriminator: In a union of groups, the key that tells them apart.
    """
    return Field(
        default,
        description=help,
        json_schema_extra={"unit": unit, "resumable": resumable},
        gt=gt,
        ge=ge,
        lt=lt,
        le=le,
        multiple_of=multiple_of,
        min_length=min_length,
        max_length=max_length,
        pattern=pattern,
        discriminator=discriminator,
    )


def unit_of(field: FieldInfo) -> str | None:
    """Return the unit that `setting` was given."""
    extra = field.json_schema_extra
    return str(extra["unit"]) if isinstance(extra, dict) and extra.get("unit") else None


def is_resumable(field: FieldInfo) -> bool:
    """Tell whether the key may change when a run is resumed."""
    extra = field.json_schema_extra
    return isinstance(extra, dict) and bool(extra.get("resumable"))


def default_of(name: str, field: FieldInfo, outer: BaseModel | None) -> Any:
    """Return a key's default: the enclosing group's default value decides before the class."""
    if outer is not None and name in type(outer).model_fields:
        return getattr(outer, name)
    return field.get_default(call_default_factory=True)


def tag_of(field: FieldInfo) -> str:
    """Name the key that says which variant a group is; setting the whole group sets it."""
    return field.discriminator if isinstance(field.discriminator, str) else "name"


def variant_of(
    annotation: Any, values: Mapping[str, Any], default: object
) -> type[BaseModel] | None:
    """Pick the group that values belong to, where a field allows several."""
    variants = models(annotation)
    if len(variants) == 1:
        return variants[0]
    matching = [variant for variant in variants if _tags_match(variant, values)]
    if default is not None:
        matching.sort(key=lambda variant: not isinstance(default, variant))
    return matching[0] if matching else None


def _tags_match(variant: type[BaseModel], values: Mapping[str, Any]) -> bool:
    return all(
        values[name] in choices(field.annotation) or is_none_word(values[name], field.annotation)
        for name, field in variant.model_fields.items()
        if name in values and choices(field.annotation)
    )


def _fitted(value: Any, annotation: Any) -> Any:
    """Replace words for nothing by `None`, and what pydantic would misread by what it refuses."""
    if is_none_word(value, annotation):
        return None
    members = alternatives(annotation)
    if isinstance(value, bool) and set(members) <= {int, float, type(None)}:
        return str(value).lower()  # True would pass for 1
    if value == "" and set(members) <= {Path, type(None)}:
        return ()  # an empty text would pass for the current directory
    if isinstance(value, list | tuple):
        kind = next((member for member in members if is_sequence(member)), None)
        items = [_fitted(item, item_type(kind, index)) for index, item in enumerate(value)]
        return type(value)(items) if type(value) in (list, tuple) else items
    if isinstance(value, Mapping):
        kind = next((member for member in members if is_table(member)), None)
        return {name: _fitted(item, value_type(kind)) for name, item in value.items()}
    return value
