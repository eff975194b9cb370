"""What is said while large files are read, before there is a run that could say it."""

from __future__ import annotations

import click

from rondel.cli.app import App
from rondel.session import warn


def notice(text: str) -> None:
    """Write a line to stderr, unless the command line that is carried out asks for quiet."""
    context = click.get_current_context(silent=True)
    app = None if context is None else context.find_object(App)
    if app is None:
        warn(text)
    else:
        app.terminal.talk(text)
