"""Plain text: documents kept apart, in the column ``text``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from rondel_text.data.formats.source import Documents, Record, Source
from rondel_text.data.formats.text_file import (
    blocks,
    blocks_of,
    is_blank,
    numbered_lines,
    read_text,
    streamed_lines,
)
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


def records(source: Source) -> Iterator[Record]:
    """Read lines, or what stands between blank lines, one after the other."""
    for number, text in _parts(streamed_lines(source.path), source.documents):
        yield number, {"text": text}


def _documents(source: Source) -> Iterator[tuple[int, str]]:
    text = read_text(source.path)
    if source.documents != "file":
        yield from _parts(numbered_lines(text), source.documents)
        return
    lines, found = list(numbered_lines(text)), list(blocks(text))
    yield _joined(lines[found[0][0][0] - 1 : found[-1][-1][0]])


def _parts(lines: Iterable[tuple[int, str]], documents: Documents) -> Iterator[tuple[int, str]]:
    if documents == "line":
        return (pair for pair in lines if not is_blank(pair[1]))
    return map(_joined, blocks_of(lines))


def _joined(block: Sequence[tuple[int, str]]) -> tuple[int, str]:
    return block[0][0], "\n".join(line for _, line in block)
