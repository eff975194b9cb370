"""``compare.html``: several runs on one page, with what they reached and where their configs differ."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rondel.errors import UsageError
from rondel.report.curves import MAX_POINTS, Chart, ChartGroup, limit_charts, make_series
from rondel.report.headline import final_metrics, find_headline
from rondel.report.page import render, write_page
from rondel.report.run_record import RunRecord
from rondel.report.tables import Table, make_table
from rondel.report.wording import format_duration, format_number, readable

ABSENT = "(not set)"


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A config key that the runs do not share, with the value of each run."""

    key: str
    values: tuple[str, ...]


def write_comparison(records: Sequence[RunRecord], path: Path) -> Path:
    """Write a page that lays several runs side by side.

    Raises:
        UsageError: Fewer than two runs, or ``rondel[report]`` is not installed.
        DirectoryError: The page cannot be written.
    """
    if len(records) < 2:
        raise UsageError(
            "a comparison needs at least two runs",
            hint="Name another run, or use 'rondel runs show'.",
        )
    return write_page(path, render("compare.html", comparison_view(records)))


def comparison_view(records: Sequence[RunRecord]) -> dict[str, object]:
    """Collect what the comparison shows."""
    metrics, note = runs_table(records)
    differences = config_differences(records)
    return {
        "title": f"{len(records)} runs compared",
        "runs": records,
        "labels": run_labels(records),
        "warnings": comparability_warnings(records),
        "metrics": metrics,
        "metrics_note": note,
        "differences": make_table(
            ("key", *run_labels(records)), [(d.key, *d.values) for d in differences]
        ),
        "groups": comparison_charts(records),
    }


def run_labels(records: Sequence[RunRecord]) -> list[str]:
    """Return names that tell the runs apart, with the folder where two names are the same."""
    names = [record.name for record in records]
    return [
        name if names.count(name) == 1 else f"{record.directory.resolve().parent.name}/{name}"
        for name, record in zip(names, records, strict=True)
    ]


def runs_table(records: Sequence[RunRecord]) -> tuple[Table, str]:
    """Return one row per run with its metrics; the best run by the watched metric is marked."""
    found = [final_metrics(record) for record in records]
    headlines = [find_headline(record) for record in records]
    names = list(dict.fromkeys(name for metrics in found for name in metrics))
    rows = [
        (
            label,
            record.state,
            "" if record.seconds is None else format_duration(record.seconds),
            record.last_step,
            *(metrics.get(name) for name in names),
        )
        for label, record, metrics in zip(run_labels(records), records, found, strict=True)
    ]
    table = make_table(("run", "state", "duration", "steps", *map(readable, names)), rows)
    watched = {(h.metric, h.mode) for h in headlines if h is not None}
    if len(watched) != 1 or None in headlines:
        return table, ""
    metric, mode = next(iter(watched))
    values = [h.value for h in headlines if h is not None]
    finite = [value for value in values if math.isfinite(value)]
    if mode is None or not finite:
        return table, ""
    best = max(finite) if mode == "max" else min(finite)
    winners = [index for index, value in enumerate(values) if value == best]
    note = f"Best {readable(metric)}: {format_number(best)}, reached by " + " and ".join(
        run_labels(records)[index] for index in winners
    )
    marked = winners[0] if len(winners) == 1 else None
    return replace(table, marked=marked), f"{note}."


def config_differences(records: Sequence[RunRecord]) -> list[Difference]:
    """Return the config keys whose values are not the same in all runs."""
    configs = [_flat_config(record) for record in records]
    keys = sorted({key for config in configs for key in config})
    rows = [(key, tuple(config.get(key, ABSENT) for config in configs)) for key in keys]
    return [Difference(key=key, values=values) for key, values in rows if len(set(values)) > 1]


def comparability_warnings(records: Sequence[RunRecord]) -> list[str]:
    """Return what makes a comparison of the numbers unfair or impossible."""
    warnings = []
    if len({record.domain for record in records}) > 1:
        warnings.append("The runs belong to different domains.")
    hashes = {record.data.get("hash") for record in records}
    if len(hashes) > 1:
        warnings.append("The runs used different data: their numbers are not comparable.")
    unfinished = [record.name for record in records if record.state != "done"]
    if unfinished:
        warnings.append(f"Not finished: {', '.join(unfinished)}.")
    return warnings


def comparison_charts(records: Sequence[RunRecord]) -> list[ChartGroup]:
    """Overlay the curves of the runs, one colour per run."""
    last_step = max((row.step for record in records for row in record.rows), default=0)
    groups = []
    for title, event, wide in (
        ("Evaluation", "evaluation", False),
        ("Updates", "update", False),
        ("Logged", "log", False),
    ):
        charts = _overlaid(records, event, last_step, wide=wide)
        if charts:
            groups.append(limit_charts(ChartGroup(title=title, charts=tuple(charts))))
    return groups


def _overlaid(
    records: Sequence[RunRecord], event: str, last_step: int, *, wide: bool
) -> list[Chart]:
    keys = dict.fromkeys(
        (row.name, key) for record in records for row in record.events(event) for key in row.values
    )
    several = len({name for name, _ in keys}) > 1
    labels, limit = run_labels(records), max(120, 2 * MAX_POINTS // len(records))
    charts = []
    for name, key in keys:
        lines = []
        for slot, record in enumerate(records):
            rows = [row for row in record.events(event) if row.name == name and key in row.values]
            points = [(row.step, row.values[key]) for row in rows]
            if points:
                lines.append(make_series(labels[slot], points, colour=slot, limit=limit))
        title = f"{readable(name)}: {readable(key)}" if several else readable(key)
        charts.append(Chart(title=title, series=tuple(lines), last_step=last_step, wide=wide))
    return charts


def _flat_config(record: RunRecord) -> dict[str, str]:
    try:
        config = tomllib.loads(record.config_text or "")
    except tomllib.TOMLDecodeError:
        return {"(config.toml)": "damaged"}
    return dict(_flatten(config))


def _flatten(config: dict[str, object], prefix: str = "") -> list[tuple[str, str]]:
    pairs: list[tuple[str, str]] = []
    for key, value in config.items():
        if isinstance(value, dict):
            pairs.extend(_flatten(value, f"{prefix}{key}."))
        else:
            pairs.append((f"{prefix}{key}", str(value)))
    return pairs
