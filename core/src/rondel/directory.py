"""A run directory: its files by name, its lock, and writes that survive a crash.

Changes on disk end in `os.open`, `os.write`, `os.fsync`, `os.replace`, `os.mkdir`, `os.unlink` or
`os.rmdir`, here and in `rondel.checkpoint`: the tests make every single one of these calls fail.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import secrets
import shutil
import weakref
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self, TypeAlias

from rondel.errors import DirectoryError, LockedError

Buffer: TypeAlias = bytes | bytearray | memoryview

RUN_FORMAT = "rondel run 1"
# fmt: off
WORDS = (
    "amber", "aspen", "birch", "breeze", "brook", "cedar", "clover", "comet", "coral", "crane",
    "dawn", "delta", "dune", "ember", "fern", "finch", "fjord", "glade", "hazel", "heron",
    "iris", "island", "ivory", "jade", "juniper", "kestrel", "lark", "lilac", "linden", "maple",
    "meadow", "mint", "moss", "olive", "opal", "otter", "pebble", "pine", "poplar", "prairie",
    "quartz", "raven", "reed", "ridge", "river", "robin", "rowan", "saffron", "sage", "sparrow",
    "spruce", "summit", "thistle", "tide", "topaz", "tulip", "valley", "violet", "willow", "wren",
)
# fmt: on


class RunDirectory:
    """One run's directory, held by one process at a time.

    Attributes are the paths of its files; most of them exist only once something wrote them.
    Use it as a context manager, or call `close`, to release the lock. A killed process releases it
    as well.
    """

    def __init__(self, path: Path, *, lock: Lock | None) -> None:
        self.path = path
        self.config = path / "config.toml"
        self.manifest = path / "manifest.json"
        self.metrics = path / "metrics.jsonl"
        self.timing = path / "timing.jsonl"
        self.skipped = path / "skipped.jsonl"
        self.checkpoints = path / "checkpoints"
        self.bundle = path / "bundle"
        self.pictures = path / "pictures"
        self.report = path / "report.html"
        self.result = path / "result.json"
        self.log = path / "log.txt"
        self.error = path / "error.txt"
        self._lock = lock

    @classmethod
    def create(cls, path: Path | str, *, domain: str | None, config: str | None = None) -> Self:
        """Make a new run directory and lock it; a new or an empty place is needed.

        Writes ``config.toml``, then a first ``manifest.json`` with format, domain and time. The
        manifest makes it a run, so whatever is recognised as one can be resumed.

        Raises:
            DirectoryError: The place is no directory, not empty, or cannot be written.
            LockedError: Another process works there.
        """
        place = _absolute(path)
        try:
            make_directory(place)
        except OSError as error:
            raise _unusable(place, error) from error
        _check_empty(place, domain)
        run = cls(place, lock=Lock(place / "run.lock"))
        created = datetime.now(UTC).isoformat(timespec="seconds")
        content = {"format": RUN_FORMAT, "domain": domain, "created": created}
        try:
            _check_empty(place, domain)  # again: another process may have been here until now
            if config is not None:
                write_atomically(run.config, config.encode())
            write_atomically(run.manifest, json.dumps(content).encode())
        except DirectoryError:
            run.close()
            raise
        return run

    @classmethod
    def open(cls, path: Path | str, *, domain: str | None = None, read_only: bool = False) -> Self:
        """Open an existing run, locked unless ``read_only``.

        Args:
            path: The run directory.
            domain: The domain that the run must belong to; `None` accepts any.
            read_only: Only read; needs no lock and no right to write.

        Raises:
            DirectoryError: It is no run, another domain's run, or cannot be written.
            LockedError: Another process works there.
        """
        place = _absolute(path)
        manifest = _read_manifest(place)
        if manifest is None:
            raise DirectoryError(
                "is not a run directory",
                where=str(place),
                hint="'rondel runs list' names the runs.",
            )
        if domain is not None and manifest.get("domain") != domain:
            raise _wrong_domain(place, manifest.get("domain"), domain)
        if read_only:
            return cls(place, lock=None)
        run = cls(place, lock=Lock(place / "run.lock"))
        _sweep(place)
        return run

    def withdraw_result(self) -> None:
        """Remove the result of an earlier part of the run: it is not over any more.

        Raises:
            DirectoryError: It could not be removed.
        """
        try:
            self.result.unlink(missing_ok=True)
        except OSError as error:
            raise _unusable(self.path, error) from error

    @property
    def read_only(self) -> bool:
        """Whether the directory was opened without a lock."""
        return self._lock is None

    def close(self) -> None:
        """Release the lock; harmless when called twice."""
        if self._lock is not None:
            self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Lock:
    """An exclusive lock on a file, gone when this process is gone, however it ends.

    Raises:
        LockedError: Another process holds it; the message names process, host and start.
        DirectoryError: The directory cannot be written.
    """

    def __init__(self, path: Path) -> None:
        if path.parent.is_dir() and not os.access(path.parent, os.W_OK | os.X_OK):
            raise _unusable(path.parent, OSError(errno.EACCES, "not writable"))
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise _unusable(path.parent, error) from error
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(self._descriptor, 0)
            os.write(self._descriptor, json.dumps(_owner()).encode())
        except BlockingIOError as error:
            self._close()
            raise _locked(path) from error
        except OSError as error:
            self._close()
            raise _unusable(path.parent, error) from error
        _close_in_children(self)

    def release(self) -> None:
        """Give the lock back; harmless when called twice."""
        if self._descriptor >= 0:
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, 0)
        self._close()

    def _close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def new_run_path(root: Path | str, domain: str | None) -> Path:
    """Choose a free ``<domain>-<YYYYMMDD-HHMMSS>-<word>`` below ``root``; nothing is created.

    The word comes from the system's entropy, so a seeded run does not draw from its generators.
    """
    stamp = datetime.now().astimezone().strftime("%Y%m%d-%H%M%S")
    while True:
        path = Path(root) / f"{domain or 'run'}-{stamp}-{secrets.choice(WORDS)}"
        if not path.exists():
            return path
        stamp = f"{stamp}{secrets.choice('abcdefghjkmnpqrstuvwxyz')}"


def write_atomically(path: Path, data: bytes) -> None:
    """Replace a file as a whole: after a crash it holds the old content or the new one.

    Raises:
        DirectoryError: It could not be written; the old content is intact.
    """
    temporary = path.with_name(f"{path.name}.tmp-{os.getpid()}")
    try:
        write_file(temporary, [data])
        temporary.replace(path)
        sync_directory(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise DirectoryError(
            describe_failure(error, path.parent, needed_bytes=len(data)),
            where=str(path),
            hint="Make room or choose another place, then try again.",
        ) from error


def make_directory(path: Path) -> None:
    """Make a directory with its parents, if it is missing, and wait until its name is on disk."""
    if not path.is_dir():
        path.mkdir(parents=True, exist_ok=True)
        sync_directory(path.parent)


def write_file(path: Path, chunks: Iterable[Buffer]) -> None:
    """Write a new file and wait until it is on the disk."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    try:
        for chunk in chunks:
            write_fully(descriptor, chunk)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_fully(descriptor: int, chunk: Buffer) -> None:
    """Write all bytes of a chunk, however many calls the system needs."""
    rest = memoryview(chunk)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def sync_directory(path: Path) -> None:
    """Wait until the names in a directory are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # some network file systems cannot do this, and need not
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


def describe_failure(error: OSError, place: Path, *, needed_bytes: int) -> str:
    """Say why a write failed, and when space ran out how much is needed and free."""
    reason = error.strerror or str(error)
    if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return f"cannot be written: {reason}"
    free = shutil.disk_usage(place).free if place.exists() else 0
    return f"cannot be written: {reason}; it needs {needed_bytes} bytes, {free} are free"


def process_is_alive(pid: int) -> bool:
    """Whether a process with this number runs on this machine."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        pass
    return True


