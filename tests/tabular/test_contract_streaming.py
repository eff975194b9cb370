"""The contract of every rondel loop, for rows that are read from the disk."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rondel.testing import LoopContract

TINY = Path(__file__).parent / "tiny"


@pytest.fixture(scope="module", autouse=True)
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Keep the user's own cache out of it, in the processes that are started, too."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder))
        yield folder


class TestStreaming(LoopContract):
    """Three members on a table of every kind of column, four batches a pass."""

    domain = "tabular"
    overrides = (
        f"data={TINY / 'shop.csv'}",
        "target=bought",
        "streaming=true",
        "network.members=3",
        "batch_size=32",
        "network.width=16",
        "network.number_width=2",
        "network.bins=8",
        "network.dropout=0.2",
        "unknown_rate=0.2",
        "epochs=2",
        "run.log_every=3",
    )
    gradient_overrides = ("network.dropout=0", "unknown_rate=0")
    kills = 0
    processes = (2,)
