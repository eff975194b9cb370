"""The flags that mean the same on every command, and the options that several verbs share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

Decorated = Callable[..., Any]

_FOLDER = click.Path(path_type=Path, file_okay=False)
_FILE = click.Path(path_type=Path, dir_okay=False)


def talk_flags(command: Decorated) -> Decorated:
    """Accept ``--json -v -q --no-plugin`` on a command.

    `rondel.cli.main` reads them from the raw command line, since they hold before and during
    parsing; here they are declared for the help, and hidden from the command's function.
    """
    for names, text in (
        (("-v", "--verbose"), "Say more; show tracebacks."),
        (("-q", "--quiet"), "Say nothing but results and errors."),
        (("--json",), "Results and errors as JSON Lines on stdout."),
    ):
        command = click.option(*names, is_flag=True, expose_value=False, help=text)(command)
    return click.option(
        "--no-plugin", metavar="NAME", multiple=True, expose_value=False, help="Leave a plugin out."
    )(command)


def config_flag(command: Decorated) -> Decorated:
    """Accept ``--config FILE``."""
    return click.option(
        "--config", "recipe", type=_FILE, metavar="FILE", help="A recipe, below key=value."
    )(command)


def run_flags(command: Decorated) -> Decorated:
    """Accept what a training run can be told beside its config."""
    for decorate in (
        click.option("--check-resume", is_flag=True, help="Prove that resuming changes nothing."),
        click.option(
            "--dry-run", is_flag=True, help="Build everything, run one batch, show sizes."
        ),
        config_flag,
        click.option("--workers", metavar="N", help="Processes that load data: run.workers."),
        click.option("--seed", metavar="N", help="Seed of everything random: run.seed."),
        click.option("--device", help="'cpu', 'cuda', 'cuda:1' ...: run.device."),
        click.option("--resume", type=_FOLDER, metavar="DIR", help="The run to continue."),
        click.option("--out", type=_FOLDER, metavar="DIR", help="The run directory."),
    ):
        command = decorate(command)
    return command


def words_argument(command: Decorated) -> Decorated:
    """Accept ``[DATA] [key=value ...]``."""
    return click.argument("words", nargs=-1, metavar="[DATA] [KEY=VALUE]...")(command)


def bundle_argument(command: Decorated) -> Decorated:
    """Accept a bundle, or the run directory that holds one."""
    return click.argument("bundle", type=click.Path(path_type=Path), metavar="BUNDLE|RUN")(command)
