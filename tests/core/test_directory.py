"""Run directories: one process at a time, clear refusals, and writes that never tear."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import textwrap
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rondel import directory
from rondel.directory import RunDirectory, new_run_path, write_atomically
from rondel.errors import DirectoryError, LockedError

HOLDER = textwrap.dedent(
    """
    import os, sys, time
    from rondel.directory import RunDirectory
    run = RunDirectory.open(sys.argv[1])
    if "--fork" in sys.argv:
        reader, writer = os.pipe()
        if os.fork() == 0:
            os.close(1)
            os.write(writer, b"x")
            time.sleep(60)
        os.read(reader, 1)
    print("held", flush=True)
    time.sleep(60)
    """
)


@contextlib.contextmanager
def another_process_holding(path: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    child = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path), *options],
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,
    )
    assert child.stdout is not None
    try:
        assert child.stdout.readline() == "held\n"
        yield child
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, 9)  # the session that this test started
        child.wait()
        child.stdout.close()


def made(path: Path, domain: str | None = "gan") -> Path:
    RunDirectory.create(path, domain=domain).close()
    return path


def test_a_run_directory_names_its_files(tmp_path: Path) -> None:
    with RunDirectory.create(tmp_path / "a" / "тест 測試 é", domain="gan") as run:
        assert not run.read_only
        names = {
            key: value.relative_to(run.path).as_posix()
            for key, value in vars(run).items()
            if isinstance(value, Path)
        }
    assert names == {
        "path": ".",
        "config": "config.toml",
        "manifest": "manifest.json",
        "metrics": "metrics.jsonl",
        "timing": "timing.jsonl",
        "skipped": "skipped.jsonl",
        "checkpoints": "checkpoints",
        "bundle": "bundle",
        "pictures": "pictures",
        "report": "report.html",
        "result": "result.json",
        "log": "log.txt",
        "error": "error.txt",
    }


def test_a_new_run_is_recognised_at_once(tmp_path: Path) -> None:
    path = made(tmp_path / "run")
    manifest = json.loads((path / "manifest.json").read_text())
    assert (manifest["format"], manifest["domain"]) == ("rondel run 1", "gan")
    with RunDirectory.open(path, domain="gan") as run:
        assert run.path == path


def test_a_relative_path_survives_a_change_of_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with RunDirectory.create("run", domain=None) as run:
        monkeypatch.chdir("/")
        assert run.manifest.is_file()


def test_a_second_process_is_refused_with_pid_and_host(tmp_path: Path) -> None:
    path = made(tmp_path / "run")
    with another_process_holding(path) as child:
        with pytest.raises(LockedError) as caught:
            RunDirectory.open(path)
        assert re.fullmatch(
            re.escape(f"{path}: is in use by process {child.pid} on {os.uname().nodename}, since ")
            + r"20\S+\. Wait for it to end or stop it; its lock goes with it\.",
            str(caught.value),
        )
        assert caught.value.exit_code == 73
        assert RunDirectory.open(path, read_only=True).read_only


@pytest.mark.parametrize("options", [(), ("--fork",)], ids=["alone", "with a worker that stays"])
def test_the_lock_of_a_killed_process_is_taken_over(
    tmp_path: Path, options: tuple[str, ...]
) -> None:
    path = made(tmp_path / "run")
    with another_process_holding(path, *options) as child:
        child.kill()
        child.wait()
        with RunDirectory.open(path):
            holder = json.loads((path / "run.lock").read_text())
            assert holder["pid"] == os.getpid()


def test_the_lock_holds_within_a_process_too_and_goes_with_close(tmp_path: Path) -> None:
    run = RunDirectory.create(tmp_path / "run", domain=None)
    with pytest.raises(LockedError, match=f"process {os.getpid()} on"):
        RunDirectory.open(run.path)
    run.close()
    run.close()
    assert (run.path / "run.lock").read_bytes() == b""
    RunDirectory.open(run.path).close()


def test_an_unreadable_owner_is_another_process(tmp_path: Path) -> None:
    with RunDirectory.create(tmp_path / "run", domain=None) as run:
        (run.path / "run.lock").write_bytes(b"[")
        with pytest.raises(LockedError, match="is in use by another process"):
            RunDirectory.open(run.path)


def test_a_run_of_another_domain_is_refused_with_both_names(tmp_path: Path) -> None:
    path = made(tmp_path / "run")
    for start in (RunDirectory.open, RunDirectory.create):
        with pytest.raises(DirectoryError) as caught:
            start(path, domain="text")
        assert str(caught.value) == (
            f"{path}: holds a run of the domain 'gan', not of 'text'. "
            "Use 'rondel gan ...' for it, or choose another directory."
        )


def test_an_existing_run_is_not_started_again(tmp_path: Path) -> None:
    path = made(tmp_path / "run")
    with pytest.raises(DirectoryError, match=r"holds a run already\. Continue it with --resume"):
        RunDirectory.create(path, domain="gan")


def test_a_directory_with_other_things_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(DirectoryError) as caught:
        RunDirectory.create(tmp_path, domain="gan")
    assert str(caught.value) == (
        f"{tmp_path}: is not empty and not a run: it holds 'thesis.tex'. "
        "Choose a new directory with --out."
    )
    with pytest.raises(DirectoryError, match=r"is not a run directory\. 'rondel runs list'"):
        RunDirectory.open(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_start_that_died_at_once_can_be_repeated(tmp_path: Path) -> None:
    (tmp_path / "run.lock").touch()
    (tmp_path / "manifest.json.tmp-123").touch()
    made(tmp_path)


def test_a_folder_that_goes_while_leftovers_are_removed_is_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process of a group removes its folder of failures as it ends."""
    (tmp_path / "failures").mkdir()
    (tmp_path / "checkpoints").mkdir()
    leftover = tmp_path / "checkpoints" / "step-0000000001.tmp-9"
    leftover.mkdir()
    scandir = os.scandir

    def gone(path: Any) -> Any:
        if not isinstance(path, int) and Path(path).name == "failures":
            raise FileNotFoundError(errno.ENOENT, "gone", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", gone)
    directory._sweep(tmp_path)
    assert not leftover.exists()


@pytest.mark.parametrize("content", ["", "[" * 100_000, "[]", '{"format": "other"}'])
def test_a_foreign_manifest_is_no_run(tmp_path: Path, content: str) -> None:
    (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(DirectoryError, match="is not a run directory"):
        RunDirectory.open(tmp_path)


def test_a_place_below_a_file_is_refused_with_the_full_path(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DirectoryError) as caught:
        RunDirectory.create(tmp_path / "file" / "run", domain="gan")
    assert str(caught.value) == (
        f"{tmp_path / 'file' / 'run'}: cannot be used as a run directory: Not a directory. "
        "Choose a place that can be written with --out."
    )


def refusal_without_rights(call: Callable[[], object]) -> BaseException | None:
    """Run ``call`` as nobody if this is root, whom modes do not stop."""
    if os.geteuid() != 0:
        with pytest.raises(DirectoryError) as caught:
            call()
        return caught.value
    os.seteuid(65534)
    try:
        with pytest.raises(DirectoryError) as caught:
            call()
    finally:
        os.seteuid(0)
    return caught.value


def test_a_read_only_directory_is_refused_before_anything_runs() -> None:
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        run = made(root / "run")
        (root / "empty").mkdir()
        for path in (run, root / "empty", root):
            path.chmod(0o555)
        for start in (
            lambda: RunDirectory.open(run),
            lambda: RunDirectory.create(root / "empty", domain="gan"),
            lambda: RunDirectory.create(root / "new", domain="gan"),
        ):
            message = str(refusal_without_rights(start))
            assert message.startswith(f"{root}{os.sep}")
            assert "cannot be used as a run directory: " in message
            assert message.endswith("Choose a place that can be written with --out.")
        RunDirectory.open(run, read_only=True)
        for path in (run, root / "empty", root):
            path.chmod(0o755)


def test_a_file_system_without_locks_is_refused_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    path = made(tmp_path / "run")
    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(DirectoryError, match="cannot be used as a run directory: No locks"):
        RunDirectory.open(path)


def test_a_new_path_names_domain_time_and_word(tmp_path: Path) -> None:
    random.seed(1)
    before = random.getstate()
    path = new_run_path(tmp_path, "gan")
    assert random.getstate() == before
    assert re.fullmatch(r"gan-\d{8}-\d{6}-[a-z]+", path.name)
    assert path.parent == tmp_path
    assert list(tmp_path.iterdir()) == []
    assert new_run_path(tmp_path, None).name.startswith("run-")


def test_a_new_path_is_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(directory, "WORDS", ("maple",))
    paths = set()
    for _ in range(5):
        path = new_run_path(tmp_path, "gan")
        path.mkdir()
        paths.add(path)
    assert len(paths) == 5


def test_a_file_is_replaced_as_a_whole_whatever_call_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "best.json"
    path.write_bytes(b"old")
    for number in range(1, 20):
        calls = 0

        def wrap(call: Callable[..., Any], number: int = number) -> Callable[..., Any]:
            def counted(*args: Any, **kwargs: Any) -> Any:
                nonlocal calls
                calls += 1
                if calls == number:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                return call(*args, **kwargs)

            return counted

        with monkeypatch.context() as patch:
            for name in ("open", "write", "fsync", "replace"):
                patch.setattr(os, name, wrap(getattr(os, name)))
            try:
                write_atomically(path, b"new" * 10)
                message = ""
            except DirectoryError as error:
                message = str(error)
        assert [file.name for file in tmp_path.iterdir()] == ["best.json"]
        if calls < number:
            assert number > 5
            assert path.read_bytes() == b"new" * 10
            return
        assert path.read_bytes() in (b"old", b"new" * 10)
        assert re.fullmatch(
            re.escape(f"{path}: cannot be written: No space left on device; it needs 30 bytes, ")
            + r"\d+ are free\. Make room or choose another place, then try again\.",
            message,
        )
        path.write_bytes(b"old")
    raise AssertionError("more calls than were tried")


def test_readers_never_see_half_a_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"0" * 100_000)
    done = threading.Event()

    def rewrite() -> None:
        for digit in b"123456789" * 5:
            write_atomically(path, bytes([digit]) * 100_000)
        done.set()

    writer = threading.Thread(target=rewrite)
    writer.start()
    while not done.is_set():
        content = path.read_bytes()
        assert len(content) == 100_000
        assert len(set(content)) == 1
    writer.join()


def test_the_module_needs_no_torch() -> None:
    program = "import sys, rondel.directory, rondel.journal, rondel.signals\n"
    program += "import rondel.fingerprint, rondel.data_manifest\n"
    program += "sys.exit('torch' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    assert (
        subprocess.run([sys.executable, "-c", program], env=environment, check=False).returncode
        == 0
    )
