"""Append-only files of JSON Lines that can be cut back to the length a checkpoint remembers."""

from __future__ import annotations

import contextlib
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rondel.directory import describe_failure, write_fully
from rondel.errors import CheckpointError, DirectoryError

_BUFFER_BYTES = 1 << 16
_TAIL_BYTES = 1 << 16


class Journal:
    """Rows in the order in which they happened, one JSON object a line.

    The same rows give the same bytes. A row that a crash tore in half is dropped on opening.

    Example:
        >>> with Journal(Path("metrics.jsonl")) as journal:
        ...     journal.append({"step": 1, "values": {"loss": 0.5}})
        ...     length = journal.sync()
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._pending = bytearray()
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        except OSError as error:
            raise self._failure(error) from error
        self._length = _end_of_last_row(self._descriptor)
        if self._length < os.fstat(self._descriptor).st_size:
            self._cut()

    def append(self, row: Mapping[str, object]) -> None:
        """Add a row; it reaches the disk with the next `flush` or `sync`."""
        self._pending += format_row(row)
        if len(self._pending) >= _BUFFER_BYTES:
            self.flush()

    def flush(self) -> None:
        """Hand all rows to the system, so that other processes see them.

        Raises:
            DirectoryError: The disk is full or gone; the rows are kept for the next try.
        """
        if not self._pending:
            return
        try:
            write_fully(self._descriptor, bytes(self._pending))
        except OSError as error:
            with contextlib.suppress(OSError):  # else the torn row is dropped on opening
                os.ftruncate(self._descriptor, self._length)
            raise self._failure(error) from error
        self._length += len(self._pending)
        self._pending.clear()

    def sync(self) -> int:
        """Wait until all rows are on the disk; returns the length of the file in bytes."""
        self.flush()
        try:
            os.fsync(self._descriptor)
        except OSError as error:
            raise self._failure(error) from error
        return self._length

    def truncate(self, length: int) -> None:
        """Cut back to the length that a checkpoint remembers; rows after it are done again.

        Raises:
            CheckpointError: The file is shorter, or does not end a row there.
        """
        self._pending.clear()
        ends_row = length == 0 or os.pread(self._descriptor, 1, length - 1) == b"\n"
        if length > self._length or not ends_row:
            raise CheckpointError(
                f"does not fit the checkpoint, which expects rows up to byte {length} of "
                f"{self._length}",
                where=str(self.path),
                hint="Something else changed this file. Put the old one back, or start a new run.",
            )
        self._length = length
        self._cut()

    def _cut(self) -> None:
        try:
            os.ftruncate(self._descriptor, self._length)
            os.fsync(self._descriptor)
        except OSError as error:
            raise self._failure(error) from error

    def close(self) -> None:
        """Write what is left and close the file; harmless when called twice."""
        if self._descriptor < 0:
            return
        try:
            self.flush()
        finally:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _failure(self, error: OSError) -> DirectoryError:
        needed = len(self._pending)
        return DirectoryError(
            describe_failure(error, self.path.parent, needed_bytes=needed),
            where=str(self.path),
            hint="Make room and continue the run with --resume; nothing written before is lost.",
        )


def format_row(row: Mapping[str, object]) -> bytes:
    """Write one row as a line of JSON; numbers that JSON lacks become "nan", "inf", "-inf"."""
    text = json.dumps(_finite(row), allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    # a lone surrogate is legal in a Python string; escaped it is legal in JSON too
    return text.encode("utf-8", "backslashreplace") + b"\n"


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Read all rows; a missing file has none, and a last line that a crash tore is ignored.

    Raises:
        DirectoryError: A line before the last is no row.
    """
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return []
    rows = []
    for number, line in enumerate(lines[:-1], start=1):  # what follows the last newline is torn
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        if isinstance(row, dict):
            rows.append(row)
        elif number < len(lines) - 1:
            raise DirectoryError(
                "is not a row of JSON",
                where=f"{path}:{number}",
                hint="Remove the line, or resume the run from a checkpoint.",
            )
    return rows


def _finite(value: object) -> object:
    if isinstance(value, float):
        return value if math.isfinite(value) else str(float(value))
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return value


def _end_of_last_row(descriptor: int) -> int:
    """The length of the file up to its last newline."""
    end = os.fstat(descriptor).st_size
    while end > 0:
        start = max(0, end - _TAIL_BYTES)
        newline = os.pread(descriptor, end - start, start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        end = start
    return 0
