"""What the command line, or a Python call, asks a session to do. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rondel.domain import Domain
    from rondel.plugins import PluginHost
    from rondel.settings import DomainConfig


@dataclass(frozen=True, kw_only=True)
class TrainRequest:
    """One training run, asked for but not started.

    Args:
        domain: Whose loop is to run.
        config: The resolved config.
        host: Where callbacks and components come from.
        origins: Dotted config key to where its value came from.
        out: The run directory; None lets the session name one under ``runs/``.
        resume: The run directory to continue.
        verbosity: -1 quiet, 0 normal, 1 verbose.
        json: Write results to stdout as JSON Lines.
        command: The command line, for the manifest.
    """

    domain: Domain
    config: DomainConfig
    host: PluginHost
    origins: Mapping[str, str] = field(default_factory=dict)
    out: Path | None = None
    resume: Path | None = None
    verbosity: int = 0
    json: bool = False
    command: tuple[str, ...] = ()
