"""What was made of data with much work, on the disk: written once, then read by memory map.

An entry is a folder that is named by a hash of all that it was made of. It holds arrays as files of
numpy, and a header that names each of them with its size and shape. It is written under another name and
renamed when it is whole; one that was damaged afterwards is noticed and made again.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rondel.directory import make_directory, sync_directory, write_file
from rondel.errors import DirectoryError
from rondel.notice import warn

Array = npt.NDArray[Any]
HEADER = "header.json"
BLOCK = 1 << 20
"""Items that are widened together."""


def user_folder(domain: str) -> Path:
    """Return the place of the user's own cache for a domain: ``$XDG_CACHE_HOME/rondel/DOMAIN``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "rondel" / domain


def cache_in(place: str | Path, domain: str) -> Cache:
    """Return the cache of a folder, or the user's own for a domain under the name 'auto'."""
    own = str(place) == "auto"
    return Cache(user_folder(domain) if own else Path(place).expanduser())


def key_of(**parts: Any) -> str:
    """Return a hash of plain values: the blake2b of their JSON."""
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


@dataclass(frozen=True)
class Entry:
    """An entry that is whole.

    Args:
        folder: Where it lies.
        facts: Plain values that were kept with it.
        arrays: By name, mapped and read-only.
    """

    folder: Path
    facts: Mapping[str, Any]
    arrays: Mapping[str, Array]

    @property
    def size_bytes(self) -> int:
        """Bytes of all arrays."""
        return sum(array.nbytes for array in self.arrays.values())

    def below(self, name: str) -> dict[str, Array]:
        """Return the arrays whose names begin with ``name`` and a dot, by what follows it."""
        start = f"{name}."
        return {
            full.removeprefix(start): array
            for full, array in self.arrays.items()
            if full.startswith(start)
        }


