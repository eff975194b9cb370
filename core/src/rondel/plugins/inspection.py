"""A close look at one plugin: everything it names is imported, its light modules are weighed."""

from __future__ import annotations

import os
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from rondel.domain import Domain, resolve
from rondel.plugins.host import PluginHost
from rondel.plugins.record import PluginRecord, one_line

HEAVY_MODULES = ("torch", "torchvision", "transformers", "pandas")
"""What plugin modules, configs and commands may not import."""

_PROBE = """
import importlib, sys
for name in sys.argv[2:]:
    importlib.import_module(name)
print(*(name for name in sys.argv[1].split(",") if name in sys.modules))
"""


@dataclass(frozen=True)
class Check:
    """One thing that was looked at; ``detail`` says what is wrong."""

    what: str
    ok: bool
    detail: str = ""


def inspect_plugin(host: PluginHost, name: str) -> list[Check]:
    """Check every plugin of that name: how it loads, what it names, what its import costs."""
    checks: list[Check] = []
    for record in host.records():
        if record.name == name:
            checks += _checks_of(host, record)
    return checks


def _checks_of(host: PluginHost, record: PluginRecord) -> Iterator[Check]:
    if record.state != "ok":
        detail = record.traceback or record.reason
        yield Check(f"{record} is {record.state}: {record.reason}", False, detail)
        return
    yield Check(f"{record} implements {', '.join(record.hooks) or 'no hook'}", True)
    light = [record.module.partition(":")[0]]
    domain = host.domain_of(record)
    if domain is not None:
        yield from _domain_checks(domain)
        light += [target.partition(":")[0] for target in _light_targets(domain)]
    owner = f"{record.distribution} {record.version}"
    for component in host.registry().components():
        if component.provider == owner:
            label = f"{component.kind} {component.name} = {component.target}"
            yield _attempt(label, partial(resolve, component.target))
    yield _weigh(light)


def _domain_checks(domain: Domain) -> Iterator[Check]:
    for field in ("config", "build", "bundle", "commands", "inspect"):
        target = getattr(domain, field)
        if target is not None:
            label = f"{field} = {target}"
            yield _attempt(label, partial(resolve, target))
    yield _attempt("the demo is a valid config", partial(_demo, domain))


def _demo(domain: Domain) -> None:
    from rondel import config

    model = resolve(domain.config)
    config.resolve(model, [config.parse_overrides(model, list(domain.demo), origin="demo")])


def _light_targets(domain: Domain) -> list[str]:
    return [target for target in (domain.config, domain.commands) if target is not None]


def _attempt(what: str, action: Callable[[], object]) -> Check:
    try:
        action()
    except Exception as error:  # noqa: BLE001 - a plugin may fail in any way
        cause = error.__cause__ or error
        return Check(
            f"{what}: {one_line(cause)}", False, "".join(traceback.format_exception(cause))
        )
    return Check(what, True)


def _weigh(modules: list[str]) -> Check:
    """Import modules in a fresh interpreter, and see whether anything heavy came along."""
    listed = ", ".join(dict.fromkeys(modules))
    command = [sys.executable, "-c", _PROBE, ",".join(HEAVY_MODULES), *modules]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    probe = subprocess.run(  # noqa: S603 - our own interpreter and probe
        command, env=environment, capture_output=True, text=True, check=False
    )
    heavy = probe.stdout.split()
    if probe.returncode:
        return Check(f"{listed}: cannot be imported alone", False, probe.stderr)
    if heavy:
        detail = "Import it inside the functions that use it."
        return Check(f"{listed}: imports {', '.join(heavy)}", False, detail)
    return Check(f"{listed}: imports none of {', '.join(HEAVY_MODULES)}", True)
