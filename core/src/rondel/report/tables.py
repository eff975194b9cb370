"""The tables of a page: values of any kind as text, numbers set to the right."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rondel.report.headline import final_metrics, find_baseline, find_headline
from rondel.report.run_record import Row, RunRecord, as_number
from rondel.report.wording import format_number, readable

MAX_TABLE_ROWS = 200


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table of the page; numbers are set right-aligned."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: tuple[bool, ...]
    left_out: int = 0
    marked: int | None = None


def make_table(columns: Sequence[object], rows: Sequence[Sequence[object]]) -> Table:
    """Turn values of any kind into a table of text."""
    kept = rows[:MAX_TABLE_ROWS]
    width = len(columns)
    numeric = tuple(
        all(isinstance(row[k], int | float) for row in kept if k < len(row) and row[k] is not None)
        for k in range(width)
    )
    body = tuple(
        (*(_cell(value) for value in row[:width]), *[""] * (width - len(row))) for row in kept
    )
    return Table(
        columns=tuple(str(column) for column in columns),
        rows=body,
        numeric=numeric,
        left_out=len(rows) - len(kept),
    )


def metrics_table(record: RunRecord) -> Table | None:
    """Return the final metrics, the baseline's values beside them."""
    metrics, baseline = final_metrics(record), find_baseline(record)
    if not metrics:
        return None
    known = baseline.values if baseline else {}
    if not known:
        rows = [(readable(name), value) for name, value in metrics.items()]
        return make_table(("metric", "this run"), rows)
    return make_table(
        ("metric", "this run", baseline.name if baseline else "baseline"),
        [(readable(name), value, known.get(name)) for name, value in metrics.items()],
    )


def evaluation_table(record: RunRecord) -> Table | None:
    """Return every evaluation as a table, thinned out evenly if there are very many."""
    rows = record.events("evaluation")
    if not rows:
        return None
    headline = find_headline(record)
    best = headline.step if headline and headline.mode else None
    kept = _evenly(rows, MAX_TABLE_ROWS, keep_step=best)
    metrics = list(dict.fromkeys(key for row in rows for key in row.values))
    places = [place for place in _places() if any(place[1](row) for row in kept)]
    if len({row.name for row in rows}) < 2:
        places = [place for place in places if place[0] != "evaluation"]
    body = tuple(
        (
            *(place[1](row) for place in places),
            *(format_number(row.values[key]) if key in row.values else "" for key in metrics),
        )
        for row in kept
    )
    return Table(
        columns=(*(place[0] for place in places), *map(readable, metrics)),
        rows=body,
        numeric=(*(place[0] in ("step", "epoch") for place in places), *(True for _ in metrics)),
        left_out=len(rows) - len(kept),
        marked=next((index for index, row in enumerate(kept) if row.step == best), None),
    )


def skipped_table(record: RunRecord) -> Table | None:
    """Return the samples that could not be read, one row each."""
    if not record.skipped:
        return None
    columns = list(dict.fromkeys(key for entry in record.skipped for key in entry))
    rows = [[entry.get(column) for column in columns] for entry in record.skipped]
    return make_table([readable(column) for column in columns], rows)


def _places() -> list[tuple[str, Callable[[Row], str]]]:
    return [
        ("step", lambda row: f"{row.step:,}"),
        ("epoch", lambda row: "" if row.epoch is None else f"{row.epoch:,}"),
        ("phase", lambda row: row.phase or ""),
        ("evaluation", lambda row: readable(row.name)),
    ]


def _evenly(rows: list[Row], count: int, *, keep_step: int | None) -> list[Row]:
    if len(rows) <= count:
        return rows
    kept = {round(k * (len(rows) - 1) / (count - 1)) for k in range(count)}
    kept |= {index for index, row in enumerate(rows) if row.step == keep_step}
    return [rows[index] for index in sorted(kept)]


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, str) or (number := as_number(value)) is None:
        return str(value)
    return format_number(number)
