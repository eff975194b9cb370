"""Where the command line writes: results to stdout, talk to stderr, nothing from ranks above 0."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rondel.errors import ConfigError, RondelError


@dataclass(frozen=True)
class Terminal:
    """The two output streams under the flags of one command line.

    Args:
        json: Results and errors are JSON Lines on stdout.
        verbosity: -1 quiet, 0 normal, 1 verbose.
        rank: The process under torchrun; only rank 0 speaks, the others do if verbose.
    """

    json: bool = False
    verbosity: int = 0
    rank: int = 0

    @classmethod
    def from_words(cls, words: Sequence[str], *, rank: int | None = None) -> Terminal:
        """Read the flags from a raw command line, so that they hold before it is parsed."""
        flags = set(words[: words.index("--")] if "--" in words else words)
        verbosity = 1 if flags & {"-v", "--verbose"} else -1 if flags & {"-q", "--quiet"} else 0
        if rank is None:
            own = os.environ.get("RANK", "")  # set by torchrun
            rank = int(own) if own.isdigit() else 0
        return cls(json="--json" in flags, verbosity=verbosity, rank=rank)

    def result(self, text: str) -> None:
        """Write a result for people to stdout; nothing under ``--json``."""
        if not self.json:
            self._write(text, sys.stdout)

    def row(self, event: str, values: Mapping[str, object]) -> None:
        """Write a result for programs to stdout, one JSON line, under ``--json``."""
        if self.json:
            self._write(json.dumps({"event": event, **values}, default=str), sys.stdout)

    def talk(self, text: str) -> None:
        """Write to stderr what is no result, unless quiet."""
        if self.verbosity >= 0:
            self._write(text, sys.stderr)

    def warn(self, text: str) -> None:
        """Write one line to stderr, quiet or not."""
        self._write(text, sys.stderr)

    def error(self, error: RondelError) -> None:
        """Write an error: one JSON line under ``--json``, else text on stderr."""
        if self.json:
            self.row("error", _error_fields(error))
        else:
            self._write(f"Error: {error}", sys.stderr)

    def _write(self, text: str, stream: object) -> None:
        if self.rank == 0 or self.verbosity > 0:
            print(text, file=stream, flush=True)  # type: ignore[call-overload]


def text_table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return aligned columns under their headers; an empty column is left out.

    A cell beyond 36 characters shifts its own row instead of widening all of them.
    """
    kept = [c for c in range(len(headers)) if any(row[c] for row in rows)] or range(len(headers))
    lines = [[line[c] for c in kept] for line in (headers, *rows)]
    widths = [min(max(len(line[c]) for line in lines), 36) for c in range(len(lines[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def _error_fields(error: RondelError) -> dict[str, object]:
    fields: dict[str, object] = {
        "error": type(error).__name__,
        "what": error.what,
        "where": error.where,
        "hint": error.hint,
        "exit_code": error.exit_code,
    }
    if isinstance(error, ConfigError):
        fields["problems"] = [str(problem) for problem in error.problems]
    return fields
