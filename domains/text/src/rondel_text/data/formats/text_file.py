"""Text files on the disk: their bytes as UTF-8 text, its lines, and how a file begins."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from rondel.errors import DataError

HEAD_BYTES = 1 << 16
"""What is looked at to recognise a format."""
_COMPRESSED = {
    b"PK\x03\x04": "zip",
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\x28\xb5\x2f\xfd": "zstd",
}
_MARKS = {b"\xff\xfe\0\0": "UTF-32", b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}


class Before(NamedTuple):
    """What stands in a file before the bytes that are looked at."""

    size_bytes: int
    lines: int
    is_ascii: bool


_START = Before(0, 0, is_ascii=True)
_C1 = bytes(range(0x80, 0xA0))  # control characters in latin-1, curly quotes and more in cp1252


def read_text(path: Path) -> str:
    """Return the text of a UTF-8 file, without a byte order mark, its line ends untouched.

    Raises:
        DataError: It cannot be read, is empty or compressed, holds a NUL byte, or is not UTF-8.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error) from error
    text = _decoded(path, data, _START)
    if not text.strip():
        raise _empty(path, len(data))
    return text


def raw_lines(path: Path) -> Iterator[str]:
    """Yield the lines of a UTF-8 file with their line feeds; no more than one is in memory.

    Raises:
        DataError: As `read_text` does.
    """
    before, blank = _START, True
    try:
        with path.open("rb") as file:
            for data in file:
                text = _decoded(path, data, before)
                yield text
                blank = blank and not text.strip()
                before = Before(
                    before.size_bytes + len(data),
                    before.lines + 1,
                    before.is_ascii and data.isascii(),
                )
    except OSError as error:
        raise _unreadable(path, error) from error
    if blank:
        raise _empty(path, before.size_bytes)


def streamed_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the lines of a file as `numbered_lines` does, without its text in memory."""
    for number, line in enumerate(raw_lines(path), 1):
        yield number, line.removesuffix("\n").removesuffix("\r")


def numbered_lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield the lines of a text without their ends, counted from 1.

    Only line feeds end a line, with or without a carriage return; ``str.splitlines`` would also
    break it at characters like U+2028, which stand within sentences and JSON strings.
    """
    for number, line in enumerate(text.split("\n"), 1):
        yield number, line.removesuffix("\r")


def is_blank(line: str) -> bool:
    """Tell whether a line has nothing but blanks and tabs."""
    return not line.strip(" \t\r")


def blocks(text: str, ends: Callable[[str], bool] = is_blank) -> Iterator[list[tuple[int, str]]]:
    """Yield the numbered lines between those that end a block, without these."""
    return blocks_of(numbered_lines(text), ends)


def blocks_of(
    lines: Iterable[tuple[int, str]], ends: Callable[[str], bool] = is_blank
) -> Iterator[list[tuple[int, str]]]:
    """Yield the numbered lines between those that end a block, without these."""
    block: list[tuple[int, str]] = []
    for number, line in lines:
        if not ends(line):
            block.append((number, line))
        elif block:
            yield block
            block = []
    if block:
        yield block


def head(path: Path) -> str:
    """Return how a file begins, or an empty text if it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(HEAD_BYTES).decode("utf-8-sig", "replace")
    except OSError:
        return ""


def _decoded(path: Path, data: bytes, before: Before) -> str:
    if not before.lines:
        _refuse_compressed(path, data)
    try:
        text = data.decode("utf-8" if before.lines else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise _not_utf8(path, data, error.start, before) from error
    if "\0" in text:
        raise _nul(path, data, before)
    return text


def _unreadable(path: Path, error: OSError) -> DataError:
    return DataError(
        f"cannot be read: {error.strerror or error}",
        where=str(path),
        hint="Check that it is a file and that you may read it.",
    )


def _empty(path: Path, size_bytes: int) -> DataError:
    return DataError(
        "the file holds nothing but blanks" if size_bytes else "the file is empty",
        where=str(path),
        hint="Export or download it again.",
    )


def _refuse_compressed(path: Path, data: bytes) -> None:
    for magic, kind in _COMPRESSED.items():
        if data.startswith(magic):
            raise DataError(
                f"is a {kind} file", where=str(path), hint="Unpack it first, then name the result."
            )


def _not_utf8(path: Path, data: bytes, offset: int, before: Before) -> DataError:
    guess = _guess(data, offset) if before.is_ascii else ""
    output = path.with_name(f"{path.stem}.utf8{path.suffix}")
    names = f"{shlex.quote(str(path))} > {shlex.quote(str(output))}"
    hint = f"It looks like {guess}: convert it with `iconv -f {guess} -t UTF-8 {names}`."
    if not guess:
        # iconv -c leaves out what it cannot convert
        hint = (
            "The text before is UTF-8, so a part is damaged or was pasted from elsewhere: correct "
            f"it, or leave such bytes out with `iconv -c -f UTF-8 -t UTF-8 {names}`."
        )
    return DataError(
        f"is not UTF-8: byte 0x{data[offset]:02x} at offset {before.size_bytes + offset}",
        where=f"{path}:{before.lines + _line(data, offset)}",
        hint=hint,
    )


def _guess(data: bytes, offset: int) -> str:
    """Return the likely encoding in iconv's spelling, or "" for UTF-8 that is damaged."""
    for mark, name in _MARKS.items():
        if data.startswith(mark):
            return name
    if not data[:offset].isascii():
        return ""
    if not set(data) & set(_C1):
        return "LATIN1"
    try:
        data.decode("cp1252")
    except UnicodeDecodeError:
        return "LATIN1"
    return "CP1252"


def _nul(path: Path, data: bytes, before: Before) -> DataError:
    offset = data.index(0)
    zeros = [data[first::2].count(0) / (len(data) // 2 or 1) for first in (0, 1)]
    source = shlex.quote(str(path))
    hint = (
        "The file is damaged or binary: export it again, or remove these bytes with "
        f"`tr -d '\\000' < {source}`."
    )
    if max(zeros) > 0.5:  # every other byte of Latin text in UTF-16 is zero
        name = "UTF-16BE" if zeros[0] > zeros[1] else "UTF-16LE"
        hint = f"It looks like {name}: convert it with `iconv -f {name} -t UTF-8 {source}`."
    return DataError(
        f"holds a NUL byte at offset {before.size_bytes + offset}",
        where=f"{path}:{before.lines + _line(data, offset)}",
        hint=hint,
    )


def _line(data: bytes, offset: int) -> int:
    return data.count(b"\n", 0, offset) + 1
