"""JSON: one list of objects, the keys of which are the columns."""

from __future__ import annotations

from pathlib import Path

from rondel_text.data.formats.json_text import objects_of_list
from rondel_text.data.formats.source import Source
from rondel_text.data.rows import Rows


def recognise(path: Path, head: str) -> bool:  # noqa: ARG001 - the name says it
    """Tell whether a file is JSON."""
    return path.suffix.lower() == ".json"


def read(source: Source) -> Rows:
    """Read a list of objects; what an object lacks is None."""
    return Rows.of_records(objects_of_list(source.path), file=str(source.path))
