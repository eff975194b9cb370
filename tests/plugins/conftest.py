"""Real distributions in temporary folders, and the command line in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from rondel import errors

CORE = Path(errors.__file__).parents[1]

TOY_PLUGIN = """
from rondel.domain import Domain
from rondel.plugins import hookimpl

@hookimpl
def rondel_domain():
    return Domain(name="toy", summary="Play.", config="rondel_toy.config:ToyConfig",
                  build="rondel_toy.config:ToyConfig", bundle="rondel_toy.config:ToyConfig",
                  commands="rondel_toy.commands:COMMANDS", inspect="rondel_toy.commands:inspect",
                  demo=("epochs=1",))

@hookimpl
def rondel_components(registry):
    registry.add("model", "tower", "rondel_toy.config:ToyConfig", domain="toy")
"""
TOY_CONFIG = """
from rondel.config import setting
from rondel.settings import DomainConfig, OptimizerConfig

class ToyConfig(DomainConfig):
    bricks: int = setting(3, help="Bricks of a tower.", ge=1)
    optimizer: OptimizerConfig = setting(OptimizerConfig(), help="The optimizer.")
"""
TOY_COMMANDS = """
import click
from rondel.cli.app import App

@click.command("stack", short_help="Stack bricks.")
@click.pass_obj
def stack(app: App):
    click.echo(f"stacked for {app.domain.name}")

COMMANDS = [stack]

def inspect(config):
    return f"{config.bricks} bricks"
"""

Install = Callable[..., Path]
RunCommand = Callable[..., "subprocess.CompletedProcess[str]"]


def write_distribution(
    folder: Path, name: str, *, plugin: str, files: dict[str, str], version: str = "0.3.1"
) -> Path:
    """Lay out an installed distribution: its dist-info and its modules."""
    package = name.replace("-", "_")
    info = folder / f"{package}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (info / "entry_points.txt").write_text(f"[rondel]\n{plugin} = {package}.plugin\n")
    (folder / package).mkdir()
    for file, text in {"__init__.py": "", **files}.items():
        (folder / package / file).write_text(text)
    return folder


@pytest.fixture
def install(tmp_path: Path) -> Install:
    """Install a distribution into the test's folder: ``install(name, plugin=..., source=...)``."""

    def _install(name: str, *, plugin: str, source: str, version: str = "0.3.1") -> Path:
        files = {"plugin.py": source}
        return write_distribution(
            tmp_path / "site", name, plugin=plugin, files=files, version=version
        )

    return _install


@pytest.fixture
def install_toy(tmp_path: Path) -> Callable[[], Path]:
    """Install a whole domain, ``toy``, into the test's folder."""

    def _install() -> Path:
        files = {"plugin.py": TOY_PLUGIN, "config.py": TOY_CONFIG, "commands.py": TOY_COMMANDS}
        return write_distribution(tmp_path / "site", "rondel-toy", plugin="toy", files=files)

    return _install


@pytest.fixture
def command(tmp_path: Path) -> RunCommand:
    """Run ``rondel`` in a process that sees the test's folder: ``command("plugins", "list")``."""

    def _run(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        path = os.pathsep.join([str(tmp_path / "site"), str(CORE)])
        inherited = {k: v for k, v in os.environ.items() if k not in {"RONDEL_PLUGINS", "RANK"}}
        return subprocess.run(
            [sys.executable, "-m", "rondel.cli", *words],
            env={**inherited, "PYTHONPATH": path, **environment},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    return _run
