"""How a finished run is told: metrics beside their baseline, where to look, which exit code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from rondel.cli.app import App
from rondel.cli.terminal import text_table

if TYPE_CHECKING:
    from rondel.session import Result

EXIT_CODES = {"done": 0, "failed": 1, "diverged": 5, "interrupted": 75}
"""Exit code of a run by its outcome."""


def report_result(app: App, result: Result) -> int:
    """Write the result of a run and return its exit code."""
    domain = app.domain.name
    terminal = app.terminal
    headers = ["metric", "value", f"baseline ({baseline_name(result.baseline)})"]
    baselines = baseline_values(result.baseline)
    rows = [[k, number(v), number(baselines.get(k))] for k, v in result.metrics.items()]
    if rows:
        terminal.result(text_table(headers, rows))
    places = [("outcome", f"{result.outcome} after {result.seconds:.1f} s")]
    places += [("run", str(result.directory))]
    places += [("report", str(result.report))] if result.report else []
    terminal.result(text_table(["", ""], places).strip())
    terminal.row(
        "result",
        {
            "outcome": result.outcome,
            "directory": result.directory,
            "metrics": result.metrics,
            "baseline": result.baseline,
            "seconds": result.seconds,
            "report": result.report,
        },
    )
    if result.outcome == "interrupted":
        terminal.talk(f"Continue with: rondel {domain} train --resume {result.directory}")
    return EXIT_CODES.get(result.outcome, 1)


def report_metrics(app: App, metrics: Mapping[str, float]) -> None:
    """Write the metrics of an evaluation."""
    rows = [[name, number(value)] for name, value in metrics.items()]
    app.terminal.result(text_table(["metric", "value"], rows))
    app.terminal.row("evaluation", {"metrics": dict(metrics)})


def baseline_values(baseline: Mapping[str, object] | None) -> Mapping[str, float]:
    """Return the metrics of a baseline ``{"name": ..., "values": {...}}``."""
    values = (baseline or {}).get("values")
    return values if isinstance(values, dict) else {}


def baseline_name(baseline: Mapping[str, object] | None) -> str:
    """Return the name of a baseline, such as ``majority class``."""
    return str((baseline or {}).get("name", "none"))


def number(value: float | str | None) -> str:
    """Return a number with four digits, and nothing for None."""
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, int | float) else str(value)
