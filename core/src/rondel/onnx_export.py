"""Around torch's exporter to ONNX: what it needs, what it says, and why it failed."""

from __future__ import annotations

import importlib.util
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from rondel.errors import UsageError

PACKAGES = ("onnx", "onnxruntime", "onnxscript")
REASON = 300
"""Letters of the reason why something cannot be exported."""


def require_packages(distribution: str) -> None:
    """Refuse to go on without the packages for ONNX.

    Args:
        distribution: The one that has them as its extra ``onnx``.

    Raises:
        UsageError: Names what is missing.
    """
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise UsageError(
            f"the export to ONNX needs {', '.join(missing)}",
            hint=f'Install them: pip install "{distribution}[onnx]"',
        )


def reason_of(error: BaseException) -> str:
    """Return the first line of what began a chain of errors."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:REASON]}" if lines else type(error).__name__


@contextmanager
def silence() -> Iterator[None]:
    """Keep warnings and log of torch's exporter back: failures are told by us, in one line."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
