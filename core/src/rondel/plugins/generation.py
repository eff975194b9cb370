"""``rondel plugins new``: a complete package from the template files beside this module."""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterator
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from string import Template

from rondel.errors import UsageError
from rondel.plugins.admission import RESERVED_NAMES
from rondel.plugins.host import OFFICIAL_DOMAINS

_SUFFIX = ".tmpl"  # keeps pip from compiling, and tools from reading, what is not Python yet


def write_package(name: str, folder: Path) -> list[Path]:
    """Write the package of a plugin into a new or empty folder; return the files written.

    Raises:
        UsageError: The name cannot be used, or the folder holds something.
    """
    _check_name(name)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{str(folder)!r} exists and is not empty", hint="Choose another --out.")
    written = []
    for relative, text in render_package(name).items():
        path = folder / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="\n")
        written.append(path)
    return written


def render_package(name: str) -> dict[str, str]:
    """Return the files of a plugin package: relative path to text, sorted."""
    words = {"name": name, "Name": "".join(part.capitalize() for part in name.split("_"))}
    template = resources.files("rondel.plugins") / "template"
    files = {
        Template(path).substitute(words): Template(source.read_text("utf-8")).substitute(words)
        for path, source in _sources(template)
    }
    return dict(sorted(files.items()))


def _sources(folder: Traversable, prefix: str = "") -> Iterator[tuple[str, Traversable]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            # '$' in a folder name is awkward in shells and archives, so the template says 'package'
            inner = "rondel_$name" if entry.name == "package" else entry.name
            yield from _sources(entry, f"{prefix}{inner}/")
        elif entry.name.endswith(_SUFFIX):
            yield prefix + entry.name.removesuffix(_SUFFIX), entry


def _check_name(name: str) -> None:
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or keyword.iskeyword(name):
        raise UsageError(
            f"{name!r} cannot name a plugin",
            hint="Use lower-case letters, digits and '_', starting with a letter.",
        )
    if name in RESERVED_NAMES or name in OFFICIAL_DOMAINS:
        raise UsageError(f"{name!r} is taken by rondel itself", hint="Choose another name.")
