"""Signals ask; the loop answers at its next safe point."""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType
from typing import Any, Self

_NAMES = ("SIGTERM", "SIGINT", "SIGUSR1")  # SIGUSR1: what batch systems send before a time limit


class SignalFlag:
    """Remember the first signal; the second one ends the process at once.

    A checkpoint written inside a signal handler could catch a half-done update, so the handler only
    sets `requested`. Handlers are installed in the main thread only, and restored on exit.

    Example:
        >>> with SignalFlag() as flag:
        ...     while not flag.requested:
        ...         break  # one step of work
    """

    def __init__(self) -> None:
        self.requested: str | None = None
        """The name of the signal that came, such as "SIGTERM"."""
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for name in _NAMES:
                number = getattr(signal, name, None)  # Windows lacks SIGUSR1
                if number is not None:
                    self._previous[number] = signal.signal(number, self._receive)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            # None: the handler was not installed from Python and cannot be put back by it
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._previous.clear()

    def _receive(self, number: int, _frame: FrameType | None) -> None:
        if self.requested is None:
            self.requested = signal.Signals(number).name
            return
        signal.signal(number, signal.SIG_DFL)
        os._exit(128 + number)
