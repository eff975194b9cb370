"""Config: typed keys, read in layers, checked at once, written back exactly.

A config is a frozen pydantic model; its keys are declared with `setting`. Values come in layers,
later ones win: defaults < recipe < ``key=value`` < flags. Every wrong key of every layer is
reported together, each with the file and line, or the command line, it came from.

    config = resolve(DomainConfig, [read_recipe(path), parse_overrides(DomainConfig, items)]).config
"""

from rondel.config.keys import Difference, Key, describe, difference, json_schema
from rondel.config.layer import Layer
from rondel.config.model import Config, setting
from rondel.config.overrides import parse_overrides
from rondel.config.recipe import read_recipe
from rondel.config.resolution import Resolved, resolve
from rondel.config.toml import to_toml

__all__ = [
    "Config",
    "Difference",
    "Key",
    "Layer",
    "Resolved",
    "describe",
    "difference",
    "json_schema",
    "parse_overrides",
    "read_recipe",
    "resolve",
    "setting",
    "to_toml",
]
