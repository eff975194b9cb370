"""Plain text: documents kept apart, in the column ``text``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rondel_text.data.formats.source import Source
from rondel_text.data.formats.text_file import blocks, is_blank, numbered_lines, read_text
from rondel_text.data.rows import Rows


def recognise(path: Path, head: str) -> bool:  # noqa: ARG001 - the name says it
    """Tell whether a file is plain text."""
    return path.suffix.lower() in (".txt", ".text")


def read(source: Source) -> Rows:
    """Read documents without the blank lines around them; all line ends become line feeds."""
    records = _documents(source)
    return Rows.of_records(
        ((number, {"text": text}) for number, text in records), file=str(source.path)
    )


def _documents(source: Source) -> Iterator[tuple[int, str]]:
    text = read_text(source.path)
    if source.documents == "line":
        yield from (pair for pair in numbered_lines(text) if not is_blank(pair[1]))
        return
    found = list(blocks(text))
    if source.documents == "file":
        lines = list(numbered_lines(text))
        found = [lines[found[0][0][0] - 1 : found[-1][-1][0]]]
    for block in found:
        yield block[0][0], "\n".join(line for _, line in block)
