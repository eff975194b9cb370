"""JSON Lines: an object a line, the keys of which are the columns."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rondel_text.data.formats.json_text import first_objects, objects_in, objects_of_lines
from rondel_text.data.formats.source import Record, Source
from rondel_text.data.formats.text_file import streamed_lines
from rondel_text.data.rows import Rows

LINES = (".jsonl", ".ndjson", ".jl", ".json1")
"""Suffixes that mean an object a line."""


def recognise(path: Path, head: str) -> bool:
    """Tell whether a file has an object a line, which many call .json too."""
    if path.suffix.lower() in LINES:
        return True
    first, newline, _ = head.lstrip().partition("\n")
    whole = not newline and first.startswith("{")  # one line, which may be cut off
    return path.suffix.lower() == ".json" and (whole or bool(first_objects(first)))


def read(source: Source) -> Rows:
    """Read an object a line; what an object lacks is None."""
    return Rows.of_records(objects_of_lines(source.path), file=str(source.path))


def records(source: Source) -> Iterator[Record]:
    """Read an object a line, one after the other."""
    return objects_in(streamed_lines(source.path), source.path)
