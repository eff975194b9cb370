"""How a command line ends when something went wrong: one message, one exit code.

Imported only then, so that a command that works pays nothing for it.
"""

from __future__ import annotations

import difflib
import traceback

import click

from rondel.cli.app import App
from rondel.cli.terminal import Terminal
from rondel.domain import resolve
from rondel.errors import RondelError, UsageError

ABORTED = 130
"""Exit code after Ctrl-C outside a run; inside one the session ends with 75."""


def report_failure(terminal: Terminal, error: BaseException) -> int:
    """Tell what went wrong and return the exit code."""
    if isinstance(error, click.Abort | KeyboardInterrupt):
        terminal.talk("Aborted.")
        return ABORTED
    if terminal.verbosity > 0 and not isinstance(error, click.ClickException):
        terminal.warn("".join(traceback.format_exception(error)).rstrip())
    told = _translated(error)
    terminal.error(told)
    return told.exit_code


def _translated(error: BaseException) -> RondelError:
    if isinstance(error, RondelError):
        return error
    if isinstance(error, click.NoSuchOption):
        return no_such_option(error)
    if isinstance(error, click.ClickException):
        path = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else ""
        return UsageError(error.format_message(), hint=f"Try '{path} --help'." if path else "")
    return RondelError(f"{type(error).__name__}: {error}".rstrip(": "), hint=_where_to_look(error))


def _where_to_look(error: BaseException) -> str:
    # a session writes error.txt and leaves the run directory on the exception
    directory = getattr(error, "run_directory", None)
    if directory is None:
        return "Run it again with -v for the traceback."
    return f"The traceback is in {directory}/error.txt."


def no_such_option(error: click.NoSuchOption) -> UsageError:
    """Explain an unknown option; one that is named like a config key was meant to set it."""
    what = f"No such option {error.option_name!r}"
    app = error.ctx.find_object(App) if error.ctx else None
    names = _key_names(app) if app is not None and app.chosen is not None else []
    key, exact = _nearest_key(error.option_name, names)
    if error.possibilities and not exact:
        return UsageError(what, hint=f"Did you mean {error.possibilities[0]!r}?")
    if key:
        return UsageError(what, hint=f"Config values are set as {key}=...")
    if names and app is not None:
        hint = f"Config values are set as key=value; 'rondel {app.domain.name} config' lists them."
        return UsageError(what, hint=hint)
    return UsageError(what, hint=f"Try '{error.ctx.command_path} --help'." if error.ctx else "")


def _key_names(app: App) -> list[str]:
    from rondel.config import describe

    try:
        return [key.name for key in describe(resolve(app.domain.config))]
    except RondelError:
        return []  # the option is wrong whether or not the config can be read


def _nearest_key(option: str, names: list[str]) -> tuple[str, bool]:
    """Return the config key an option resembles, and whether its last part is the same."""
    wanted = option.lstrip("-").replace("-", "_")
    # the shortest key is the one people mean: optimizer.lr before generator.optimizer.lr
    by_length = sorted(names, key=lambda name: (name.count("."), len(name)))
    for name in by_length:
        if wanted in (name, name.rpartition(".")[2]):
            return name, True
    last_parts = {name.rpartition(".")[2]: name for name in reversed(by_length)}
    close = difflib.get_close_matches(wanted, last_parts, n=1, cutoff=0.7)
    return (last_parts[close[0]], False) if close else ("", False)
