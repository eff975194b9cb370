"""What is said before there is a run or a terminal that could say it, on stderr."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_is_quiet: ContextVar[bool] = ContextVar("rondel_is_quiet", default=False)


def warn(text: str) -> None:
    """Write a line that must be read, quiet or not."""
    print(text, file=sys.stderr, flush=True)


def notice(text: str) -> None:
    """Write a line that tells what takes its time, unless quiet is asked for."""
    if not _is_quiet.get():
        warn(text)


@contextmanager
def quiet(asked: bool = True) -> Iterator[None]:
    """Keep notices back for a while, if that is asked for."""
    before = _is_quiet.set(asked or _is_quiet.get())
    try:
        yield
    finally:
        _is_quiet.reset(before)
