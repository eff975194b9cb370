"""The contract of every rondel loop, for texts that are streamed; a resumed run reads no rows."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from rondel import keyed
from rondel.config import parse_overrides, resolve
from rondel.errors import DataError
from rondel.rehearsal import Rehearsal, differences
from rondel.testing import LoopContract
from rondel_text.build import build
from rondel_text.config import TextConfig
from rondel_text.loops.text_loop import TextLoop

TINY = Path(__file__).parent / "tiny"
SMALL = ("batch_size=16", "run.log_every=2", "update.optimizer.lr=1e-2", "model.buckets=4096")


@pytest.fixture(scope="module", autouse=True)
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Keep the user's own cache out of it, in the processes that are started, too."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder))
        yield folder


class TestStreaming(LoopContract):
    """A small classifier that learns from memory-mapped texts."""

    domain = "text"
    overrides = (
        *SMALL,
        f"data={TINY / 'topics.csv'}",
        "streaming=true",
        "epochs=2",
        "batching=buckets",
        "update.ema=0.9",
    )
    gradient_overrides = ("model.dropout=0",)
    kills = 0
    processes = (2,)


def rehearsal_of(data: Path, folder: Path) -> Rehearsal:
    words = (*SMALL, f"data={data}", "streaming=true", "epochs=1")
    config = resolve(TextConfig, [parse_overrides(TextConfig, words)]).config

    def make() -> TextLoop:
        keyed.reseed(0)
        return build(config)

    return Rehearsal(make, config.run, folder)


def test_a_resumed_run_reads_nothing_but_the_ends_of_its_files(tmp_path: Path) -> None:
    data = tmp_path / "long.csv"
    lines = (TINY / "topics.csv").read_text().splitlines()
    data.write_text("\n".join([lines[0], *(lines[1:] * 40)]))
    rehearsal = rehearsal_of(data, tmp_path / "runs")
    rehearsal.run("straight", stop_at=8)
    rehearsal.run("cut", stop_at=4)
    garble(data)
    rehearsal.run("cut", stop_at=8, resume=True)
    assert not differences(rehearsal.end("straight"), rehearsal.end("cut"))
    os.utime(data, (1, 1))  # now it is known to have changed, and is read
    with pytest.raises(DataError):
        rehearsal.run("cut", stop_at=9, resume=True)


def garble(path: Path) -> None:
    """Make the middle of a file unreadable, and leave what is cheap to look at as it was."""
    about, content = path.stat(), path.read_bytes()
    middle = len(content) // 2
    assert middle > 70_000, "the ends that are looked at would meet"
    path.write_bytes(content[:middle] + b"\xff" + content[middle + 1 :])
    os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))