def _absolute(path: Path | str) -> Path:
    return Path(path).expanduser().absolute()


def _check_empty(place: Path, domain: str | None) -> None:
    manifest = _read_manifest(place)
    if manifest is not None and domain is not None and manifest.get("domain") != domain:
        raise _wrong_domain(place, manifest.get("domain"), domain)
    if manifest is not None:
        raise DirectoryError(
            "holds a run already",
            where=str(place),
            hint="Continue it with --resume, or choose another --out.",
        )
    stranger = next(_foreign_names(place), None)
    if stranger is not None:
        raise DirectoryError(
            f"is not empty and not a run: it holds {stranger!r}",
            where=str(place),
            hint="Choose a new directory with --out.",
        )


def _foreign_names(place: Path) -> Iterator[str]:
    """Names that a start which failed at once cannot have left."""
    names = sorted(entry.name for entry in place.iterdir())
    # a lock is made only where nothing else was: a config.toml beside it is not the user's own
    left = {"run.lock", "config.toml"} if "run.lock" in names else set()
    for name in names:
        if name not in left and not name.startswith(("config.toml.tmp-", "manifest.json.tmp-")):
            yield name


def _read_manifest(place: Path) -> dict[str, Any] | None:
    try:
        content = json.loads((place / "manifest.json").read_bytes())
    except (FileNotFoundError, NotADirectoryError, ValueError, RecursionError):
        return None
    except OSError as error:
        raise _unusable(place, error) from error
    if isinstance(content, dict) and str(content.get("format", "")).startswith("rondel run "):
        return content
    return None


def _sweep(place: Path) -> None:
    """Remove what killed processes were writing; the lock is ours, so nobody else is."""
    # os.walk, not rglob: another process of the group may be removing a folder just now
    for folder, folders, files in os.walk(place):
        for name in (name for name in (*folders, *files) if ".tmp-" in name):
            path = Path(folder, name)
            shutil.rmtree(path, ignore_errors=True)
            with contextlib.suppress(OSError):
                path.unlink()


def _wrong_domain(place: Path, found: object, wanted: str) -> DirectoryError:
    return DirectoryError(
        f"holds a run of the domain {found!r}, not of {wanted!r}",
        where=str(place),
        hint=f"Use 'rondel {found or '<domain>'} ...' for it, or choose another directory.",
    )


def _unusable(place: Path, error: OSError) -> DirectoryError:
    return DirectoryError(
        f"cannot be used as a run directory: {error.strerror or error}",
        where=str(place),
        hint="Choose a place that can be written with --out.",
    )


def _owner() -> dict[str, str | int]:
    started = datetime.now(UTC).isoformat(timespec="seconds")
    return {"pid": os.getpid(), "host": os.uname().nodename, "started": started}


def _locked(path: Path) -> LockedError:
    try:
        owner = json.loads(path.read_bytes())
        holder = f"process {owner['pid']} on {owner['host']}, since {owner['started']}"
    except (OSError, ValueError, KeyError, TypeError):
        holder = "another process"
    return LockedError(
        f"is in use by {holder}",
        where=str(path.parent),
        hint="Wait for it to end or stop it; its lock goes with it.",
    )


def _close_in_children(lock: Lock) -> None:
    """Drop a forked child's copy: a loader worker that outlives us must not keep the lock."""
    reference = weakref.ref(lock)

    def close() -> None:
        held = reference()
        if held is not None:
            held._close()

    os.register_at_fork(after_in_child=close)
