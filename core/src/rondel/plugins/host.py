"""The plugin host: loads plugins one at a time, and keeps what one does wrong from the others.

pluggy keeps the hooks; loading is done here, because pluggy's own loader stops at the first broken
plugin without naming it. A host is made by the command line or the session and passed on.
"""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pluggy

from rondel.errors import PluginError
from rondel.plugins import spec
from rondel.plugins.admission import (
    RESERVED_NAMES,
    IncompatibleError,
    RefusedError,
    announced_domain,
    check_plugin,
    load_target,
)
from rondel.plugins.discovery import EntryPoint, entry_points
from rondel.plugins.record import PluginRecord, one_line, sentence
from rondel.registry import Registry

if TYPE_CHECKING:
    import click

    from rondel.callback import Callback
    from rondel.domain import Domain
    from rondel.run import Run

OFFICIAL_DOMAINS = ("detection", "text", "tabular", "gan")
"""Domains that ``pip install "rondel[NAME]"`` brings."""

_FAILED = object()  # what a hook that raised returns; None is a result


def warn_on_stderr(message: str) -> None:
    """Write one line to stderr."""
    print(message, file=sys.stderr)


class PluginHost:
    """Find, load and call plugins, each on its own.

    Args:
        disabled: Names that are not loaded.
        allowed: The only names that are loaded; None allows all.
        entries: The plugins to choose from; by default the installed ones.
        warn: Receives one line for each plugin that is skipped and each hook that fails.

    Example:
        >>> host = PluginHost(entries=[])
        >>> host.records()
        ()
    """

    def __init__(
        self,
        *,
        disabled: Iterable[str] = (),
        allowed: Iterable[str] | None = None,
        entries: Iterable[EntryPoint] | None = None,
        warn: Callable[[str], None] = warn_on_stderr,
    ) -> None:
        self._disabled = frozenset(disabled)
        self._allowed = None if allowed is None else frozenset(allowed)
        self._entries = tuple(entry_points(spec.PROJECT) if entries is None else entries)
        self._warn = warn
        self._records: dict[EntryPoint, PluginRecord] = {}
        self._domains: dict[EntryPoint, Domain] = {}
        self._registry: Registry | None = None
        self._hooks = pluggy.PluginManager(spec.PROJECT)
        self._hooks.add_hookspecs(spec)

    @classmethod
    def from_environment(
        cls,
        *,
        disabled: Iterable[str] = (),
        environment: Mapping[str, str] | None = None,
        warn: Callable[[str], None] = warn_on_stderr,
    ) -> PluginHost:
        """Make a host that heeds ``RONDEL_PLUGINS=none`` and ``RONDEL_PLUGINS=a,b``."""
        switch = (os.environ if environment is None else environment).get("RONDEL_PLUGINS", "")
        names = [name.strip() for name in switch.split(",") if name.strip()]
        allowed = [] if names == ["none"] else names or None
        return cls(disabled=disabled, allowed=allowed, warn=warn)

    def names(self) -> tuple[str, ...]:
        """Return the names of all installed plugins, loading none."""
        return tuple(sorted({entry.name for entry in self._entries}))

    def load(self) -> None:
        """Load every plugin that may be loaded and is not loaded yet."""
        for entry in self._entries:
            self._load(entry)
        self._drop_rival_domains()

    def records(self) -> tuple[PluginRecord, ...]:
        """Load every plugin that may be loaded, and say what became of each."""
        self.load()
        return tuple(self._records[entry] for entry in self._entries)

    def domains(self) -> dict[str, Domain]:
        """Return every usable domain by name, in alphabetical order."""
        self.load()
        by_name = {domain.name: domain for domain in self._domains.values()}
        return dict(sorted(by_name.items()))

    def domain(self, name: str) -> Domain:
        """Return a domain; loads no other plugin if the one of that name announces it.

        Raises:
            PluginError: The domain is unknown, or its plugin cannot be used.
        """
        for entry in self._entries:
            if entry.name == name:
                # the error below says what is wrong: no second line about the same plugin
                self._load(entry, announce=False)
        if self._announced(name) is None and not self._culprits(name):
            self.load()
        found = self._announced(name)
        if found is None:
            raise self.missing(name)
        return found

    def domain_of(self, record: PluginRecord) -> Domain | None:
        """Return the domain that a plugin announces, if it is usable."""
        matches = (each for entry, each in self._domains.items() if self._records[entry] == record)
        return next(matches, None)

    def missing(self, name: str, *, commands: Iterable[str] = ()) -> PluginError:
        """Return the error that says why no domain, or command, of that name can be used."""
        culprits = self._culprits(name)
        if culprits:
            reasons = "; ".join(f"{each} is {each.state}: {each.reason}" for each in culprits)
            return PluginError(
                f"domain {name!r} cannot be used: {reasons}", hint=_remedy(culprits[0])
            )
        what = "domain or command" if commands else "domain"
        choices = [*self.domains(), *commands]
        return PluginError(f"no {what} is called {name!r}", hint=_nearest(name, choices))

    def registry(self) -> Registry:
        """Return the components of all plugins, as lazy names."""
        if self._registry is None:
            registry = Registry()
            for entry, function in self._implementations("rondel_components"):
                added = Registry(provider=entry.owner)
                if self._call(entry, function, {"registry": added}) is not _FAILED:
                    registry.include(added)
            self._registry = registry
        return self._registry

    def callbacks(self, run: Run) -> list[Callback]:
        """Return the callbacks of all plugins for a run that is about to start."""
        return [
            callback
            for entry, function in self._implementations("rondel_callbacks")
            for callback in self._list(entry, function, {"run": run})
        ]

    def commands(self) -> dict[str, click.Command]:
        """Return the commands of all plugins by name; one whose name is taken is skipped."""
        implementations = list(self._implementations("rondel_commands"))
        taken = dict.fromkeys(RESERVED_NAMES, "rondel")
        taken |= {domain.name: entry.owner for entry, domain in self._domains.items()}
        commands: dict[str, click.Command] = {}
        for entry, function in implementations:
            for command in self._list(entry, function, {}):
                name = getattr(command, "name", None) or repr(command)
                if name in taken:
                    reason = f"{taken[name]} has that name already"
                    self._warn(f"{self._records[entry]}: command {name!r} was skipped: {reason}.")
                    continue
                taken[name], commands[name] = entry.owner, command
        return dict(sorted(commands.items()))

    def run_finished(self, run: Run, outcome: str) -> None:
        """Tell all plugins how a run ended."""
        for entry, function in self._implementations("rondel_run_finished"):
            self._call(entry, function, {"run": run, "outcome": outcome})

    def _load(self, entry: EntryPoint, *, announce: bool = True) -> None:
        if entry in self._records:
            return
        record = PluginRecord(entry.name, entry.distribution, entry.version, entry.target)
        try:
            record = self._admit(entry, record)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a plugin may fail in any way
            record = _refused(record, error)
        self._records[entry] = record
        if announce and record.state not in {"ok", "disabled"}:
            self._warn(f"{record} was skipped: {sentence(record.reason)}")

    def _admit(self, entry: EntryPoint, record: PluginRecord) -> PluginRecord:
        if entry.name in self._disabled:
            return replace(record, state="disabled", reason="switched off by --no-plugin")
        if self._allowed is not None and entry.name not in self._allowed:
            return replace(record, state="disabled", reason="left out by RONDEL_PLUGINS")
        rivals = [each.owner for each in self._entries if each.name == entry.name and each != entry]
        if rivals:
            reason = f"{' and '.join(rivals)} has a plugin of the same name"
            return replace(record, state="duplicate", reason=reason)
        plugin = load_target(entry.target)
        hooks = check_plugin(plugin)
        domain = announced_domain(plugin) if "rondel_domain" in hooks else None
        self._hooks.register(plugin, entry.name)
        if domain is not None:
            self._domains[entry] = domain
        return replace(record, hooks=hooks)

    def _drop_rival_domains(self) -> None:
        """Take out domains of one name: neither wins, whichever was loaded first."""
        announcers: dict[str, list[EntryPoint]] = {}
        for entry, domain in self._domains.items():
            announcers.setdefault(domain.name, []).append(entry)
        for name, entries in announcers.items():
            for entry in entries if len(entries) > 1 else ():
                others = " and ".join(each.owner for each in entries if each != entry)
                reason = f"domain {name!r} is also announced by {others}"
                self._records[entry] = replace(
                    self._records[entry], state="duplicate", reason=reason
                )
                self._hooks.unregister(name=entry.name)
                del self._domains[entry]
                self._warn(f"{self._records[entry]} was skipped: {reason}.")

    def _announced(self, name: str) -> Domain | None:
        return next((each for each in self._domains.values() if each.name == name), None)

    def _culprits(self, name: str) -> list[PluginRecord]:
        """Return the unusable plugins that have, or announce, the name of a domain."""
        return [
            record
            for record in self._records.values()
            if record.state != "ok"
            and (record.name == name or record.reason.startswith(f"domain {name!r}"))
        ]

    def _implementations(self, hook: str) -> Iterator[tuple[EntryPoint, Callable[..., Any]]]:
        self.load()
        by_name = {entry.name: entry for entry, each in self._records.items() if each.state == "ok"}
        # pluggy lists implementations in the reverse order of its calls
        for implementation in reversed(getattr(self._hooks.hook, hook).get_hookimpls()):
            yield by_name[implementation.plugin_name], implementation.function

    def _list(
        self, entry: EntryPoint, function: Callable[..., Any], arguments: Mapping[str, Any]
    ) -> list[Any]:
        result = self._call(entry, function, arguments)
        if result is _FAILED or result is None:
            return []
        if not isinstance(result, list | tuple):
            kind = type(result).__name__
            self._warn(f"{self._records[entry]}: {function.__name__} returned {kind}, not a list.")
            return []
        return list(result)

    def _call(
        self, entry: EntryPoint, function: Callable[..., Any], arguments: Mapping[str, Any]
    ) -> Any:
        """Call one implementation with the arguments it asks for; a failure costs its result."""
        wanted = inspect.signature(function).parameters
        try:
            return function(**{name: arguments[name] for name in wanted if name in arguments})
        except Exception as error:  # noqa: BLE001 - a plugin may fail in any way
            reason = sentence(one_line(error))
            self._warn(f"{self._records[entry]}: {function.__name__} failed: {reason}")
            return _FAILED


