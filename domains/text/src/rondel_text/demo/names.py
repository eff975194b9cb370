"""What does a function do, by its name? Functions of the standard library and their docstrings.

A source is the name of a function as it is written, with that of its class and with its arguments;
the target is the first sentence of its docstring.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from rondel_text.data.rows import Rows
from rondel_text.demo import library
from rondel_text.demo.split import split_rows
from rondel_text.demo.titles import first_sentence

MODULES = (
    *library.PACKAGES,
    *("argparse", "ast", "base64", "bdb", "bz2", "calendar", "cmd", "codecs", "collections"),
    *("concurrent", "configparser", "contextlib", "csv", "ctypes", "datetime", "difflib", "dis"),
    *("doctest", "enum", "fileinput", "fractions", "ftplib", "functools", "gettext", "glob"),
    *("gzip", "heapq", "html", "imaplib", "json", "linecache", "locale", "lzma", "mimetypes"),
    *("numbers", "operator", "optparse", "os", "pathlib", "pdb", "pickle", "pickletools"),
    *("pkgutil", "platform", "plistlib", "poplib", "pprint", "profile", "pstats", "queue"),
    *("random", "runpy", "sched", "selectors", "shelve", "shlex", "shutil", "smtplib", "socket"),
    *("socketserver", "sqlite3", "ssl", "statistics", "string", "subprocess", "symtable"),
    *("sysconfig", "tempfile", "textwrap", "threading", "timeit", "tokenize", "traceback"),
    *("tracemalloc", "types", "uuid", "warnings", "weakref", "webbrowser", "wsgiref", "xmlrpc"),
    *("zipapp", "zipfile", "zipimport", "zoneinfo"),
)
"""Modules and packages that all supported versions of Python have."""
FEWEST_WORDS, LONGEST = 3, 120
"""Words and characters of a target."""
LETTERS = 0.8
"""Share of letters and blanks from which a target is a sentence, and no syntax or example."""
HELD_OUT = 0.2
RECEIVERS = ("self", "cls")
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Named:
    """A function as it is written, and what its docstring says first."""

    source: str
    target: str
    file: str
    line: int


def load() -> Rows:
    """Return the columns "text" and "label"; the same for one version of Python.

    Raises:
        DataError: This Python was installed without its sources.
    """
    found = read(library.home())
    files = tuple(dict.fromkeys(one.file for one in found))
    numbers = {file: number for number, file in enumerate(files)}
    return Rows(
        columns={"text": [one.source for one in found], "label": [one.target for one in found]},
        files=files,
        file=[numbers[one.file] for one in found],
        numbers=[one.line for one in found],
    )


def split(rows: Rows) -> tuple[Rows, Rows]:
    """Return the rows to train on and the fifth that is held out, by their targets.

    No sentence stands on both sides: overridden methods often share theirs.
    """
    return split_rows(rows, [target.lower() for target in rows["label"]], share=HELD_OUT)


@cache
def read(folder: Path) -> tuple[Named, ...]:
    """Return the functions of a standard library, each pair of source and target once.

    Raises:
        DataError: The folder lacks sources.
    """
    found = (
        function
        for module in MODULES
        for source in library.sources(module, folder)
        for function in functions(source.tree, source.file)
    )
    kept: dict[tuple[str, str], Named] = {}
    for one in found:
        if is_sentence(one.target):
            kept.setdefault((one.source, one.target), one)
    return tuple(kept.values())


def is_sentence(target: str) -> bool:
    """Tell whether a target is a sentence, and neither a syntax nor an example."""
    words = sum(character.isalpha() or character == " " for character in target)
    return (
        len(target.split()) >= FEWEST_WORDS
        and len(target) <= LONGEST
        and words >= LETTERS * len(target)
    )


def functions(node: ast.AST, file: str, owner: str = "") -> Iterator[Named]:
    """Yield the documented functions below a node, those of classes with the name of the class."""
    for inner in ast.iter_child_nodes(node):
        if isinstance(inner, Function) and (text := ast.get_docstring(inner)):
            yield Named(f"{owner}{signature(inner)}", first_sentence(text), file, inner.lineno)
        below = f"{inner.name}." if isinstance(inner, ast.ClassDef) else owner
        yield from functions(inner, file, below)


def signature(function: Function) -> str:
    """Return the name of a function and its arguments: ``copy(source, *more, deep)``."""
    given = function.args
    names = [argument.arg for argument in (*given.posonlyargs, *given.args)]
    if given.vararg:
        names.append(f"*{given.vararg.arg}")
    names += [argument.arg for argument in given.kwonlyargs]
    if given.kwarg:
        names.append(f"**{given.kwarg.arg}")
    shown = [name for place, name in enumerate(names) if place or name not in RECEIVERS]
    return f"{function.name}({', '.join(shown)})"
