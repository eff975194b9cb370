"""Encoded tables on the disk: written once, then read by memory map.

An entry is a folder named by a hash of all that it was made of. It holds arrays as files of numpy, and
what else is to be known as JSON. It is written under another name and renamed when it is whole.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rondel.directory import make_directory, sync_directory, write_file
from rondel.errors import DirectoryError

Array: TypeAlias = NDArray[Any]
FACTS = "facts.json"


def user_folder() -> Path:
    """Return the place of the user's own cache: ``$XDG_CACHE_HOME/rondel/tabular``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "rondel" / "tabular"


def key_of(parts: Mapping[str, Any]) -> str:
    """Return a hash of plain values."""
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


@dataclass(frozen=True)
class Entry:
    """An entry that is whole.

    Args:
        folder: Where it lies.
        facts: What else was kept.
        arrays: By name, read-only; mapped, unless they are empty.
    """

    folder: Path
    facts: Mapping[str, Any]
    arrays: Mapping[str, Array]

    @property
    def size_bytes(self) -> int:
        """Bytes of all arrays."""
        return sum(array.nbytes for array in self.arrays.values())


class Draft:
    """An entry that is being written.

    Args:
        folder: Where.
        files: Closes them.
    """

    def __init__(self, folder: Path, files: ExitStack) -> None:
        self.folder = folder
        self._stack = files
        self._files: dict[str, Any] = {}

    def append(self, name: str, values: Array, *, rows: int) -> None:
        """Write rows of an array below those that are there.

        Args:
            name: Of the array.
            values: Some of its rows.
            rows: How many it will have.
        """
        if name not in self._files:
            shape = (rows, *values.shape[1:])
            file = self._stack.enter_context((self.folder / f"{name}.npy").open("wb"))
            descr = np.lib.format.dtype_to_descr(values.dtype)
            header = {"shape": shape, "fortran_order": False, "descr": descr}
            np.lib.format.write_array_header_1_0(file, header)
            self._files[name] = file
        self._files[name].write(np.ascontiguousarray(values).data)

    def finish(self, facts: Mapping[str, Any]) -> None:
        """Wait until all is on the disk, and write the facts last."""
        for file in self._files.values():
            file.flush()
            os.fsync(file.fileno())
        content = json.dumps({"arrays": list(self._files), "facts": facts})
        write_file(self.folder / FACTS, [content.encode()])
        sync_directory(self.folder)


def entry_of(folder: Path, key: str, make: Callable[[Draft], Mapping[str, Any]]) -> Entry:
    """Return an entry of a cache, which is made if there is none that is whole.

    Of several processes that ask for the same one, one makes it and the others wait.

    Args:
        folder: The cache.
        key: Of the entry.
        make: Writes arrays and returns facts.

    Raises:
        DirectoryError: It cannot be written.
    """
    final = folder / key
    found = read(final)
    if found is not None:
        return found
    try:
        make_directory(folder)
        with locked(folder / f"{key}.lock"):
            found = read(final)
            if found is None:
                write(final, make)
                found = read(final)
    except OSError as error:
        raise DirectoryError(
            f"cannot be written: {error.strerror or error}",
            where=str(folder),
            hint="Make room, or name another place: cache=FOLDER.",
        ) from error
    if found is None:
        raise DirectoryError(
            "was changed while it was written", where=str(final), hint="Start again."
        )
    return found


def write(final: Path, make: Callable[[Draft], Mapping[str, Any]]) -> None:
    """Write an entry in place of whatever is there."""
    draft = final.with_name(f"{final.name}.part")  # one that was left by a killed process as well
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir()
    try:
        with ExitStack() as files:
            made = Draft(draft, files)
            made.finish(make(made))
        shutil.rmtree(final, ignore_errors=True)
        draft.rename(final)
        sync_directory(final.parent)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def read(folder: Path) -> Entry | None:
    """Return the entry of a folder; None if there is none, or if a file of it is not whole."""
    try:
        content = json.loads((folder / FACTS).read_bytes())
        arrays = {name: mapped(folder / f"{name}.npy") for name in content["arrays"]}
        return Entry(folder, content["facts"], arrays)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def mapped(path: Path) -> Array:
    """Return an array of a file, mapped and read-only.

    Raises:
        ValueError: The file is shorter than its header says.
    """
    found: Array = np.load(path, mmap_mode="r", allow_pickle=False)
    return found


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock against other processes, where the file system has such locks."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