class Draft:
    """An entry that is being written.

    Args:
        folder: Where.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.facts: dict[str, Any] = {}
        self._columns: dict[str, Column] = {}

    def append(self, name: str, values: Array) -> None:
        """Put rows below those that an array has already; it takes the wider type of both."""
        if name not in self._columns:
            path = self.folder / f"{name}.npy"
            self._columns[name] = Column(path, values.dtype, values.shape[1:])
        self._columns[name].append(values)

    def rows(self, name: str) -> int:
        """Return how many rows an array has by now."""
        return self._columns[name].rows if name in self._columns else 0

    def finish(self, key: str) -> None:
        """Complete the arrays, and write the header last."""
        for column in self._columns.values():
            column.close()
        arrays = {name: described(column.path) for name, column in self._columns.items()}
        content = {"key": key, "facts": self.facts, "arrays": arrays}
        text = json.dumps({"hash": key_of(content=content), **content}, default=str)
        write_file(self.folder / HEADER, [text.encode()])
        sync_directory(self.folder)

    def abandon(self) -> None:
        """Remove what was written."""
        for column in self._columns.values():
            column.file.close()
        shutil.rmtree(self.folder, ignore_errors=True)


@dataclass
class Column:
    """A file of numpy that grows along its first axis.

    Args:
        path: The file.
        dtype: Of its items.
        shape: Of a row.
    """

    path: Path
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    rows: int = field(default=0, init=False)

    @cached_property
    def file(self) -> Any:
        """The open file, behind the header of an array without rows."""
        file = self.path.open("wb")
        self._head(file)
        return file

    def append(self, values: Array) -> None:
        """Write rows."""
        common = np.promote_types(self.dtype, values.dtype)
        if common != self.dtype:
            self._widen(common)
        self.file.write(np.ascontiguousarray(values, self.dtype).data)
        self.rows += len(values)

    def close(self) -> None:
        """Write how many rows there are, and wait until all is on the disk."""
        self.file.seek(0)
        self._head(self.file)
        self.file.flush()
        os.fsync(self.file.fileno())
        self.file.close()

    def _head(self, file: Any) -> None:
        # numpy leaves room for the rows to grow, so that a second header is as long as the first
        about = {"shape": (self.rows, *self.shape), "fortran_order": False}
        descr = np.lib.format.dtype_to_descr(self.dtype)
        np.lib.format.write_array_header_1_0(file, {**about, "descr": descr})

    def _widen(self, dtype: np.dtype[Any]) -> None:
        """Write what is there once more, in a wider type."""
        self.close()
        narrow, self.dtype = mapped(self.path), dtype
        self.path.unlink()  # the map holds on to the old file
        del self.file
        for start in range(0, self.rows, BLOCK):
            self.file.write(narrow[start : start + BLOCK].astype(dtype).data)


class Cache:
    """Entries below a folder.

    Args:
        folder: Made when it is needed.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def entry(self, key: str, make: Callable[[Draft], None]) -> Entry:
        """Return an entry, which is made if there is none that is whole.

        Of several processes that ask for the same entry one makes it, and the others wait.

        Raises:
            DirectoryError: It cannot be written.
        """
        final = self.folder / key
        found = whole(final, key)
        if found is not None:
            return found
        try:
            make_directory(self.folder)
            with locked(self.folder / f"{key}.lock") as alone:
                return whole(final, key) or self._made(final, make, alone=alone)
        except OSError as error:
            raise DirectoryError(
                f"cannot be written: {error.strerror or error}",
                where=str(self.folder),
                hint="Make room, or name another place: cache=FOLDER.",
            ) from error

    def _made(self, final: Path, make: Callable[[Draft], None], *, alone: bool) -> Entry:
        key = final.name
        if alone:  # whoever left these was killed
            for left in self.folder.glob(f"{key}.made-*"):
                shutil.rmtree(left, ignore_errors=True)
        if final.exists():
            warn(f"{final} is damaged: it is made again.")
        folder = self.folder / f"{key}.made-{os.getpid()}-{secrets.token_hex(4)}"
        folder.mkdir()
        draft = Draft(folder)
        try:
            make(draft)
            draft.finish(key)
            return self._published(draft, final)
        finally:
            draft.abandon()  # after the renaming there is nothing left of it

    def _published(self, draft: Draft, final: Path) -> Entry:
        """Give an entry its name, unless another process was faster."""
        found = whole(final, final.name)
        if found is None:
            if final.exists():
                shutil.rmtree(final)
            try:
                draft.folder.rename(final)
            except OSError as error:
                if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                    raise
            sync_directory(self.folder)
            found = whole(final, final.name)
        if found is None:
            raise OSError(f"the entry {final.name} was changed while it was written")
        return found

    def remark(self, entry: Entry) -> str:
        """Say where an entry lies, and how large all that is kept there has become."""
        whole = sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file())
        return (
            f"Encoded: {entry.size_bytes / 1e6:,.1f} MB in {entry.folder}; all that is kept "
            f"in its folder has {whole / 1e6:,.1f} MB, and may be deleted between runs."
        )


def whole(folder: Path, key: str) -> Entry | None:
    """Return the entry of a folder; None if there is none, or if it lacks anything."""
    try:
        content = json.loads((folder / HEADER).read_bytes())
        claimed = content.pop("hash")
        if claimed != key_of(content=content) or content["key"] != key:
            return None
        paths = {name: folder / f"{name}.npy" for name in content["arrays"]}
        if any(described(path) != content["arrays"][name] for name, path in paths.items()):
            return None
        arrays = {name: mapped(path) for name, path in paths.items()}
        return Entry(folder, content["facts"], arrays)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def described(path: Path) -> dict[str, Any]:
    """Return what a file of numpy must be like to be whole."""
    array = mapped(path)
    size = path.stat().st_size
    return {"bytes": size, "dtype": array.dtype.str, "shape": list(array.shape)}


def mapped(path: Path) -> Array:
    """Return an array of a file, mapped and read-only; one without items cannot be mapped."""
    found: Array = np.load(path, mmap_mode="r", allow_pickle=False)
    return found


@contextmanager
def locked(path: Path) -> Iterator[bool]:
    """Hold a lock against other processes, and tell whether the file system has such locks."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            alone = True
        except OSError:
            alone = False
        yield alone
    finally:
        os.close(descriptor)
