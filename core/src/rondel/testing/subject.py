"""The loop under test, and how to build it anew with the same weights each time."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from rondel.config import parse_overrides, resolve
from rondel.domain import Domain
from rondel.domain import resolve as resolve_target
from rondel.loop import Loop
from rondel.plugins import PluginHost
from rondel.request import TrainRequest
from rondel.session import build
from rondel.settings import DomainConfig


@dataclass(frozen=True)
class Subject:
    """A domain with overrides.

    Args:
        domain: Its name.
        overrides: ``key=value`` items, as on the command line.
    """

    domain: str
    overrides: tuple[str, ...] = ()

    @cached_property
    def host(self) -> PluginHost:
        """The plugins of this environment."""
        return PluginHost.from_environment(disabled=(), warn=lambda _: None)

    @cached_property
    def record(self) -> Domain:
        """The domain's record."""
        return self.host.domain(self.domain)

    @cached_property
    def config(self) -> DomainConfig:
        """The resolved config."""
        model: type[DomainConfig] = resolve_target(self.record.config)
        return resolve(model, [parse_overrides(model, list(self.overrides))]).config

    def build(self) -> Loop:
        """Build data, model and loop, as a session does."""
        return build(TrainRequest(domain=self.record, config=self.config, host=self.host))
