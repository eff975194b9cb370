"""The entry point: reads the flags that hold everywhere, runs a command, turns errors into codes.

Importing this module loads click and pluggy, nothing heavier.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click

from rondel.cli.app import App
from rondel.cli.flags import talk_flags
from rondel.cli.groups import LazyCommand, TopGroup
from rondel.cli.terminal import Terminal
from rondel.errors import UsageError
from rondel.notice import quiet
from rondel.plugins import PluginHost

COMMANDS = {
    "quickstart": LazyCommand(
        "rondel.cli.quickstart:quickstart", "Train every installed domain on its embedded data."
    ),
    "runs": LazyCommand("rondel.cli.runs:runs", "List, show and compare runs."),
    "plugins": LazyCommand("rondel.cli.plugins:plugins", "List, check and create plugins."),
    "version": LazyCommand("rondel.cli.version:version", "Print the versions of rondel and torch."),
}
"""The commands beside the domains; each is imported when it runs."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    terminal = Terminal.from_words(words)
    try:
        rest, switched_off = take_switches(words)
        host = PluginHost.from_environment(disabled=switched_off, warn=terminal.warn)
        _check_switches(switched_off, host.names())
        app = App(host, terminal, ("rondel", *words))
        with quiet(terminal.verbosity < 0):
            # a verb returns its exit code or nothing
            code = rondel.main(rest, prog_name="rondel", standalone_mode=False, obj=app)
    except BrokenPipeError:
        # the reader of a pipe left; Python would complain again when it flushes at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (Exception, click.Abort) as error:  # noqa: BLE001 - the last place that can tell a person
        from rondel.cli.failure import report_failure

        return report_failure(terminal, error)
    return code if isinstance(code, int) else 0


def take_switches(words: Sequence[str]) -> tuple[list[str], tuple[str, ...]]:
    """Take ``--no-plugin NAME`` out of a command line, wherever it stands before ``--``.

    The names are needed before any plugin is loaded, and so before click sees the words.
    """
    rest: list[str] = []
    names: list[str] = []
    remaining = iter(words)
    for word in remaining:
        if word == "--":
            rest += [word, *remaining]
        elif word == "--no-plugin":
            name = next(remaining, None)
            if name is None:
                raise UsageError("--no-plugin needs the NAME of a plugin")
            names.append(name)
        elif word.startswith("--no-plugin="):
            names.append(word.partition("=")[2])
        else:
            rest.append(word)
    return rest, tuple(names)


def _check_switches(names: tuple[str, ...], installed: tuple[str, ...]) -> None:
    for name in names:
        if name not in installed:
            listed = ", ".join(installed) or "none"
            raise UsageError(f"no plugin is called {name!r}", hint=f"Installed are: {listed}.")


@click.group(
    cls=TopGroup,
    own=COMMANDS,
    invoke_without_command=True,
    subcommand_metavar="DOMAIN VERB [DATA] [KEY=VALUE]... [FLAGS]",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@talk_flags
@click.pass_context
def rondel(context: click.Context) -> None:
    """Training loops for PyTorch, one domain at a time."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())
