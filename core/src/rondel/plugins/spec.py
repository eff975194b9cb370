"""The hooks a plugin may implement: five rare events, none of them inside the loop.

A plugin implements any of them as plain functions of the same name, marked with `hookimpl`; it may
leave out arguments that it does not need.

Example:
    >>> from rondel.domain import Domain
    >>> from rondel.plugins import hookimpl
    >>> @hookimpl
    ... def rondel_domain() -> Domain:
    ...     return Domain(
    ...         name="speech",
    ...         summary="Recognise words in recordings.",
    ...         config="rondel_speech.config:SpeechConfig",
    ...         build="rondel_speech.build:build",
    ...         bundle="rondel_speech.bundle:SpeechBundle",
    ...     )
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    import click

    from rondel.callback import Callback
    from rondel.domain import Domain
    from rondel.registry import Registry
    from rondel.run import Run

PROJECT = "rondel"
"""Name of the entry-point group and of the hook markers."""

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)
"""Mark a function of a plugin as the implementation of the hook of the same name."""


@hookspec
def rondel_domain() -> Domain:  # type: ignore[empty-body]
    """Announce a domain: its config, how to build its loop, its bundle and its own verbs."""


@hookspec
def rondel_components(registry: Registry) -> None:
    """Add models, loops, readers, losses, metrics ... to any domain, as ``"module:attr"``."""


@hookspec
def rondel_callbacks(run: Run) -> list[Callback]:  # type: ignore[empty-body]
    """Return callbacks for a run that is about to start: loggers, trackers, guards."""


@hookspec
def rondel_commands() -> list[click.Command]:  # type: ignore[empty-body]
    """Return commands that stand beside the domains on the command line."""


@hookspec
def rondel_run_finished(run: Run, outcome: str) -> None:
    """React to the end of a run: ``done``, ``interrupted``, ``diverged`` or ``failed``."""
