"""What a plugin must fulfil before it takes part: importable, of our interface, hooks spelt right.

pluggy accepts a misspelt hook silently, and the plugin then does nothing; here it is refused.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterator
from typing import Any

from rondel.domain import PLUGIN_API, Domain
from rondel.plugins import spec

RESERVED_NAMES = frozenset({"quickstart", "plugins", "runs", "version"})
"""Words of the command line that no domain and no plugin command can take."""

_MARK = f"{spec.PROJECT}_impl"  # where pluggy's marker leaves its options on a function


class RefusedError(Exception):
    """A plugin was imported but breaks a rule of the plugin interface."""


class IncompatibleError(RefusedError):
    """A plugin was written for another version of the plugin interface."""


def load_target(target: str) -> Any:
    """Import ``"module"`` or ``"module:attr"`` and return it; errors are the plugin's own."""
    module, _, attributes = target.partition(":")
    loaded = importlib.import_module(module)
    for attribute in filter(None, attributes.split(".")):
        loaded = getattr(loaded, attribute)
    return loaded


def check_plugin(plugin: Any) -> tuple[str, ...]:
    """Check the interface version and every hook; return the hooks that are implemented.

    Raises:
        IncompatibleError: The plugin needs another `PLUGIN_API`.
        RefusedError: A hook is misspelt, unmarked, takes unknown arguments or is a wrapper.
    """
    check_api(getattr(plugin, "PLUGIN_API", PLUGIN_API))
    hooks = []
    for name, function in _functions(plugin):
        if name not in _HOOKS:
            raise RefusedError(f"unknown hook {name!r}. {_did_you_mean(name)}")
        if not hasattr(function, _MARK):
            raise RefusedError(f"{name} is not marked with @hookimpl")
        if getattr(function, _MARK)["wrapper"] or getattr(function, _MARK)["hookwrapper"]:
            raise RefusedError(f"{name} is a hook wrapper, which rondel does not call")
        _check_arguments(name, function)
        hooks.append(name)
    return tuple(hooks)


def check_api(api: object) -> None:
    """Raise `IncompatibleError` unless ``api`` is the interface that this rondel offers."""
    if api != PLUGIN_API:
        raise IncompatibleError(f"needs plugin API {api}, this rondel offers {PLUGIN_API}")


def announced_domain(plugin: Any) -> Domain:
    """Ask a plugin for its domain, and check what it answers."""
    domain = plugin.rondel_domain()
    if not isinstance(domain, Domain):
        raise RefusedError(f"rondel_domain returned {domain!r}, not a Domain")
    check_api(domain.api)
    if domain.name in RESERVED_NAMES or not domain.name.isidentifier():
        raise RefusedError(f"a domain cannot be called {domain.name!r}")
    return domain


def _functions(plugin: Any) -> Iterator[tuple[str, Callable[..., Any]]]:
    """Yield what is marked as a hook, and what looks like one but is not marked."""
    home = getattr(plugin, "__name__", type(plugin).__module__)
    for attribute in dir(plugin):
        value = getattr(plugin, attribute)
        if not inspect.isroutine(value):
            continue
        if hasattr(value, _MARK):
            yield getattr(value, _MARK)["specname"] or attribute, value
        elif attribute in _HOOKS and getattr(value, "__module__", None) == home:
            yield attribute, value


def _check_arguments(name: str, function: Callable[..., Any]) -> None:
    known = inspect.signature(_HOOKS[name]).parameters
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind in {parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL}:
            raise RefusedError(f"{name} takes *args or **kwargs; name the arguments it needs")
        if parameter.name not in known and parameter.default is parameter.empty:
            offered = ", ".join(known) or "none"
            raise RefusedError(
                f"{name} has an unknown argument {parameter.name!r}; known: {offered}"
            )


def _did_you_mean(name: str) -> str:
    import difflib

    close = difflib.get_close_matches(name, _HOOKS, n=1)
    return f"Did you mean {close[0]!r}?" if close else f"The hooks are {', '.join(sorted(_HOOKS))}."


_HOOKS: dict[str, Callable[..., Any]] = {
    name: function for name, function in vars(spec).items() if name.startswith("rondel_")
}
