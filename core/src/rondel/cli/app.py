"""What every command gets as ``ctx.obj``: the plugin host, the terminal, the domain in use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rondel.errors import UsageError

if TYPE_CHECKING:
    from rondel.cli.terminal import Terminal
    from rondel.domain import Domain
    from rondel.plugins import PluginHost


@dataclass(frozen=True)
class App:
    """One call of the command line.

    Args:
        host: Where domains and components come from.
        terminal: Where to write.
        command: The words of the command line.
        chosen: The domain whose verb runs; None at the top level.
    """

    host: PluginHost
    terminal: Terminal
    command: tuple[str, ...] = ()
    chosen: Domain | None = None

    @property
    def domain(self) -> Domain:
        """The domain whose verb runs."""
        if self.chosen is None:
            raise UsageError("this command belongs to a domain", hint="rondel DOMAIN VERB ...")
        return self.chosen
