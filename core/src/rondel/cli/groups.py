"""Two groups that load late: the top level, and one domain with its verbs.

Listing the top level asks plugins for names and summaries; a command's own module is imported only
when the command runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple, cast

import click

from rondel.cli.app import App
from rondel.domain import Domain, resolve
from rondel.errors import RondelError, UsageError


class LazyCommand(NamedTuple):
    """A command as ``"module:attr"``, with the line that stands in the help."""

    target: str
    summary: str


def app_of(context: click.Context) -> App:
    """Return the app of the running command."""
    return cast(App, context.find_object(App))


class TopGroup(click.Group):
    """``rondel``: its own commands, then domains, then commands of plugins."""

    def __init__(self, own: Mapping[str, LazyCommand], **settings: object) -> None:
        super().__init__(**settings)  # type: ignore[arg-type] # click's own settings
        self._own = dict(own)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return every first word; loads all plugins."""
        host = app_of(ctx).host
        return [*host.domains(), *self._own, *host.commands()]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return one command, loading only what it needs.

        Raises:
            PluginError: No domain or command has that name, or its plugin is broken.
        """
        host = app_of(ctx).host
        if cmd_name in self._own:
            return cast(click.Command, resolve(self._own[cmd_name].target))
        if cmd_name in host.names():
            try:
                return DomainGroup(host.domain(cmd_name))
            except RondelError:
                # a plugin without a domain may share its name with a command of its own
                if cmd_name not in host.commands():
                    raise
        if cmd_name in host.domains():
            return DomainGroup(host.domain(cmd_name))
        if cmd_name in host.commands():
            return host.commands()[cmd_name]
        raise host.missing(cmd_name, commands=[*self._own, *host.commands()])

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the names and summaries, in three sections, importing no command."""
        host = app_of(ctx).host
        domains = [(domain.name, domain.summary) for domain in host.domains().values()]
        own = [(name, command.summary) for name, command in self._own.items()]
        added = [(name, each.get_short_help_str(80)) for name, each in host.commands().items()]
        for title, rows in (("Domains", domains), ("Commands", own), ("From plugins", added)):
            _write_section(formatter, title, rows)


class DomainGroup(click.Group):
    """``rondel DOMAIN``: the shared verbs, then the domain's own."""

    def __init__(self, domain: Domain) -> None:
        super().__init__(domain.name, help=domain.summary, subcommand_metavar="VERB [ARGS]...")
        self._domain = domain

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: object,
    ) -> click.Context:
        """Hand the domain to its verbs."""
        if parent is not None:
            extra["obj"] = replace(app_of(parent), chosen=self._domain)
        return super().make_context(info_name, args, parent, **extra)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the shared verbs and the domain's own."""
        return [*_shared(), *self._own(ctx, strict=False)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a verb; the domain's own are imported only when no shared one is meant."""
        shared = _shared()
        if cmd_name in shared:
            return shared[cmd_name]
        own = self._own(ctx, strict=True)
        if cmd_name not in own:
            known = ", ".join([*shared, *own])
            raise UsageError(
                f"{self._domain.name} has no verb {cmd_name!r}", hint=f"The verbs are {known}."
            )
        return own[cmd_name]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the shared verbs and the domain's own as two sections."""
        for title, commands in (
            ("Verbs", _shared()),
            (f"Verbs of {self._domain.name}", self._own(ctx, strict=False)),
        ):
            rows = [(name, each.get_short_help_str(80)) for name, each in commands.items()]
            _write_section(formatter, title, rows)

    def _own(self, ctx: click.Context, *, strict: bool) -> dict[str, click.Command]:
        if self._domain.commands is None:
            return {}
        try:
            commands: list[click.Command] = resolve(self._domain.commands)
        except RondelError as error:
            if strict:
                raise
            app_of(ctx).terminal.warn(f"The verbs of {self._domain.name} are missing: {error}")
            return {}
        return {str(each.name): each for each in commands if each.name not in _shared()}


def _shared() -> dict[str, click.Command]:
    from rondel.cli.verbs import VERBS

    return {str(verb.name): verb for verb in VERBS}


def _write_section(formatter: click.HelpFormatter, title: str, rows: list[tuple[str, str]]) -> None:
    if rows:
        with formatter.section(title):
            formatter.write_dl(rows)
