"""Which package of the standard library does a docstring document? 18 classes, 3 000 texts.

Texts are docstrings of modules, classes and functions on one line each. Nothing is masked unless
asked for, and `own_name_share` says how many of the texts name their own package.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from rondel_text.data.rows import Rows
from rondel_text.demo import library
from rondel_text.demo.split import split_rows

FEWEST_WORDS = 4
HELD_OUT = 0.2
MASK = "___"
Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Docstring:
    """A docstring, on one line, and the package that it belongs to."""

    text: str
    label: str
    file: str
    line: int


def load(*, masked: bool = False) -> Rows:
    """Return the columns "text" and "label"; the same for one version of Python.

    Args:
        masked: Replace a package's own name by ``___`` in its texts.

    Raises:
        DataError: This Python was installed without its sources.
    """
    return table(read(library.home()), masked=masked)


def split(rows: Rows) -> tuple[Rows, Rows]:
    """Return the rows to train on and the fifth that is held out, masked or not."""
    pairs = zip(rows["text"], rows["label"], strict=True)
    contents = [essence(mask(text, label)) for text, label in pairs]
    return split_rows(rows, contents, share=HELD_OUT)


def own_name_share(rows: Rows) -> dict[str, float]:
    """Return by label the share of its texts in which the label occurs as a word."""
    pairs = zip(rows["text"], rows["label"], strict=True)
    named = Counter(label for text, label in pairs if mask(text, label) != text)
    return {label: named[label] / count for label, count in Counter(rows["label"]).items()}


@cache
def read(folder: Path) -> tuple[Docstring, ...]:
    """Return the docstrings of a standard library, each once.

    A text that two packages share says nothing about either and is left out.

    Raises:
        DataError: The folder lacks sources.
    """
    found = [text for package in library.PACKAGES for text in docstrings(package, folder)]
    return tuple(distinct(text for text in found if len(text.text.split()) >= FEWEST_WORDS))


def docstrings(package: str, folder: Path) -> Iterator[Docstring]:
    """Yield all docstrings of a package."""
    for source in library.sources(package, folder):
        for node in ast.walk(source.tree):
            if isinstance(node, Documented) and (text := ast.get_docstring(node)):
                line = node.body[0].lineno
                yield Docstring(" ".join(text.split()), package, source.file, line)


def distinct(found: Iterable[Docstring]) -> Iterator[Docstring]:
    """Yield the first of texts that differ in no letter, unless their labels differ."""
    groups: dict[str, list[Docstring]] = {}
    for one in found:
        groups.setdefault(essence(mask(one.text, one.label)), []).append(one)
    return (same[0] for same in groups.values() if len({one.label for one in same}) == 1)


def essence(text: str) -> str:
    """Return a text's words in lower case, without digits and punctuation."""
    return " ".join(re.findall(r"[a-z]+", text.lower()))


def mask(text: str, label: str) -> str:
    """Return a text with its label masked wherever it stands as a word."""
    return re.sub(rf"\b{label}\b", MASK, text, flags=re.IGNORECASE)


def table(found: Iterable[Docstring], *, masked: bool) -> Rows:
    """Return docstrings as rows."""
    kept = tuple(found)
    files = tuple(dict.fromkeys(one.file for one in kept))
    numbers = {file: number for number, file in enumerate(files)}
    texts = [mask(one.text, one.label) if masked else one.text for one in kept]
    return Rows(
        columns={"text": texts, "label": [one.label for one in kept]},
        files=files,
        file=[numbers[one.file] for one in kept],
        numbers=[one.line for one in kept],
    )
