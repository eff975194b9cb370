"""CoNLL-U: ten columns apart by tabs, as the treebanks of Universal Dependencies have them.

Source: https://universaldependencies.org/format.html. Ranges of words that are written as one
(``1-2``) and words that are not written (``8.1``) are skipped, so that each row has the words that
the treebank annotates. Heads and relations are not read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rondel.errors import DataError
from rondel_text.data.formats.source import Source
from rondel_text.data.formats.text_file import blocks, read_text
from rondel_text.data.rows import Rows

COLUMNS = {"words": 1, "tags": 3, "xpos": 4, "lemmas": 2, "feats": 5}
"""Where the columns of the rows stand in the file; ``tags`` are the universal parts of speech."""
_WIDTH = 10
_SKIPPED = re.compile(r"\d+(-|\.)\d+")
_TEXT = re.compile(r"#\s*text\s*=\s*(.*)")
_WORD = re.compile(r"1(-\d+)?(\t[^\t]+){9}\s*", re.ASCII)


def recognise(path: Path, head: str) -> bool:
    """Tell whether a file is CoNLL-U."""
    if path.suffix.lower() == ".conllu":
        return True
    lines = (line for line in head.split("\n") if line.strip() and not line.startswith("#"))
    return path.suffix.lower() in (".conll", ".txt") and bool(_WORD.fullmatch(next(lines, "")))


def read(source: Source) -> Rows:
    """Read sentences as lists of strings, ``_`` where the file has none, and their ``text``.

    Raises:
        DataError: A line has not ten columns, or words are not counted from 1.
    """
    return Rows.of_records(_sentences(source.path), file=str(source.path))


def _sentences(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    for block in blocks(read_text(path)):
        words = list(_words(block, path))
        if not words:
            continue  # comments alone
        cells: dict[str, Any] = {
            name: [word[index] for word in words] for name, index in COLUMNS.items()
        }
        texts = [found[1] for _, line in block if (found := _TEXT.match(line))]
        yield block[0][0], cells | ({"text": texts[0]} if texts else {})


def _words(block: list[tuple[int, str]], path: Path) -> Iterator[list[str]]:
    count = 0
    for number, line in block:
        if line.startswith("#"):
            continue
        columns = line.split("\t")
        where = f"{path}:{number}"
        if len(columns) != _WIDTH:
            raise DataError(
                f"the number of columns is {len(columns)}, not {_WIDTH}",
                where=where,
                hint="CoNLL-U has ten columns with one tab between them, '_' for an empty one.",
            )
        if _SKIPPED.fullmatch(columns[0]):
            continue
        count += 1
        if columns[0] != str(count):
            raise DataError(
                f"the id of the word {columns[1]!r} is {columns[0]!r}, not '{count}'",
                where=where,
                hint="Words are counted from 1; a blank line stands between two sentences.",
            )
        yield columns
