"""CoNLL-2003: a word a line, its columns apart by blanks, sentences apart by blank lines.

The columns between the first one, the word, and the last one, its tag, are not read. Tags stay as
they are: those of the original data are IOB1, in which ``B-`` stands only between two neighbours of
one label.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from rondel.errors import DataError
from rondel_text.data.formats.source import Source
from rondel_text.data.formats.text_file import blocks, is_blank, read_text
from rondel_text.data.rows import Rows

SUFFIXES = (".conll", ".conll2003", ".iob", ".iob1", ".iob2", ".bio")
_OTHERS = (".csv", ".json", ".jsonl", ".parquet")
_COLUMNS = re.compile(r"[ \t]+")  # str.split would also part words at no-break spaces
_TAG = re.compile(r"O|[BIESLU](-\S+)?")
_LOOKED_AT = 50


def recognise(path: Path, head: str) -> bool:
    """Tell whether a file is in columns with a tag in the last one."""
    suffix = path.suffix.lower()
    return suffix in SUFFIXES or (suffix not in _OTHERS and _looks_tagged(head))


def read(source: Source) -> Rows:
    """Read sentences as ``words`` and ``tags``; ``-DOCSTART-`` lines are skipped.

    Raises:
        DataError: A line has another number of columns than the first one, or only one.
    """
    return Rows.of_records(_sentences(source.path), file=str(source.path))


def _sentences(path: Path) -> Iterator[tuple[int, dict[str, list[str]]]]:
    first: tuple[int, int] | None = None  # line and number of columns of the file's first word
    for block in blocks(read_text(path), _ends_sentence):
        rows = [(number, _columns(line)) for number, line in block]
        first = first or (rows[0][0], len(rows[0][1]))
        for number, columns in rows:
            _check_width(len(columns), first, f"{path}:{number}")
        yield (
            block[0][0],
            {
                "words": [columns[0] for _, columns in rows],
                "tags": [columns[-1] for _, columns in rows],
            },
        )


def _check_width(width: int, first: tuple[int, int], where: str) -> None:
    line, expected = first
    if expected < 2:
        raise DataError(
            "the line has one column",
            where=where,
            hint="A line has a word and, in its last column, a tag, with blanks or tabs between.",
        )
    if width != expected:
        raise DataError(
            f"the number of columns is {width}, in line {line} it is {expected}",
            where=where,
            hint="Is a blank line missing, or a blank within a word?",
        )


def _columns(line: str) -> list[str]:
    return _COLUMNS.split(line.strip(" \t"))


def _ends_sentence(line: str) -> bool:
    return is_blank(line) or line.startswith("-DOCSTART-")


def _looks_tagged(head: str) -> bool:
    if head.startswith("-DOCSTART-"):
        return True
    lines = [line.removesuffix("\r") for line in head.split("\n", _LOOKED_AT)[:_LOOKED_AT]]
    rows = [_columns(line) for line in lines if not is_blank(line)]
    tagged = all(len(row) > 1 and _TAG.fullmatch(row[-1]) for row in rows)
    return len(rows) > 1 and tagged and len({len(row) for row in rows}) == 1
