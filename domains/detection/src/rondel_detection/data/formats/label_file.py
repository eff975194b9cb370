"""Label files on the disk: which ones a source consists of, and their bytes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from rondel.errors import DataError, UsageError

_ZIP = b"PK\x03\x04"


def content(path: Path) -> bytes:
    """Return the bytes of a label file.

    Raises:
        DataError: It cannot be read, or is a .zip that has to be unpacked first.
    """
    try:
        found = path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", where=str(path)) from error
    if found.startswith(_ZIP):
        raise DataError(
            "is a .zip file", where=str(path), hint="Unpack it first, then name the folder."
        )
    return found


def files_of(
    path: Path, suffix: str, recognise: Callable[[Path], str], title: str
) -> tuple[Path, list[Path]]:
    """Return the folder that label files are relative to, and the files themselves.

    Args:
        path: A label file, or a folder that holds some.
        suffix: Of the label files, in lower case.
        recognise: Says why a file is of the format.
        title: Of the format, for people.

    Raises:
        DataError: There is no such path, or no label file in the folder.
    """
    if not path.exists():
        raise DataError("there is no such file or folder", where=str(path))
    if not path.is_dir():
        return path.parent, [path]
    files = sorted(file for file in path.iterdir() if file.suffix.lower() == suffix)
    found = [file for file in files if recognise(file)]
    if not found:
        raise DataError(
            f"holds no label file of {title}",
            where=str(path),
            hint=f"Name the {suffix} file itself.",
        )
    return path, found


def target_of(path: Path, name: str) -> Path:
    """Return the file to write: the path itself if it has a suffix, else ``name`` below it.

    Raises:
        UsageError: The folder cannot be made, or the path is one.
    """
    target = path if path.suffix else path / name
    if target.is_dir():
        raise UsageError("is a folder, not a file to write to", where=str(target))
    make_folder(target.parent)
    return target


def make_folder(path: Path) -> None:
    """Make a folder and those above it.

    Raises:
        UsageError: It cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"the folder cannot be made: {error.strerror}", where=str(path)) from error


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file.

    Raises:
        UsageError: It cannot be written.
    """
    try:
        path.write_bytes(data)
    except OSError as error:
        raise UsageError(f"cannot be written: {error.strerror}", where=str(path)) from error
