"""Which sentence says what a function does? Names of the standard library and their docstrings.

A pair is the name of a function or class, with that of its class, written out as words, and the
first sentence of its docstring. Both say the same in other words, so that neither needs a label.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from rondel_text.data.rows import Rows
from rondel_text.demo import library
from rondel_text.demo.split import split_rows

FEWEST_WORDS = 4
"""Words that a sentence must have."""
HELD_OUT = 0.2
WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
"""A word of a name: ``HTTPResponse`` has two, ``get_payload`` as well."""
SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z`'\"])|\n\s*\n")
"""What stands behind a sentence."""
Named = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Titled:
    """A sentence of a docstring, and the words of the name that it belongs to."""

    title: str
    sentence: str
    file: str
    line: int


def load() -> Rows:
    """Return the columns "text" (names) and "pair" (sentences); the same for one Python.

    Raises:
        DataError: This Python was installed without its sources.
    """
    found = read(library.home())
    files = tuple(dict.fromkeys(one.file for one in found))
    numbers = {file: number for number, file in enumerate(files)}
    return Rows(
        columns={
            "text": [one.title for one in found],
            "pair": [one.sentence for one in found],
        },
        files=files,
        file=[numbers[one.file] for one in found],
        numbers=[one.line for one in found],
    )


def split(rows: Rows) -> tuple[Rows, Rows]:
    """Return the rows to train on and the fifth that is held out, by their sentences."""
    return split_rows(rows, [sentence.lower() for sentence in rows["pair"]], share=HELD_OUT)


@cache
def read(folder: Path) -> tuple[Titled, ...]:
    """Return the pairs of a standard library, each name and each sentence once.

    Raises:
        DataError: The folder lacks sources.
    """
    titles, sentences, kept = set[str](), set[str](), []
    for package in library.PACKAGES:
        for source in library.sources(package, folder):
            for pair in pairs(source):
                title, sentence = pair.title, pair.sentence.lower()
                if title not in titles and sentence not in sentences:
                    kept.append(pair)
                titles.add(title)
                sentences.add(sentence)
    return tuple(kept)


def pairs(source: library.Source) -> Iterator[Titled]:
    """Yield the documented functions and classes of a file."""
    waiting: list[tuple[ast.stmt, str]] = [(node, "") for node in source.tree.body[::-1]]
    while waiting:
        node, owner = waiting.pop()
        if isinstance(node, Named):
            title = f"{owner} {words_of(node.name)}".strip()
            sentence = first_sentence(ast.get_docstring(node) or "")
            if len(sentence.split()) >= FEWEST_WORDS and " " in title:
                yield Titled(title, sentence, source.file, node.lineno)
        if isinstance(node, ast.ClassDef):
            waiting += [(part, words_of(node.name)) for part in node.body[::-1]]
        elif isinstance(node, ast.If | ast.Try):
            waiting += [(part, owner) for part in node.body[::-1]]


def words_of(name: str) -> str:
    """Return a name as words in lower case.

    >>> words_of("HTTPResponse"), words_of("__get_payload2__")
    ('http response', 'get payload 2')
    """
    return " ".join(WORD.findall(name)).lower()


def first_sentence(docstring: str) -> str:
    """Return the first sentence of a docstring, on one line."""
    return " ".join(SENTENCE.split(docstring.strip(), maxsplit=1)[0].split())
