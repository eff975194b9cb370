"""The one number of a run: the watched metric, with the data set's baseline beside it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

from rondel.report.run_record import Json, Row, RunRecord, numbers
from rondel.report.wording import format_number, readable

Mode = Literal["min", "max"]

LOWER_IS_BETTER = frozenset(
    (
        *("loss", "error", "mse", "rmse", "mae", "nll", "perplexity", "brier"),
        *("distance", "deviation", "divergence", "fid", "kid"),
    )
)
"""Words of metric names whose smaller values are the notable ones, where no mode was recorded."""


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """What a trivial predictor reaches on the same data."""

    name: str
    values: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Headline:
    """The number to look at first.

    Args:
        metric: Its name.
        value: The best value reached, or the last one if nothing was watched.
        mode: Whether higher or lower is better; unknown if nothing was watched.
        step: The safe point at which it was reached.
        baseline: The baseline's value of the same metric.
        baseline_name: What the baseline is.
    """

    metric: str
    value: float
    mode: Mode | None = None
    step: int | None = None
    baseline: float | None = None
    baseline_name: str = "baseline"

    @property
    def beats_baseline(self) -> bool | None:
        """Whether the value is better than the baseline; None where that cannot be told."""
        if self.baseline is None or self.mode is None or math.isnan(self.baseline):
            return None
        # NaN never compares as better
        return self.value > self.baseline if self.mode == "max" else self.value < self.baseline

    @property
    def sentence(self) -> str:
        """The comparison as one plain sentence."""
        said = f"{readable(self.metric)} {format_number(self.value)}"
        if self.baseline is None:
            return f"{said}; no baseline was recorded"
        return f"{said}, {self.baseline_name} {format_number(self.baseline)}"


def find_baseline(record: RunRecord) -> Baseline | None:
    """Return the baseline that the run recorded for its data."""
    entry = (record.result or {}).get("baseline")
    if not isinstance(entry, dict):
        return None
    values = numbers(entry.get("values"))
    return Baseline(name=str(entry.get("name") or "baseline"), values=values) if values else None


def find_watch(record: RunRecord) -> tuple[str, Mode | None] | None:
    """Return the watched metric and its mode, from the result or the best checkpoint."""
    result = record.result or {}
    for source in (result.get("watch"), record.best, result.get("best")):
        if isinstance(source, dict) and isinstance(source.get("metric"), str):
            mode = source.get("mode")
            return source["metric"], mode if mode in ("min", "max") else None
    return None


def find_headline(record: RunRecord) -> Headline | None:
    """Return the watched metric at its best, or what the last evaluation says first."""
    watch = find_watch(record)
    found = _watched(record, *watch) if watch else None
    found = found or _last_evaluation(record)
    if found is None:
        return None
    baseline = find_baseline(record)
    if baseline is None or found.metric not in baseline.values:
        return found
    return Headline(
        metric=found.metric,
        value=found.value,
        mode=found.mode,
        step=found.step,
        baseline=baseline.values[found.metric],
        baseline_name=baseline.name,
    )


def final_metrics(record: RunRecord) -> dict[str, float]:
    """Return the metrics of the result, or of the last evaluation of a run without one."""
    if record.result is not None and (values := numbers(record.result.get("metrics"))):
        return values
    evaluations = record.events("evaluation")
    return dict(evaluations[-1].values) if evaluations else {}


def notable_mode(metric: str) -> Mode:
    """Tell which end of an unwatched metric is worth a mark; a mark is no verdict."""
    words = set(metric.lower().replace("-", "_").replace(".", "_").replace("/", "_").split("_"))
    return "min" if words & LOWER_IS_BETTER else "max"


def best_row(rows: list[Row], metric: str, mode: Mode) -> Row | None:
    """Return the first row with the best finite value of a metric."""
    finite = [row for row in rows if math.isfinite(row.values.get(metric, math.nan))]
    if not finite:
        return None
    choose = max if mode == "max" else min
    return choose(finite, key=lambda row: row.values[metric])


def _watched(record: RunRecord, metric: str, mode: Mode | None) -> Headline | None:
    candidates: tuple[Json | Any, ...] = ((record.result or {}).get("best"), record.best)
    for source in candidates:
        value = numbers(source).get("value") if isinstance(source, dict) else None
        if value is not None and isinstance(source, dict) and source.get("metric") == metric:
            step = source.get("step")
            return Headline(
                metric=metric, value=value, mode=mode, step=step if isinstance(step, int) else None
            )
    value = numbers((record.result or {}).get("metrics")).get(metric)
    if value is not None:
        return Headline(metric=metric, value=value, mode=mode)
    row = best_row(record.events("evaluation"), metric, mode or notable_mode(metric))
    if row is None:
        return None
    return Headline(metric=metric, value=row.values[metric], mode=mode, step=row.step)


def _last_evaluation(record: RunRecord) -> Headline | None:
    metrics = final_metrics(record)
    if not metrics:
        return None
    metric = next((name for name in metrics if name != "loss"), next(iter(metrics)))
    evaluations = record.events("evaluation")
    step = evaluations[-1].step if evaluations else None
    return Headline(metric=metric, value=metrics[metric], step=step)
