"""Checkpoints: a directory of safetensors and JSON that is whole, or not there at all.

Written under a temporary name, forced to the disk, then renamed; every byte is covered by a hash.
Reading checks sizes, then hashes, then parses, and can never run code.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import stat
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias, cast

from safetensors import SafetensorError, safe_open
from torch import Tensor

from rondel.directory import (
    Buffer,
    describe_failure,
    make_directory,
    process_is_alive,
    sync_directory,
    write_file,
)
from rondel.errors import CheckpointError
from rondel.tree import Json, dump_json, flatten, parse_json, tensor_chunks, unflatten

CHECKPOINT_FORMAT = "rondel checkpoint 1"
MAX_MANIFEST_BYTES = 64 << 20

_MANIFEST = "manifest.json"
_TENSORS = "tensors.safetensors"
_NAME = re.compile(r"step-(\d{10,18})(\.old-\d+)?")
_LEFTOVER = re.compile(r"step-\d{10,18}\.(?:tmp|old)-(\d+)")
_CHUNKS_IN_FLIGHT = 8  # bounds what the host holds of tensors fetched from another device
_Manifest: TypeAlias = dict[str, Any]  # checked by _read_manifest


@dataclass(frozen=True)
class CheckpointInfo:
    """A checkpoint: its safe point, its directory, and what its writer noted beside the state."""

    step: int
    path: Path
    meta: dict[str, Json]


def write_checkpoint(root: Path, step: int, tree: object, *, meta: Mapping[str, Json]) -> Path:
    """Write ``root/step-<step>`` so that a valid checkpoint exists at every moment.

    An existing checkpoint of this step is set aside under a name that reading still finds, and
    removed once the new one is on the disk. Tensors are not copied; do not change them meanwhile.

    Raises:
        CheckpointError: The tree holds something that cannot be stored, or the disk refused; what
            was there before is untouched.
    """
    node, tensors = flatten(tree)
    final = root / f"step-{step:010d}"
    temporary = root / f"{final.name}.tmp-{os.getpid()}"
    try:
        make_directory(root)
        with _staging(temporary):
            entry = _write_tensors(temporary / _TENSORS, tensors)
            write_file(temporary / _MANIFEST, [_format_manifest(step, meta, entry, node)])
            sync_directory(temporary)
            _publish(temporary, final)
    except OSError as error:
        needed = sum(t.numel() * t.element_size() for t in tensors.values())
        raise CheckpointError(
            describe_failure(error, root, needed_bytes=needed),
            where=str(final),
            hint="The checkpoints before it are intact: make room, then continue with --resume.",
        ) from error
    return final


def read_checkpoint(path: Path) -> tuple[CheckpointInfo, Any]:
    """Read a checkpoint and the tree of state in it; tensors come back on the CPU.

    Raises:
        CheckpointError: A byte is damaged or missing; the message names the file.
    """
    manifest = _verified_manifest(path)
    try:
        tensors = _read_tensors(path / _TENSORS)
    except (SafetensorError, OSError, ValueError, TypeError, KeyError, RuntimeError) as error:
        raise _damaged(path / _TENSORS, str(error)) from error
    try:
        tree = unflatten(manifest["tree"], tensors)
    except CheckpointError as error:
        raise _damaged(path / _MANIFEST, error.what) from error
    return _info(path, manifest), tree


def verify_checkpoint(path: Path) -> CheckpointInfo:
    """Check every byte of a checkpoint without loading it.

    Raises:
        CheckpointError: A byte is damaged or missing; the message names the file.
    """
    return _info(path, _verified_manifest(path))


def list_checkpoints(root: Path) -> list[CheckpointInfo]:
    """List the complete checkpoints below ``root``, the oldest step first.

    Reads manifests only; one with a damaged manifest is listed with empty ``meta``.
    """
    found = []
    for step, path in _complete(root):
        try:
            meta = _read_manifest(path)["meta"]
        except CheckpointError:
            meta = {}
        found.append(CheckpointInfo(step, path, meta))
    return found


def latest_checkpoint(
    root: Path, notice: Callable[[str], None]
) -> tuple[CheckpointInfo, Any] | None:
    """Read the newest checkpoint that is whole; `None` if there is none at all.

    Every damaged one on the way is reported to ``notice``.

    Raises:
        CheckpointError: There are checkpoints, but all of them are damaged.
    """
    paths = [path for _, path in _complete(root)]
    for path in reversed(paths):
        try:
            return read_checkpoint(path)
        except CheckpointError as error:
            notice(f"{error.where}: {error.what}. Trying the checkpoint before it.")
    if paths:
        raise CheckpointError(
            f"all {len(paths)} checkpoints are damaged",
            where=str(root),
            hint="Restore them from a copy, or start a new run.",
        )
    return None


def prune_checkpoints(root: Path, keep: int, protect: Collection[int]) -> None:
    """Keep the newest ``keep`` checkpoints and the steps in ``protect``; remove the others.

    At least one is kept. While none of those kept looks whole, the newest older one that does
    stays too. Leftovers of dead processes go as well.

    Raises:
        CheckpointError: Something could not be removed.
    """
    found = _complete(root)
    newest = [path for _, path in found[-max(keep, 1) :]]
    spared = {path for step, path in found if step in protect} | set(newest)
    if not any(_looks_whole(path) for path in reversed(newest)):
        older = (path for _, path in reversed(found) if path not in newest)
        spared |= set(next(([path] for path in older if _looks_whole(path)), []))
    try:
        for _, path in found:
            if path not in spared:
                _discard(path)
        for path in _leftovers(root):
            _remove(path)
    except OSError as error:
        raise CheckpointError(
            f"an old checkpoint cannot be removed: {error.strerror}",
            where=str(root),
            hint="Check the rights on this directory.",
        ) from error


@contextlib.contextmanager
def _staging(path: Path) -> Iterator[None]:
    """An empty directory that is gone afterwards, unless it was renamed."""
    _remove(path)
    path.mkdir()
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            _remove(path)


def _write_tensors(file: Path, tensors: Mapping[str, Tensor]) -> dict[str, Json]:
    """Write the tensors and return size and hash of their file."""
    with ThreadPoolExecutor(1) as side:
        digest = _Digest(side)
        write_file(file, digest.passing(tensor_chunks(tensors)))
        return digest.entry()


class _Digest:
    """The hash and size of chunks on their way to a file, computed beside the writing."""

    def __init__(self, side: ThreadPoolExecutor) -> None:
        self._side = side
        self._hash = hashlib.sha256()
        self._unhashed: deque[Future[None]] = deque()
        self.size = 0

    def passing(self, chunks: Iterable[Buffer]) -> Iterator[Buffer]:
        for chunk in chunks:
            self.size += len(chunk)
            self._unhashed.append(self._side.submit(self._hash.update, chunk))
            if len(self._unhashed) > _CHUNKS_IN_FLIGHT:
                self._unhashed.popleft().result()
            yield chunk

    def entry(self) -> dict[str, Json]:
        for update in self._unhashed:
            update.result()
        return {"bytes": self.size, "sha256": self._hash.hexdigest()}


def _format_manifest(
    step: int, meta: Mapping[str, Json], entry: dict[str, Json], tree: Json
) -> bytes:
    head: dict[str, Json] = {
        "format": CHECKPOINT_FORMAT,
        "step": step,
        "meta": dict(meta),
        "files": {_TENSORS: entry},
        "tree": tree,
    }
    try:
        text = dump_json(head).encode() + b"\n"
    except (TypeError, ValueError) as error:
        raise CheckpointError(
            f"the checkpoint's meta is not plain JSON ({error})", where=f"step {step}"
        ) from error
    if len(text) + 65 > MAX_MANIFEST_BYTES:
        raise CheckpointError(
            f"the state's numbers and texts take {len(text)} bytes, more than {MAX_MANIFEST_BYTES}",
            where=f"step {step}",
            hint="Keep long lists and texts as tensors.",
        )
    return text + hashlib.sha256(text).hexdigest().encode() + b"\n"


def _publish(temporary: Path, final: Path) -> None:
    """Give a finished directory its name, in place of an older one if there is one."""
    if final.exists():
        aside = final.with_name(f"{final.name}.old-{os.getpid()}")
        _remove(aside)
        final.replace(aside)  # if we stop here, reading finds the old one under this name
    temporary.replace(final)
    sync_directory(final.parent)
    with contextlib.suppress(OSError):  # the new one is safe; pruning tries again
        for older in final.parent.glob(f"{final.name}.old-*"):
            _discard(older)


def _complete(root: Path) -> list[tuple[int, Path]]:
    """Steps and paths in order; one set aside counts only while its successor is missing."""
    found: dict[int, Path] = {}
    for path in sorted(root.glob("step-*"), reverse=True):  # step-7 comes after step-7.old-1
        match = _NAME.fullmatch(path.name)
        if match:
            found[int(match[1])] = path
    return sorted(found.items())


def _leftovers(root: Path) -> Iterator[Path]:
    """Directories that no process will finish or read any more."""
    listed = {path for _, path in _complete(root)}
    for path in root.glob("step-*"):
        match = _LEFTOVER.fullmatch(path.name)
        if match and path not in listed:
            pid = int(match[1])
            if pid == os.getpid() or not process_is_alive(pid):
                yield path


def _discard(path: Path) -> None:
    """Remove a checkpoint so that a half-removed one is never listed."""
    doomed = path.with_name(f"{path.name.partition('.')[0]}.tmp-{os.getpid()}")
    _remove(doomed)
    path.replace(doomed)
    _remove(doomed)


def _remove(path: Path) -> None:
    """Remove a directory, if it is there."""
    if path.exists():
        shutil.rmtree(path)


def _verified_manifest(path: Path) -> _Manifest:
    manifest = _read_manifest(path)
    entry = manifest["files"][_TENSORS]
    file = path / _TENSORS
    _check_size(file, entry["bytes"])
    with _reading(file), file.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != entry["sha256"]:
        raise _damaged(file, "its content does not match its hash")
    return manifest


def _read_manifest(path: Path) -> _Manifest:
    """Read a manifest: its size, its hash, its JSON and its fields, in this order."""
    file = path / _MANIFEST
    size = _size_of(file)
    if size > MAX_MANIFEST_BYTES:
        raise _damaged(file, f"it has {size} bytes, more than {MAX_MANIFEST_BYTES}")
    with _reading(file):
        data = file.read_bytes()
    text, last_line = data[:-65], data[-65:]
    if last_line != hashlib.sha256(text).hexdigest().encode() + b"\n":
        raise _damaged(file, "its content does not match its hash")
    try:
        manifest = parse_json(text)
    except CheckpointError as error:
        raise _damaged(file, error.what) from error
    problem = _problem_of(manifest, path)
    if problem:
        raise _damaged(file, problem)
    return cast(_Manifest, manifest)


def _problem_of(manifest: Json, path: Path) -> str:
    """What is wrong with a manifest whose hash is right; empty if nothing is."""
    if not isinstance(manifest, dict):
        return "it is no JSON object"
    if manifest.get("format") != CHECKPOINT_FORMAT:
        return f"its format is {manifest.get('format')!r}, this rondel reads {CHECKPOINT_FORMAT!r}"
    match manifest:
        case {
            "step": int(step),
            "meta": dict(),
            "files": {"tensors.safetensors": {"bytes": int(), "sha256": str()}, **others},
            "tree": _,
        } if not others:
            named = _NAME.fullmatch(path.name)
            return f"it belongs to step {step}" if named and int(named[1]) != step else ""
    return "a field is missing or has the wrong type"


def _check_size(file: Path, expected: int) -> None:
    size = _size_of(file)
    if size != expected:
        raise _damaged(file, f"it has {size} bytes instead of {expected}")


def _size_of(file: Path) -> int:
    with _reading(file):
        status = file.stat()
    if not stat.S_ISREG(status.st_mode):
        raise _damaged(file, "it is no plain file")
    return status.st_size


@contextlib.contextmanager
def _reading(file: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _damaged(file, error.strerror or str(error)) from error


def _looks_whole(path: Path) -> bool:
    """Whether names, sizes and the manifest are right; the cheap part of `verify_checkpoint`."""
    try:
        _check_size(path / _TENSORS, _read_manifest(path)["files"][_TENSORS]["bytes"])
    except CheckpointError:
        return False
    return True


def _read_tensors(file: Path) -> dict[str, Tensor]:
    with safe_open(file, framework="pt") as stream:
        # cloned, because the tensors would stay windows on the file otherwise
        return {name: stream.get_tensor(name).clone() for name in stream.keys()}  # noqa: SIM118


def _info(path: Path, manifest: _Manifest) -> CheckpointInfo:
    return CheckpointInfo(manifest["step"], path, manifest["meta"])


def _damaged(file: Path, what: str) -> CheckpointError:
    return CheckpointError(
        f"the checkpoint cannot be used: {what}",
        where=str(file),
        hint=f"Remove {str(file.parent)!r} to continue from the checkpoint before it.",
    )
