"""Damaged files are noticed, named, and where there is something older, survived."""

from __future__ import annotations

import json
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import crash
import pytest

from rondel.checkpoint import list_checkpoints

PROGRAM = crash.Program.of_domain("example", "epochs=30", "run.log_every=3", crash.OFTEN)


@pytest.fixture(scope="module")
def straight(server: crash.Server, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("damage") / "straight"
    assert server.run(PROGRAM, place).wait() == 0
    return place


@pytest.fixture(scope="module")
def killed(server: crash.Server, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run that was killed in its middle."""
    place = tmp_path_factory.mktemp("damage") / "killed"
    child = server.run(PROGRAM, place)
    while len(list_checkpoints(place / "checkpoints")) < 3:
        time.sleep(0.002)
    child.kill(signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    return place


@pytest.fixture
def place(killed: Path, tmp_path: Path) -> Path:
    """Return a copy of the killed run, to be damaged."""
    shutil.copytree(killed, tmp_path / "run")
    return tmp_path / "run"


def flip(file: Path, where: float) -> None:
    """Change one bit at a relative position of a file."""
    content = bytearray(file.read_bytes())
    content[int(where * (len(content) - 1))] ^= 1
    file.write_bytes(content)


def truncate(file: Path, share: float) -> None:
    """Keep a share of a file."""
    content = file.read_bytes()
    file.write_bytes(content[: int(share * len(content))])


DAMAGES: dict[str, Callable[[Path], None]] = {
    "first byte of the manifest": lambda c: flip(c / "manifest.json", 0),
    "a byte of the manifest": lambda c: flip(c / "manifest.json", 0.5),
    "the hash of the manifest": lambda c: flip(c / "manifest.json", 0.999),
    "a manifest cut short": lambda c: truncate(c / "manifest.json", 0.7),
    "no manifest": lambda c: (c / "manifest.json").unlink(),
    "length of the header": lambda c: flip(c / "tensors.safetensors", 0),
    "a weight": lambda c: flip(c / "tensors.safetensors", 0.9),
    "last byte": lambda c: flip(c / "tensors.safetensors", 1),
    "tensors cut short": lambda c: truncate(c / "tensors.safetensors", 0.5),
    "empty tensors": lambda c: truncate(c / "tensors.safetensors", 0),
    "no tensors": lambda c: (c / "tensors.safetensors").unlink(),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_checkpoint_gives_way_to_the_one_before_it(
    name: str, place: Path, straight: Path, server: crash.Server
) -> None:
    newest = list_checkpoints(place / "checkpoints")[-1].path
    DAMAGES[name](newest)
    child = server.run(PROGRAM, place, resume=True)
    assert child.wait() == 0, child.said()
    assert str(newest) in child.said()
    assert "Trying the checkpoint before it." in child.said()
    assert str(newest) in (place / "log.txt").read_text()
    assert not crash.difference(straight, place)


def test_damage_to_every_checkpoint_is_told(place: Path, server: crash.Server) -> None:
    infos = list_checkpoints(place / "checkpoints")
    rows = (place / "metrics.jsonl").read_bytes()
    for info in infos:
        flip(info.path / "tensors.safetensors", 0.7)
    child = server.run(PROGRAM, place, resume=True)
    assert child.wait() == 1
    assert f"all {len(infos)} checkpoints are damaged" in child.said()
    assert "Restore them from a copy, or start a new run." in child.said()
    assert "Traceback" not in child.said()
    assert (place / "metrics.jsonl").read_bytes() == rows


def test_a_log_that_is_too_short_is_told(place: Path, server: crash.Server) -> None:
    truncate(place / "metrics.jsonl", 0.3)
    child = server.run(PROGRAM, place, resume=True)
    assert child.wait() == 1
    assert f"{place / 'metrics.jsonl'}: does not fit the checkpoint" in child.said()
    assert "Put the old one back, or start a new run." in child.said()
    assert "Traceback" not in child.said()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"format": "something else"}'])
def test_a_damaged_run_manifest_is_told(content: str, place: Path, server: crash.Server) -> None:
    (place / "manifest.json").write_text(content)
    child = server.run(PROGRAM, place, resume=True)
    assert child.wait() in {1, 2}
    assert str(place) in child.said()
    assert "is not a run directory" in child.said()


def test_a_damaged_config_is_told(place: Path, server: crash.Server) -> None:
    truncate(place / "config.toml", 0.5)
    child = server.run(PROGRAM, place, resume=True)
    assert child.wait() == 2
    assert str(place / "config.toml") in child.said()
    assert "Traceback" not in child.said()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"step": "last"}'])
def test_a_damaged_pointer_to_the_best_is_told_or_made_anew(
    content: str, place: Path, straight: Path, server: crash.Server
) -> None:
    (place / "checkpoints" / "best.json").write_text(content)
    child = server.run(PROGRAM, place, resume=True)
    if child.wait() == 0:
        assert not crash.difference(straight, place)
    else:
        assert str(place / "checkpoints" / "best.json") in child.said()
        assert "JSONDecodeError" not in child.said()


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_bundle_is_refused(
    name: str, straight: Path, tmp_path: Path, server: crash.Server
) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(straight / "bundle", bundle)
    DAMAGES[name](bundle)
    child = server.start(crash.COMMAND_LINE, ["example", "evaluate", str(bundle)])
    assert child.wait() == 1
    assert str(bundle) in child.said()
    assert "cannot be used" in child.said()
    assert "Traceback" not in child.said()


def test_what_was_skipped_over_is_not_found_by_the_next_resume(
    place: Path, straight: Path, server: crash.Server
) -> None:
    newest = list_checkpoints(place / "checkpoints")[-1].path
    flip(newest / "tensors.safetensors", 0.5)
    child = server.run(PROGRAM, place, resume=True)
    time.sleep(0.1)
    child.kill(signal.SIGTERM)
    child.wait()
    child = server.run(PROGRAM, place, resume=True)
    assert child.wait() == 0
    assert not crash.difference(straight, place)
    assert json.loads((place / "result.json").read_text())["outcome"] == "done"
