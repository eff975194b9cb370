"""Checkpoints: a damaged one is refused by name, and no failure of the disk loses the one before."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from rondel.checkpoint import (
    CheckpointInfo,
    latest_checkpoint,
    list_checkpoints,
    prune_checkpoints,
    read_checkpoint,
    verify_checkpoint,
    write_checkpoint,
)
from rondel.errors import CheckpointError
from rondel.tree import to_bytes

CALLS = ("open", "write", "fsync", "replace", "mkdir", "unlink", "rmdir")
FILES = ("manifest.json", "tensors.safetensors")


def tree_of(step: int) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(step)
    return {
        "model": {"weight": torch.randn(40, 30, generator=generator), "step": torch.tensor(step)},
        "rng": (3, tuple(range(step, step + 50)), None),
    }


def write(root: Path, step: int) -> Path:
    return write_checkpoint(root, step, tree_of(step), meta={"metrics_bytes": step * 10})


def no_notice(text: str) -> None:
    raise AssertionError(text)


def assert_loads(root: Path, *, step: int, tree: Any = None) -> None:
    found = latest_checkpoint(root, no_notice)
    assert found is not None
    info, state = found
    assert info.step == step
    assert to_bytes(state) == to_bytes(tree_of(step) if tree is None else tree)


class PowerCutError(OSError):
    """The n-th call fails and, after a power cut, every later one too."""


class Disk:
    """Count the calls that change the disk; make the n-th one fail."""

    def __init__(self, fail_at: int | None, *, for_good: bool, code: int) -> None:
        self.calls: list[str] = []
        self.fail_at = fail_at
        self.for_good = for_good
        self.code = code

    def wrap(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **kwargs: Any) -> Any:
            self.calls.append(name)
            number = len(self.calls)
            if self.fail_at is not None and (
                number == self.fail_at or (self.for_good and number > self.fail_at)
            ):
                raise PowerCutError(self.code, os.strerror(self.code))
            return call(*args, **kwargs)

        return counted


@contextlib.contextmanager
def failing_disk(
    fail_at: int | None, *, for_good: bool = False, code: int = errno.EIO
) -> Iterator[Disk]:
    disk = Disk(fail_at, for_good=for_good, code=code)
    with pytest.MonkeyPatch.context() as patch:
        for name in CALLS:
            patch.setattr(os, name, disk.wrap(name, getattr(os, name)))
        yield disk


def test_a_checkpoint_comes_back_as_it_was(tmp_path: Path) -> None:
    path = write(tmp_path / "тест 測試 é", 12)
    assert path.name == "step-0000000012"
    info, tree = read_checkpoint(path)
    assert info == CheckpointInfo(12, path, {"metrics_bytes": 120})
    assert to_bytes(tree) == to_bytes(tree_of(12))
    assert verify_checkpoint(path) == info


def test_other_tools_can_read_the_tensors(tmp_path: Path) -> None:
    tensors = safetensors.torch.load_file(write(tmp_path, 3) / "tensors.safetensors")
    assert torch.equal(tensors["model.weight"], tree_of(3)["model"]["weight"])


def test_the_manifest_ends_with_its_own_hash(tmp_path: Path) -> None:
    text, digest = (write(tmp_path, 3) / "manifest.json").read_bytes().splitlines(keepends=True)
    assert digest == hashlib.sha256(text).hexdigest().encode() + b"\n"
    assert json.loads(text)["format"] == "rondel checkpoint 1"


def test_loaded_tensors_do_not_depend_on_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, 1)
    _, tree = read_checkpoint(path)
    (path / "tensors.safetensors").write_bytes(b"\0" * 5000)
    assert to_bytes(tree) == to_bytes(tree_of(1))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_tensors_on_a_device_come_back_on_the_cpu(tmp_path: Path) -> None:
    tree = {f"{n}": torch.randn(1000, device="cuda").bfloat16() for n in range(30)}
    _, found = read_checkpoint(write_checkpoint(tmp_path, 1, tree, meta={}))
    assert to_bytes(found) == to_bytes({name: value.cpu() for name, value in tree.items()})


def test_the_newest_step_wins_whatever_the_clock_says(tmp_path: Path) -> None:
    for step in (1000, 200, 30):
        os.utime(write(tmp_path, step), (step, step))
    os.utime(tmp_path / "step-0000000030", (10**9, 10**9))
    assert [info.step for info in list_checkpoints(tmp_path)] == [30, 200, 1000]
    assert_loads(tmp_path, step=1000)


def test_only_complete_names_are_listed(tmp_path: Path) -> None:
    write(tmp_path, 5)
    for name in ("step-0000000006.tmp-1", "step-7", "best.json", "step-0000000008.old"):
        (tmp_path / name).mkdir()
    assert [info.step for info in list_checkpoints(tmp_path)] == [5]
    assert list_checkpoints(tmp_path / "absent") == []
    assert latest_checkpoint(tmp_path / "absent", no_notice) is None


def test_writing_a_step_again_replaces_it(tmp_path: Path) -> None:
    write(tmp_path, 5)
    write_checkpoint(tmp_path, 5, {"new": 1}, meta={})
    assert_loads(tmp_path, step=5, tree={"new": 1})
    assert [path.name for path in tmp_path.iterdir()] == ["step-0000000005"]


def damaged(path: Path, file: str) -> str:
    """The message that reading and verifying give alike."""
    messages = []
    for check in (verify_checkpoint, read_checkpoint):
        with pytest.raises(CheckpointError) as caught:
            check(path)
        assert caught.value.where == str(path / file)
        messages.append(str(caught.value))
    assert messages[0] == messages[1]
    assert messages[0].endswith(f"Remove {str(path)!r} to continue from the checkpoint before it.")
    return messages[0]


@pytest.mark.parametrize("file", FILES)
def test_any_flipped_byte_is_refused(tmp_path: Path, file: str) -> None:
    path = write(tmp_path, 7)
    content = (path / file).read_bytes()
    step = 997 if len(content) > 4000 else 37
    for position in {*range(0, len(content), step), len(content) - 1, len(content) - 66}:
        changed = bytearray(content)
        changed[position] ^= 0x10
        (path / file).write_bytes(changed)
        assert "its content does not match its hash" in damaged(path, file)
    (path / file).write_bytes(content)
    verify_checkpoint(path)


@pytest.mark.parametrize("file", FILES)
def test_any_truncation_is_refused(tmp_path: Path, file: str) -> None:
    path = write_checkpoint(tmp_path, 7, {"t": torch.zeros(9000), "n": [0] * 9000}, meta={})
    content = (path / file).read_bytes()
    assert len(content) > 3 * 4096
    for length in [*range(0, len(content), 4096), len(content) - 1]:
        (path / file).write_bytes(content[:length])
        damaged(path, file)
    (path / file).write_bytes(content + b"\n")
    damaged(path, file)


@pytest.mark.parametrize("file", FILES)
def test_a_missing_file_is_named(tmp_path: Path, file: str) -> None:
    path = write(tmp_path, 7)
    (path / file).unlink()
    assert "No such file" in damaged(path, file)
    (path / file).mkdir()
    assert "it is no plain file" in damaged(path, file)


def seal(path: Path, text: bytes) -> None:
    """Give a hostile manifest a right hash."""
    text += b"\n"
    (path / "manifest.json").write_bytes(text + hashlib.sha256(text).hexdigest().encode() + b"\n")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b"\x80\x04\x95cposix\nsystem\n", "not strict JSON"),
        (b"[" * 1_000_000, "not strict JSON"),
        (b'{"format":"rondel checkpoint 1","step":7,"step":8}', "a key appears twice"),
        (b'{"step":NaN}', "NaN is not JSON"),
        (b"[]", "it is no JSON object"),
        (b"{}", "its format is None, this rondel reads 'rondel checkpoint 1'"),
        (b'{"format":"rondel checkpoint 2"}', "its format is 'rondel checkpoint 2'"),
        (b'{"format":"rondel checkpoint 1"}', "a field is missing or has the wrong type"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_a_hostile_manifest_is_refused(tmp_path: Path, text: bytes, problem: str) -> None:
    path = write(tmp_path, 7)
    seal(path, text)
    assert problem in damaged(path, "manifest.json")


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        ("files", {"../../secret": {"bytes": 1, "sha256": ""}}, "wrong type"),
        ("files", {}, "wrong type"),
        ("step", 8, "it belongs to step 8"),
        ("step", "7", "wrong type"),
        ("meta", [], "wrong type"),
    ],
)
def test_a_hostile_field_is_refused(tmp_path: Path, key: str, value: Any, problem: str) -> None:
    path = write(tmp_path, 7)
    manifest = json.loads((path / "manifest.json").read_bytes().splitlines()[0])
    seal(path, json.dumps({**manifest, key: value}).encode())
    assert problem in damaged(path, "manifest.json")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x80\x04\x95cposix\nsystem\n.",
        (2**62).to_bytes(8, "little") + b"{}",
        (40_000).to_bytes(8, "little") + b"[" * 40_000,
        (60).to_bytes(8, "little")
        + b'{"a":{"dtype":"F32","shape":[99999999999],"data_offsets":[0,4]}}'[:60],
        (66).to_bytes(8, "little")
        + b'{"model.weight":{"dtype":"X9","shape":[2],"data_offsets":[0,1]} }'.ljust(66)
        + b"\0",
    ],
    ids=["empty", "pickle", "huge header", "deep header", "torn header", "unknown dtype"],
)
def test_a_hostile_tensor_file_is_refused_even_with_a_right_hash(
    tmp_path: Path, content: bytes
) -> None:
    path = write(tmp_path, 7)
    (path / "tensors.safetensors").write_bytes(content)
    manifest = json.loads((path / "manifest.json").read_bytes().splitlines()[0])
    entry = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    seal(path, json.dumps({**manifest, "files": {"tensors.safetensors": entry}}).encode())
    with pytest.raises(CheckpointError, match=r"tensors\.safetensors: the checkpoint cannot"):
        read_checkpoint(path)


def test_a_manifest_that_is_too_large_is_not_even_read(tmp_path: Path) -> None:
    path = write(tmp_path, 7)
    os.truncate(path / "manifest.json", 65 << 20)
    assert "more than 67108864" in damaged(path, "manifest.json")


def test_a_damaged_checkpoint_falls_back_with_a_notice(tmp_path: Path) -> None:
    for step in (1, 2, 3):
        write(tmp_path, step)
    os.truncate(tmp_path / "step-0000000003" / "tensors.safetensors", 100)
    (tmp_path / "step-0000000002" / "manifest.json").write_bytes(b"junk")
    notices: list[str] = []
    found = latest_checkpoint(tmp_path, notices.append)
    assert found is not None
    assert found[0].step == 1
    assert [notice.partition(": ")[0] for notice in notices] == [
        str(tmp_path / "step-0000000003" / "tensors.safetensors"),
        str(tmp_path / "step-0000000002" / "manifest.json"),
    ]
    assert notices[0].endswith("has 100 bytes instead of 4952. Trying the checkpoint before it.")
    assert [info.meta for info in list_checkpoints(tmp_path)][1] == {}


def test_damaged_checkpoints_only_are_an_error_not_a_fresh_start(tmp_path: Path) -> None:
    (write(tmp_path, 1) / "manifest.json").unlink()
    with pytest.raises(CheckpointError, match=r"all 1 checkpoints are damaged\. Restore them"):
        latest_checkpoint(tmp_path, lambda _: None)


def number_of_calls(prepare: Callable[[Path], None], root: Path) -> int:
    prepare(root)
    with failing_disk(None) as disk:
        write_checkpoint(root, 2, tree_of(20), meta={})
    return len(disk.calls)


@pytest.mark.parametrize("again", [False, True], ids=["a new step", "the same step again"])
@pytest.mark.parametrize("for_good", [False, True], ids=["one call fails", "power is cut"])
def test_whatever_call_fails_a_valid_checkpoint_is_there(
    tmp_path: Path, again: bool, for_good: bool
) -> None:
    def prepare(root: Path) -> None:
        write(root, 1)
        if again:
            write(root, 2)

    calls = number_of_calls(prepare, tmp_path / "count")
    assert calls >= 10
    for number in range(1, calls + 1):
        root = tmp_path / f"{number}"
        prepare(root)
        message = ""
        try:
            with failing_disk(number, for_good=for_good):
                write_checkpoint(root, 2, tree_of(20), meta={})
        except CheckpointError as error:
            message = str(error)
        found = latest_checkpoint(root, no_notice)
        assert found is not None
        if to_bytes(found[1]) != to_bytes(tree_of(20)):
            assert to_bytes(found[1]) == to_bytes(tree_of(2 if again else 1))
            assert f"{root / 'step-0000000002'}: cannot be written: " in message
            assert "The checkpoints before it are intact" in message
        for info in list_checkpoints(root):
            verify_checkpoint(info.path)
        # the next write and the next pruning clean up whatever is left
        write_checkpoint(root, 2, tree_of(21), meta={})
        prune_checkpoints(root, 1, ())
        assert_loads(root, step=2, tree=tree_of(21))
        assert [path.name for path in root.iterdir()] == ["step-0000000002"]


def test_everything_is_on_the_disk_before_it_gets_its_name(tmp_path: Path) -> None:
    with failing_disk(None) as disk:
        write(tmp_path, 1)
    rename = disk.calls.index("replace")
    assert disk.calls[:rename].count("fsync") == 3  # two files and their directory
    assert "write" not in disk.calls[rename:]
    assert disk.calls[rename:].count("fsync") == 1  # the parent


def test_short_writes_are_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: whole(descriptor, data[:777]))
    write(tmp_path, 1)
    monkeypatch.undo()
    assert_loads(tmp_path, step=1)


def test_a_full_disk_is_named_with_needed_and_free_bytes(tmp_path: Path) -> None:
    write(tmp_path, 1)
    with failing_disk(3, code=errno.ENOSPC), pytest.raises(CheckpointError) as caught:
        write(tmp_path, 2)
    message = str(caught.value)
    assert f"{tmp_path / 'step-0000000002'}: cannot be written: No space left" in message
    assert "on device; it needs 4808 bytes, " in message
    assert "are free. The checkpoints before it are intact: make room, then continue" in message
    assert_loads(tmp_path, step=1)


def test_a_real_file_size_limit_loses_nothing(tmp_path: Path) -> None:
    write(tmp_path, 1)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    previous = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))
    try:
        with pytest.raises(CheckpointError, match="File too large; it needs 4808 bytes"):
            write(tmp_path, 2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, previous)
    assert_loads(tmp_path, step=1)
    assert [path.name for path in tmp_path.iterdir()] == ["step-0000000001"]


def test_a_tree_that_cannot_be_stored_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="hook: cannot store a function"):
        write_checkpoint(tmp_path, 1, {"hook": no_notice}, meta={})
    bad: Any = {"path": tmp_path}
    with pytest.raises(CheckpointError, match="step 1: the checkpoint's meta is not plain JSON"):
        write_checkpoint(tmp_path, 1, {}, meta=bad)
    assert list(tmp_path.iterdir()) == []


def test_a_writer_killed_at_any_moment_leaves_a_valid_checkpoint(tmp_path: Path) -> None:
    program = textwrap.dedent(
        """
        import sys, pathlib, torch
        from rondel.checkpoint import write_checkpoint
        tree = {"t": torch.arange(300_000)}
        for step in range(1, 10**6):
            write_checkpoint(pathlib.Path(sys.argv[1]), step // 2, tree | {"n": step}, meta={})
            print(step, flush=True)
        """
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    child = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    assert child.stdout is not None
    for _ in range(15):
        child.stdout.readline()
    child.kill()
    last = max(int(line) for line in ["15", *child.stdout.read().split()])
    child.wait()
    child.stdout.close()
    found = latest_checkpoint(tmp_path, no_notice)
    assert found is not None
    assert found[1]["n"] in (last, last + 1)
    assert torch.equal(found[1]["t"], torch.arange(300_000))
    prune_checkpoints(tmp_path, 2, ())
    assert len(list(tmp_path.iterdir())) == 2


def test_an_interrupted_replacement_is_still_found(tmp_path: Path) -> None:
    write(tmp_path, 4)
    write(tmp_path, 5).rename(tmp_path / "step-0000000005.old-99")
    assert_loads(tmp_path, step=5)
    prune_checkpoints(tmp_path, 1, ())
    assert_loads(tmp_path, step=5)
    write(tmp_path, 5)
    assert [path.name for path in tmp_path.iterdir()] == ["step-0000000005"]


def steps_in(root: Path) -> list[int]:
    return [info.step for info in list_checkpoints(root)]


def test_pruning_keeps_the_newest_and_the_protected(tmp_path: Path) -> None:
    for step in range(1, 8):
        write(tmp_path, step)
    prune_checkpoints(tmp_path, 2, {3})
    assert steps_in(tmp_path) == [3, 6, 7]
    prune_checkpoints(tmp_path, 0, ())
    assert steps_in(tmp_path) == [7]


def test_pruning_removes_leftovers_of_dead_processes_only(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as dead:
        pass
    write(tmp_path, 1)
    for pid in (dead.pid, os.getpid(), os.getppid()):
        shutil.copytree(tmp_path / "step-0000000001", tmp_path / f"step-0000000002.tmp-{pid}")
    prune_checkpoints(tmp_path, 1, ())
    assert {path.name for path in tmp_path.iterdir()} == {
        "step-0000000001",
        f"step-0000000002.tmp-{os.getppid()}",
    }


def test_pruning_spares_the_last_good_one(tmp_path: Path) -> None:
    for step in (1, 2, 3, 4):
        write(tmp_path, step)
    os.truncate(tmp_path / "step-0000000003" / "tensors.safetensors", 10)
    (tmp_path / "step-0000000004" / "manifest.json").write_bytes(b"")
    prune_checkpoints(tmp_path, 2, ())
    assert steps_in(tmp_path) == [2, 3, 4]


def test_pruning_that_fails_never_leaves_a_half_checkpoint(tmp_path: Path) -> None:
    for number in range(1, 30):
        root = tmp_path / f"{number}"
        for step in (1, 2, 3):
            write(root, step)
        with failing_disk(number) as disk, contextlib.suppress(CheckpointError):
            prune_checkpoints(root, 1, ())
        for info in list_checkpoints(root):
            verify_checkpoint(info.path)
        assert_loads(root, step=3)
        if len(disk.calls) < number:
            return
    raise AssertionError("pruning makes more calls than were tried")
