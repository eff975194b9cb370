"""The standard library of Python as a corpus: its sources are read, never imported.

Only packages that every distribution of Python carries are listed: tkinter is a package of its own
on some systems, distutils left in Python 3.12.
"""

from __future__ import annotations

import ast
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from rondel.errors import DataError

PACKAGES = (
    "asyncio",
    "decimal",
    "email",
    "http",
    "importlib",
    "inspect",
    "io",
    "ipaddress",
    "logging",
    "mailbox",
    "multiprocessing",
    "pydoc",
    "tarfile",
    "turtle",
    "typing",
    "unittest",
    "urllib",
    "xml",
)
"""The packages with the most docstrings that explain something."""


@dataclass(frozen=True)
class Source:
    """A source file.

    Args:
        file: Its path below the folder of the library, with forward slashes.
        lines: Its text.
        tree: The text, parsed; nobody may change it.
    """

    file: str
    lines: tuple[str, ...]
    tree: ast.Module

    @classmethod
    def of(cls, text: str, *, file: str) -> Self:
        """Parse the text of a file."""
        return cls(file, tuple(text.splitlines(keepends=True)), ast.parse(text))


def home() -> Path:
    """Return the folder of the running Python's standard library."""
    return Path(sysconfig.get_path("stdlib"))


def sources(package: str, folder: Path) -> Iterator[Source]:
    """Yield the parsed files of a package or module, in the order of their paths.

    Raises:
        DataError: The folder has no source of it.
    """
    paths = list(files_of(package, folder))
    if not paths:
        raise DataError(
            f"the source of the standard library's {package!r} is missing",
            where=str(folder),
            hint="This Python was installed without its .py files. Use one that has them, such as "
            "python.org's, a distribution's full package or `uv python install 3.12`.",
        )
    for path in paths:
        text = path.read_text(encoding="utf-8")
        yield Source.of(text, file=path.relative_to(folder).as_posix())


def files_of(package: str, folder: Path) -> Iterator[Path]:
    """Yield the files of a package; a module in C may have a twin in Python, such as _pydecimal."""
    for name in (f"{package}.py", f"_py{package}.py"):
        if (folder / name).is_file():
            yield folder / name
    yield from sorted(
        path
        for path in (folder / package).rglob("*.py")
        if "test" not in path.relative_to(folder).parts
    )