def _refused(record: PluginRecord, error: BaseException) -> PluginRecord:
    if isinstance(error, IncompatibleError):
        return replace(record, state="incompatible", reason=str(error))
    if isinstance(error, RefusedError):
        return replace(record, state="broken", reason=str(error))
    import traceback

    trace = "".join(traceback.format_exception(error))
    return replace(record, state="broken", reason=one_line(error), traceback=trace)


def _remedy(record: PluginRecord) -> str:
    if record.state == "broken":
        return f"'rondel plugins check {record.name}' shows more."
    if record.state == "incompatible":
        return f"Install a version of {record.distribution} that fits this rondel."
    if record.state == "duplicate":
        return "Uninstall one of them."
    return "Leave that switch out to use it."


def _nearest(name: str, choices: list[str]) -> str:
    import difflib

    if name in OFFICIAL_DOMAINS:
        return f'Install it with: pip install "rondel[{name}]"'
    close = difflib.get_close_matches(name, choices, n=1)
    if close:
        return f"Did you mean {close[0]!r}?"
    official = difflib.get_close_matches(name, OFFICIAL_DOMAINS, n=1)
    if official:
        return f'Did you mean {official[0]!r}? Install it with: pip install "rondel[{official[0]}]"'
    listed = ", ".join(sorted(choices)) or "none"
    return f"Installed are: {listed}."
