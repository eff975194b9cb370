"""Components by name: models, loops, readers, losses, metrics ... as lazy ``"module:attr"`` strings.

Adding and listing import nothing; `Registry.get` imports the one component that is used.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rondel.domain import resolve
from rondel.errors import PluginError, UsageError


@dataclass(frozen=True)
class Component:
    """One entry of a registry; ``domain`` is None for what fits every domain."""

    kind: str
    name: str
    target: str
    domain: str | None
    provider: str


class Registry:
    """Components per kind, name and domain.

    Args:
        provider: Who adds components through this object; messages name it.

    Example:
        >>> registry = Registry(provider="rondel-speech 0.3.1")
        >>> registry.add("reader", "json", "json:loads", domain="speech")
        >>> registry.get("reader", "json", domain="speech")("[1]")
        [1]
    """

    def __init__(self, *, provider: str = "rondel") -> None:
        self._provider = provider
        self._components: list[Component] = []

    def add(self, kind: str, name: str, target: str, *, domain: str | None = None) -> None:
        """Add a component; without ``domain`` it is offered to all of them.

        Raises:
            PluginError: The target is no ``"module:attr"``, or this provider added the name before.
        """
        where = f"registry.add({kind!r}, {name!r})"
        module, _, attribute = target.partition(":")
        if not module or not attribute:
            raise PluginError(
                f"{target!r} is no component",
                where=where,
                hint="Write it as 'package.module:attr'.",
            )
        component = Component(kind, name, target, domain, self._provider)
        if any(_same_place(component, other) for other in self._components):
            raise PluginError(f"{self._provider} adds the {kind} {name!r} twice", where=where)
        self._components.append(component)

    def get(self, kind: str, name: str, *, domain: str | None = None) -> Any:
        """Import and return a component of ``domain``, or one that fits every domain.

        Raises:
            UsageError: Nobody provides it; the message lists close names and their providers.
            PluginError: Several provide it, or it cannot be imported.
        """
        return resolve(self.find(kind, name, domain=domain).target)

    def find(self, kind: str, name: str, *, domain: str | None = None) -> Component:
        """Return the entry of a component without importing it; errors as in `get`."""
        offered = self.components(kind, domain=domain)
        matches = [component for component in offered if component.name == name]
        if not matches:
            raise UsageError(
                f"unknown {kind} {name!r}",
                where=domain or "",
                hint=_suggestion(kind, name, offered),
            )
        if len(matches) > 1:
            providers = " and ".join(component.provider for component in matches)
            raise PluginError(
                f"the {kind} {name!r} is provided by {providers}",
                where=domain or "",
                hint="Leave one of them out with --no-plugin NAME.",
            )
        return matches[0]

    def components(
        self, kind: str | None = None, *, domain: str | None = None
    ) -> tuple[Component, ...]:
        """Return the entries of a kind that ``domain`` can use, by name; by default all of them."""
        chosen = (
            component
            for component in self._components
            if kind in (None, component.kind)
            and (domain is None or component.domain in (None, domain))
        )
        return tuple(sorted(chosen, key=lambda each: (each.kind, each.name, each.provider)))

    def names(self, kind: str, *, domain: str | None = None) -> tuple[str, ...]:
        """Return the names one can choose from, sorted, each once."""
        return tuple(sorted({each.name for each in self.components(kind, domain=domain)}))

    def include(self, other: Registry) -> None:
        """Take over what another provider added."""
        self._components.extend(other.components())


def _same_place(one: Component, other: Component) -> bool:
    return (one.kind, one.name, one.domain) == (other.kind, other.name, other.domain)


def _suggestion(kind: str, name: str, offered: tuple[Component, ...]) -> str:
    import difflib

    if not offered:
        return f"No installed plugin provides any {kind} here."
    by_name = {component.name: component for component in offered}
    close = difflib.get_close_matches(name, by_name, n=3)
    listed = ", ".join(f"{each!r} ({by_name[each].provider})" for each in close or sorted(by_name))
    return f"Did you mean {listed}?" if close else f"There are {listed}."
