"""``rondel version``."""

from __future__ import annotations

import platform
from importlib import metadata

import click

import rondel
from rondel.cli.app import App
from rondel.cli.flags import talk_flags


@click.command("version")
@talk_flags
@click.pass_obj
def version(app: App) -> None:
    """Print the versions of rondel, torch and Python."""
    versions = {
        "rondel": rondel.__version__,
        "torch": _installed("torch"),  # asked of the metadata: importing it takes seconds
        "python": platform.python_version(),
    }
    app.terminal.result("\n".join(f"{name} {number}" for name, number in versions.items()))
    app.terminal.row("version", versions)


def _installed(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "(not installed)"
