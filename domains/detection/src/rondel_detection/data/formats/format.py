"""The table of formats: how each is recognised, read and written."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rondel.domain import resolve
from rondel.errors import DataError, UsageError
from rondel_detection.data.loss_report import LossReport
from rondel_detection.data.table import Annotations


@dataclass(frozen=True)
class Source:
    """Where labels are read from.

    Args:
        path: A label file, or a folder.
        images: The folder of the images, where the labels do not say it or say it wrongly.
    """

    path: Path
    images: Path | None = None


Recognise = Callable[[Path], str]
"""Returns why a path is of the format (``"a JSON object with 'images' and 'annotations'"``), or
``""`` if it is not. It looks at names and the first kilobytes only, and never raises."""
Read = Callable[[Source], Annotations]
"""Reads the whole source; raises DataError with file and line for what cannot be read at all, and
lists in ``Annotations.losses`` what the table cannot hold."""
Write = Callable[[Annotations, Path], LossReport]
"""Writes label files (never images) below a folder, or to a file where the name has a suffix, and
returns what the format cannot hold."""


@dataclass(frozen=True)
class Format:
    """A label format; its functions are imported when they are used.

    Args:
        name: On the command line and in the config.
        title: For people.
        module: The module with ``recognise``, ``read`` and, unless read-only, ``write``.
        writable: Whether there is a writer.
    """

    name: str
    title: str
    module: str
    writable: bool = True

    @property
    def recognise(self) -> Recognise:
        """The function that says whether a path is of this format."""
        function: Recognise = resolve(f"{self.module}:recognise")
        return function

    @property
    def read(self) -> Read:
        """The reader."""
        function: Read = resolve(f"{self.module}:read")
        return function

    @property
    def write(self) -> Write:
        """The writer.

        Raises:
            UsageError: The format is read-only.
        """
        if not self.writable:
            raise UsageError(f"{self.title} can be read, but not written", where=self.name)
        function: Write = resolve(f"{self.module}:write")
        return function


ROOM = "rondel_detection.data.formats"
FORMATS: dict[str, Format] = {
    made.name: made
    for made in (
        Format("lvis", "LVIS JSON", f"{ROOM}.lvis", writable=False),
        Format("coco", "COCO JSON", f"{ROOM}.coco"),
        Format("voc", "Pascal VOC XML", f"{ROOM}.voc"),
        Format("yolo", "YOLO txt", f"{ROOM}.yolo"),
        Format("labelme", "LabelMe JSON", f"{ROOM}.labelme"),
        Format("cvat", "CVAT for images XML 1.1", f"{ROOM}.cvat"),
        Format("scalabel", "Scalabel / BDD100K JSON", f"{ROOM}.scalabel"),
        Format("labelstudio", "Label Studio JSON", f"{ROOM}.labelstudio"),
        Format("openimages", "Open Images CSV", f"{ROOM}.openimages", writable=False),
    )
}
"""All formats in the order in which they are tried; the first that recognises a path wins, so a
special case stands before the general one only if the general one would claim it too."""


def find_format(path: Path, name: str | None = None) -> Format:
    """Return the named format, or the one that recognises the path.

    Raises:
        UsageError: There is no format of that name.
        DataError: The path does not exist, or no format recognises it.
    """
    if name is not None:
        return format_named(name)
    if not path.exists():
        raise DataError("there is no such file or folder", where=str(path))
    for made in FORMATS.values():
        if made.recognise(path):
            return made
    raise DataError(
        "holds labels of no format that is known here",
        where=str(path),
        hint=f"Name the label file itself, or say --from {'|'.join(FORMATS)}.",
    )


def format_named(name: str) -> Format:
    """Return a format by its name.

    Raises:
        UsageError: There is none; the nearest name is given.
    """
    if name in FORMATS:
        return FORMATS[name]
    close = difflib.get_close_matches(name, FORMATS, n=1)
    raise UsageError(
        f"there is no label format {name!r}",
        hint=f"Did you mean {close[0]!r}?" if close else f"Known are {', '.join(FORMATS)}.",
    )


def read(path: Path, *, name: str | None = None, images: Path | None = None) -> Annotations:
    """Read labels of any format.

    Args:
        path: A label file, or a folder.
        name: The format; by default it is recognised.
        images: The folder of the images, where the labels do not say it or say it wrongly.

    Raises:
        DataError: They cannot be read.
    """
    return find_format(path, name).read(Source(path, images))


def write(annotations: Annotations, path: Path, *, name: str) -> LossReport:
    """Write labels in a format; returns what it cannot hold.

    Raises:
        UsageError: There is no such format, or it is read-only.
    """
    return format_named(name).write(annotations, path)
