"""``rondel detection demo``: a detector in about a minute, and its report in the browser."""

from __future__ import annotations

import webbrowser
from pathlib import Path

from rondel import session
from rondel.cli.app import App
from rondel.cli.outcome import report_result

EPOCHS = 8
"""Passes over 500 pictures of shapes: what the measured recipe needs."""


def demonstrate(app: App, out: Path | None, *, opens: bool) -> int:
    """Train the centre detector on shapes, print what it reached, and open the report."""
    app.terminal.talk("Training a detector of circles, squares and triangles; about a minute.")
    result = session.train(
        "detection",
        out=out,
        quiet=app.terminal.verbosity < 0 or app.terminal.json,
        dataset="shapes",
        epochs=EPOCHS,
        run={"threads": 1},
    )
    code = report_result(app, result)
    if opens and result.report is not None:
        webbrowser.open(result.report.resolve().as_uri())
    return code
