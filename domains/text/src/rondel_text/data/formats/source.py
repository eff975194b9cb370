"""What a reader is given, and what it is: the two types that all formats share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rondel_text.data.rows import Rows

Documents = Literal["file", "line", "blank"]
"""What a document is in plain text: the file, each line, or what stands between blank lines."""


@dataclass(frozen=True)
class Source:
    """A file to read.

    Args:
        path: The file.
        documents: What a document is, where the file is plain text.
    """

    path: Path
    documents: Documents = "file"


Recognise = Callable[[Path, str], bool]
"""Tells from the path and from the first kilobytes whether a file is of the format; never raises.
A format that comes later in the table may claim the same file."""
Read = Callable[[Source], Rows]
"""Reads the whole file; raises DataError with file and line for what cannot be read, and says in
``Rows.notes`` what was left out."""
Record = tuple[int, Mapping[str, Any]]
"""The line of a row, and its cells by column."""
Records = Callable[[Source], Iterator[Record]]
"""Reads the rows of a file one after the other, those that ``Read`` returns; the file may be larger
than the memory. It raises DataError likewise, when it comes to the place."""
