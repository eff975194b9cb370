"""Makes the harness and the loops of this folder importable, and keeps one server for all tests."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import crash


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[crash.Server]:
    """Forks runs from a process in which the example domain ran once."""
    folder = tmp_path_factory.mktemp("server")
    with crash.Server(folder) as made:
        made.warm(crash.programs(folder)["example"], folder / "warm")
        yield made
