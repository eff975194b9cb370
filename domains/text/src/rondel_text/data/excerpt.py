"""An excerpt of large files: rows from all over them, with no more than these in memory."""

from __future__ import annotations

import hashlib

from rondel.errors import ConfigError
from rondel_text.config import TextConfig
from rondel_text.data.chunks import Files, Sample
from rondel_text.data.rows import Rows
from rondel_text.data.source import Parts, check_sides, divided, manifest_of
from rondel_text.glance import size_bytes

LARGE_BYTES = 1 << 26
"""Data of more than this size is looked at in part."""
MOST_CHARACTERS = 1 << 23
"""The most of it that is kept in memory."""


def excerpt(config: TextConfig) -> tuple[Parts, str] | None:
    """Return some of the rows of large data, with a line that says so.

    None stands for data that is small, or of a format that is read as a whole.

    Raises:
        DataError: The data cannot be read, or nothing is left on one side.
    """
    if config.data is None or not config.data.exists() or size_bytes(config.data) <= LARGE_BYTES:
        return None
    try:
        sources = [Files.of(config, path) for path in (config.data, config.validation) if path]
    except ConfigError:
        return None
    (rows, count), *others = [sampled(files) for files in sources]
    if others:
        train, valid = rows, others[0][0]
        count += others[0][1]
    else:
        train, valid = divided(rows, config.held_out, column=config.text)
    check_sides(config.data, len(train), len(valid), whole=count)
    name = config.data.name
    note = f"a sample: {len(train) + len(valid):,} of {count:,} rows, taken from all over the data"
    return Parts(name, train, valid, manifest_of(name, train, valid)), note


def sampled(files: Files) -> tuple[Rows, int]:
    """Read files row by row; return some of the rows, and how many there are."""
    sample, count = Sample(MOST_CHARACTERS), 0
    for chunk in files.chunks():
        for number, row in zip(chunk.rows.numbers, chunk.rows, strict=True):
            size = sum(len(cell) for cell in row.values() if isinstance(cell, str | list))
            sample.add(drawn(chunk.file, number), (chunk.file, number, row), characters=size)
            count += 1
    kept = sample.rows()
    columns = dict.fromkeys(name for *_, row in kept for name in row)
    rows = Rows(
        {name: [row.get(name) for *_, row in kept] for name in columns},
        [str(path) for path in files.paths],
        [file for file, *_ in kept],
        [number for _, number, _ in kept],
    )
    return rows, count


def drawn(file: int, number: int) -> float:
    """Return a number in [0, 1) for a row, which does not depend on what it says."""
    digest = hashlib.blake2b(f"{file} {number}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") / 2**64
