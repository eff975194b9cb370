"""Which plugins are installed: one scan of the metadata on ``sys.path``, nothing imported.

`importlib.metadata` gives the same answer, but its import alone costs twice a bare Python start;
it is asked only about zipped path entries, which a plain folder scan cannot read.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class EntryPoint:
    """One entry of a distribution: a name and the ``"module"`` or ``"module:attr"`` behind it."""

    name: str
    target: str
    distribution: str
    version: str

    @property
    def owner(self) -> str:
        """The distribution and its version, as messages name it."""
        return f"{self.distribution} {self.version}".strip()


def entry_points(group: str, path: Iterable[str] | None = None) -> list[EntryPoint]:
    """Return the entries of ``group``, ordered by name and distribution.

    A distribution that lies on the path twice counts once, as its first copy hides the second.
    """
    found: dict[str, list[EntryPoint]] = {}
    for folder in sys.path if path is None else path:
        scan = _zipped if os.path.isfile(folder) else _unpacked  # noqa: PTH113 - no pathlib
        for distribution, entries in scan(folder, group):
            found.setdefault(_normal(distribution), entries)
    every = [entry for entries in found.values() for entry in entries]
    return sorted(every, key=lambda entry: (entry.name, entry.distribution))


def _unpacked(folder: str, group: str) -> Iterator[tuple[str, list[EntryPoint]]]:
    try:
        names = os.listdir(folder or os.curdir)  # noqa: PTH208 - pathlib costs a third of the scan
    except OSError:  # a path entry that does not exist is normal
        return
    for name in sorted(names):
        stem, extension = os.path.splitext(name)  # noqa: PTH122 - as above
        if extension in {".dist-info", ".egg-info"}:
            metadata = os.path.join(folder, name)  # noqa: PTH118 - as above
            yield stem.split("-")[0], _read(metadata, stem, group)


def _read(metadata: str, stem: str, group: str) -> list[EntryPoint]:
    pairs = _parse(_text(metadata, "entry_points.txt"), group)
    if not pairs:
        return []
    header = _text(metadata, "METADATA") or _text(metadata, "PKG-INFO")
    guessed_name, _, guessed_version = stem.partition("-")
    distribution = _field(header, "Name") or guessed_name
    version = _field(header, "Version") or guessed_version
    return [EntryPoint(name, target, distribution, version) for name, target in pairs]


def _text(metadata: str, name: str) -> str:
    try:
        with open(os.path.join(metadata, name), encoding="utf-8", errors="replace") as file:  # noqa: PTH118, PTH123 - as above
            return file.read()
    except OSError:  # most distributions have no entry points
        return ""


def _parse(text: str, group: str) -> list[tuple[str, str]]:
    pairs, section = [], ""
    for raw in text.splitlines():
        line = raw.strip()
        if line.startswith("["):
            section = line.strip("[]").strip()
        elif section == group and "=" in line and not line.startswith(("#", ";")):
            name, _, target = line.partition("=")
            pairs.append((name.strip(), target.partition("[")[0].replace(" ", "")))
    return pairs


def _field(header: str, name: str) -> str:
    match = re.search(rf"^{name}:\s*(.+)$", header, re.MULTILINE)
    return match.group(1).strip() if match else ""


def _zipped(archive: str, group: str) -> Iterator[tuple[str, list[EntryPoint]]]:
    from importlib import metadata

    for found in metadata.distributions(path=[archive]):
        name = found.metadata["Name"]
        entries = found.entry_points.select(group=group)
        yield name, [EntryPoint(each.name, each.value, name, found.version) for each in entries]


def _normal(distribution: str) -> str:
    return re.sub(r"[-_.]+", "-", distribution).lower()
