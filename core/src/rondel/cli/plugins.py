"""``rondel plugins``: list what is installed, check one plugin, write a new one."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from rondel.cli.app import App
from rondel.cli.flags import talk_flags
from rondel.cli.terminal import text_table
from rondel.errors import PluginError, UsageError


@click.group("plugins", invoke_without_command=True)
@click.pass_context
def plugins(context: click.Context) -> None:
    """List, check and create plugins."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


@plugins.command("list")
@talk_flags
@click.pass_obj
def list_(app: App) -> None:
    """Show every installed plugin, its state, and why it does not take part."""
    records = app.host.records()
    for record in records:
        app.terminal.row("plugin", asdict(record))
    if not records:
        app.terminal.result("No plugin is installed.")
        return
    rows = [
        [r.name, r.distribution, r.version, r.state, r.reason or ", ".join(r.hooks)]
        for r in records
    ]
    headers = ["plugin", "distribution", "version", "state", "hooks or reason"]
    app.terminal.result(text_table(headers, rows))


@plugins.command("check")
@click.argument("name")
@talk_flags
@click.pass_obj
def check(app: App, name: str) -> None:
    """Check the plugin NAME: its hooks, everything it names, and that its import is light."""
    from rondel.plugins.inspection import inspect_plugin

    if name not in app.host.names():
        raise app.host.missing(name)
    checks = inspect_plugin(app.host, name)
    for each in checks:
        app.terminal.row("check", asdict(each))
        app.terminal.result(f"{'ok  ' if each.ok else 'FAIL'}  {each.what}")
        if each.detail:
            app.terminal.result(each.detail.rstrip())
    failed = sum(not each.ok for each in checks)
    if failed:
        raise PluginError(f"{failed} of {len(checks)} checks failed", where=f"plugin {name!r}")


@plugins.command("new")
@click.argument("name")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="The folder to write; by default rondel-NAME.",
)
@talk_flags
@click.pass_obj
def new(app: App, name: str, *, out: Path | None) -> None:
    """Write the package of a plugin called NAME: a domain with a loop that runs."""
    from rondel.plugins.generation import write_package

    if name in app.host.names():
        raise UsageError(f"a plugin called {name!r} is installed", hint="Choose another name.")
    folder = out if out is not None else Path(f"rondel-{name}")
    written = write_package(name, folder)
    for path in written:
        app.terminal.row("file", {"path": str(path)})
        app.terminal.talk(str(path))
    app.terminal.result(f"pip install -e {folder} && rondel {name} train")
