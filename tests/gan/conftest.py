"""What several tests of the domain share: small loops on the digits, on one thread."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from rondel import keyed
from rondel.config import parse_overrides, resolve
from rondel_gan.build import build
from rondel_gan.config import GanConfig
from rondel_gan.loops.adversarial import Adversarial

Make = Callable[..., Adversarial]
sys.path.insert(0, str(Path(__file__).parent))  # makes the helpers of this folder importable


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def configured(*overrides: str) -> GanConfig:
    config: Any = resolve(GanConfig, [parse_overrides(GanConfig, list(overrides))]).config
    assert isinstance(config, GanConfig)
    return config


def made(*overrides: str) -> Adversarial:
    config = configured(*overrides)
    keyed.reseed(keyed.key(config.run.seed, "build"))
    return build(config)


@pytest.fixture
def configure() -> Callable[..., GanConfig]:
    """Return a function that resolves ``key=value`` words to a config."""
    return configured


@pytest.fixture
def make_loop() -> Make:
    """Return a function that builds the loop of ``key=value`` words, seeded as a session does."""
    return made


@pytest.fixture
def make_quick_loop() -> Make:
    """Return `make_loop` with a proxy that hardly learns, where its numbers do not matter."""
    return lambda *overrides: made("evaluation.proxy_updates=5", *overrides)
