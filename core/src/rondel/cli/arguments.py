"""From the words of a command line to a resolved config, each value with its origin."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from rondel.domain import Domain
from rondel.domain import resolve as resolve_target
from rondel.errors import UsageError

if TYPE_CHECKING:
    from rondel.config import Layer, Resolved
    from rondel.settings import DomainConfig

FLAG_KEYS = {"device": "run.device", "seed": "run.seed", "workers": "run.workers"}
"""Flags that are sugar for a config key."""


@dataclass(frozen=True)
class Source:
    """Everything a config is made from, strongest last.

    Args:
        resume: A run directory whose config is the base.
        recipe: A recipe file.
        words: ``[DATA] [key=value ...]``.
        flags: Values of the flags in `FLAG_KEYS`; None where a flag is absent.
    """

    words: Sequence[str] = ()
    recipe: Path | None = None
    resume: Path | None = None
    flags: Mapping[str, str | int | None] = field(default_factory=dict)


def overrides_of(words: Sequence[str]) -> list[str]:
    """Turn ``[DATA] [key=value ...]`` into overrides; DATA is sugar for ``data=DATA``.

    Raises:
        UsageError: There is more than one DATA.
    """
    overrides = [word for word in words if "=" in word]
    paths = [word for word in words if "=" not in word]
    if len(paths) > 1:
        raise UsageError(
            f"unexpected argument {paths[1]!r}: DATA is {paths[0]!r} already",
            hint="Config values are set as key=value.",
        )
    if paths and any(word.startswith("data=") for word in overrides):
        raise UsageError(f"DATA is given twice: {paths[0]!r} and 'data=...'")
    return [*(f"data={path}" for path in paths), *overrides]


def resolve_config(domain: Domain, source: Source) -> Resolved[DomainConfig]:
    """Resolve the config of a domain; all problems are reported together.

    Raises:
        ConfigError: Keys or values are wrong.
        UsageError: The words contradict each other, or a file is no recipe or run.
    """
    from rondel import config

    model: type[DomainConfig] = resolve_target(domain.config)
    layers: list[Layer] = []
    if source.resume is not None:
        layers.append(config.read_recipe(_saved_config(domain, source.resume)))
    if source.recipe is not None:
        layers.append(config.read_recipe(source.recipe))
    overrides = overrides_of(source.words)
    layers.append(config.parse_overrides(model, overrides))
    for flag, value in source.flags.items():
        if value is None:
            continue
        key = FLAG_KEYS[flag]
        if any(word.startswith(f"{key}=") for word in overrides):
            raise UsageError(f"{key} is given twice: as --{flag} and as {key}=...")
        layers.append(config.parse_overrides(model, [f"{key}={value}"], origin=f"--{flag}"))
    return config.resolve(model, layers)


def _saved_config(domain: Domain, directory: Path) -> Path:
    saved = directory / "config.toml"
    if not saved.is_file():
        raise UsageError(
            f"{str(directory)!r} is no run directory: it has no config.toml",
            where="--resume",
            hint="'rondel runs list' shows the runs.",
        )
    other = _domain_of_run(directory)
    if other not in {None, domain.name}:
        raise UsageError(
            f"{str(directory)!r} is a run of {other!r}, not of {domain.name!r}",
            where="--resume",
            hint=f"Resume it with: rondel {other} train --resume {directory}",
        )
    return saved


def _domain_of_run(directory: Path) -> str | None:
    try:
        manifest = json.loads((directory / "manifest.json").read_text(encoding="utf-8"))
        return str(manifest["domain"]) if manifest["domain"] else None
    except (OSError, ValueError, KeyError, TypeError):
        return None  # a damaged manifest is reported by the session, which knows what it needs
