"""Files of a label set: how they begin, what their images are called, and which split is meant."""

from __future__ import annotations

import gc
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from rondel.errors import DataError
from rondel_detection.data.formats.label_file import content
from rondel_detection.data.images import IMAGE_SUFFIXES, inside, read_header

HEAD_BYTES = 1 << 16
"""What is looked at to recognise a format."""
_YEAR = re.compile(r"(train|val|test|test-dev|unlabeled)(20\d\d)")
_SAFE = re.compile(r"[^\W.][\w .+-]*")


def head(path: Path) -> str:
    """Return how a text file begins, or an empty text if it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(HEAD_BYTES).decode("utf-8-sig", "replace")
    except OSError:
        return ""


def tail(path: Path) -> str:
    """Return how a text file ends, or an empty text if it cannot be read."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - HEAD_BYTES))
            return file.read().decode("utf-8", "replace")
    except OSError:
        return ""


@contextmanager
def uncollected() -> Iterator[None]:
    """Hold the garbage collector back while millions of objects are made that all stay.

    It would look through all of them again and again, in half of the time that reading takes.
    """
    active = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if active:
            gc.enable()


def load_text(path: Path) -> str:
    """Read a text file; bytes that are no UTF-8 become a mark, a byte order mark is skipped.

    Raises:
        DataError: It cannot be read.
    """
    return content(path).decode("utf-8-sig", "replace")


def plain_name(name: str) -> str:
    r"""Return the name of an image with forward slashes: ``.\a\b.jpg`` is ``a/b.jpg``."""
    clean = name.replace("\\", "/")
    if "//" in clean or "./" in clean:
        clean = str(PurePosixPath(clean))
    return clean


def split_name(text: str) -> str:
    """Return the split that a name means: 'train2017' is 'train', CVAT's 'default' is none."""
    year = _YEAR.fullmatch(text)
    return year[1] if year else "" if text == "default" else text


def safe_split(split: str) -> str:
    """Return a split as it can be part of a file name.

    Raises:
        DataError: It cannot.
    """
    if split and not _SAFE.fullmatch(split):
        raise DataError(
            f"the split {split!r} cannot be the name of a file",
            hint="Use letters, digits, '-' and '_' only.",
        )
    return split


def is_line(name: str) -> bool:
    """Tell whether a name can stand on a line of its own in a list of images."""
    return name.strip("\r\n") == name.strip() == name != "" and not set("\r\n") & set(name)


def holds(root: Path, name: str) -> bool:
    """Tell whether a file exists inside of a folder; a name that leads out of it does not."""
    try:
        return is_file(inside(root, name))
    except (DataError, OSError, ValueError):
        return False


def is_file(path: Path) -> bool:
    """Tell whether a file exists; one whose name is longer than any can be does not."""
    return exists(path) and path.is_file()


def exists(path: Path) -> bool:
    """Tell whether a file or folder exists; one whose name is longer than any can be does not."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def image_size(root: Path, name: str) -> tuple[int, int]:
    """Return width and height of an image as it is seen, (0, 0) if they cannot be read."""
    try:
        found = read_header(inside(root, name))
    except (DataError, OSError, ValueError):
        return 0, 0
    return found.width, found.height


def image_names(root: Path) -> list[str]:
    """Return the images in a folder and its subfolders, relative to it, in order."""
    found: list[str] = []
    for folder, subfolders, names in os.walk(root):
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]
        below = Path(folder).relative_to(root)
        found += [
            (below / name).as_posix()
            for name in names
            if os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES  # noqa: PTH122 - 5 x faster
            and not name.startswith(".")
        ]
    return sorted(found)


def tail_in(root: Path, name: str) -> str | None:
    """Return the longest end of a path that exists below a folder, if there is any.

    Lists of images carry the folders of the machine on which they were made:
    ``data/obj_train_data/a.jpg`` is ``a.jpg`` where the folder of the images was named.
    """
    parts = [part for part in PurePosixPath(name).parts if part not in ("/", "..")]
    ends = ("/".join(parts[start:]) for start in range(len(parts)))
    return next((end for end in ends if holds(root, end)), None)


def below(folder: Path, name: str, suffix: str) -> Path | None:
    """Return where the labels of an image are written, or None if that leads out of the folder."""
    try:
        return inside(folder, str(PurePosixPath(name).with_suffix("")) + suffix)
    except (DataError, ValueError):
        return None


def relative_name(path: Path, start: Path) -> str:
    """Return a label file's name for people: relative to what was read, else absolute."""
    home = start if start.is_dir() else start.parent
    return path.relative_to(home).as_posix() if path.is_relative_to(home) else str(path)
