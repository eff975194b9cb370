"""The record by which a domain package announces itself.

Everything heavy is named as a ``"module:attribute"`` string, so that listing domains, printing
help and reading configs load neither torch nor the domain's libraries.
"""

from __future__ import annotations

import importlib
import importlib.resources
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rondel.errors import PluginError, UsageError

PLUGIN_API = 1
"""The plugin interface offered by this version of rondel."""


@dataclass(frozen=True, kw_only=True)
class Domain:
    """A domain: its name, its config, how to build its loop, its bundles and its own verbs.

    Args:
        name: The word on the command line, ``rondel <name> train``.
        summary: One line for ``rondel --help``.
        config: ``"module:attr"`` of the pydantic model, a subclass of `rondel.DomainConfig`.
        build: ``"module:attr"`` of ``build(config) -> Loop``; loads data and makes the model.
        bundle: ``"module:attr"`` of the `rondel.Bundle` subclass that predicts.
        commands: ``"module:attr"`` of a list of click commands: the domain's own verbs.
        inspect: ``"module:attr"`` of ``inspect(config) -> str``: what the data looks like.
        demo: Overrides that make the embedded default run short, for ``rondel quickstart``.
        pretrained: Bundles that come along, ``{name: "package:folder"}``; their names stand for
            them wherever a bundle is asked for.
        api: The plugin interface the domain was written for.
    """

    name: str
    summary: str
    config: str
    build: str
    bundle: str
    commands: str | None = None
    inspect: str | None = None
    demo: tuple[str, ...] = ()
    pretrained: Mapping[str, str] = field(default_factory=dict)
    api: int = PLUGIN_API

    def bundle_named(self, name: str) -> Path:
        """Return the folder of a bundle that comes along.

        Raises:
            UsageError: There is none of that name.
        """
        if name not in self.pretrained:
            known = f" It brings along {', '.join(self.pretrained)}." if self.pretrained else ""
            raise UsageError(
                f"{name!r} is no bundle: there is no such folder",
                hint=f"Name the folder that a run wrote.{known}",
            )
        package, _, folder = self.pretrained[name].partition(":")
        return Path(str(importlib.resources.files(package))) / folder


def resolve(target: str) -> Any:
    """Import ``"module:attr"`` and return the attribute.

    Raises:
        PluginError: The module cannot be imported or lacks the attribute.
    """
    module_name, _, attribute = target.partition(":")
    try:
        return getattr(importlib.import_module(module_name), attribute)
    except (ImportError, AttributeError) as error:
        raise PluginError(
            f"cannot load {target!r}: {error}",
            hint="Reinstall the package that names it, or run 'rondel plugins check'.",
        ) from error
