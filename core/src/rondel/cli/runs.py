"""``rondel runs``: list the runs of a folder, look at one, compare several."""

from __future__ import annotations

import difflib
import math
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from rondel.cli.app import App
from rondel.cli.flags import talk_flags
from rondel.cli.terminal import Terminal, text_table
from rondel.errors import UsageError
from rondel.report.comparison import run_labels, write_comparison
from rondel.report.headline import Headline, final_metrics, find_headline
from rondel.report.page import run_facts, write_report
from rondel.report.run_record import RunRecord, is_run
from rondel.report.wording import (
    format_count,
    format_duration,
    format_number,
    format_time,
    readable,
)

DEFAULT_FOLDER = Path("runs")
COLUMNS = ("name", "domain", "state", "metric", "value", "baseline", "time", "steps", "started")
NUMERIC = frozenset({"value", "baseline", "time", "steps"})


@click.group("runs", invoke_without_command=True)
@click.pass_context
def runs(context: click.Context) -> None:
    """List, show and compare runs."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


@runs.command("list")
@click.argument("folder", default=DEFAULT_FOLDER, type=click.Path(path_type=Path), metavar="[DIR]")
@talk_flags
@click.pass_obj
def list_runs(app: App, folder: Path) -> None:
    """List the runs in a folder, by default runs/, the latest first."""
    records = find_runs(folder)
    for record in records:
        app.terminal.row("run", summary(record))
    if not records:
        app.terminal.talk(f"No runs in {folder}.")
    elif not app.terminal.json:
        _print_table(app.terminal, COLUMNS, [_cells(record) for record in records])


@runs.command("show")
@click.argument("run", type=click.Path(path_type=Path), metavar="RUN")
@talk_flags
@click.pass_obj
def show_run(app: App, run: Path) -> None:
    """Summarise a run and refresh its report.html."""
    directory = locate_run(run)
    record = RunRecord.read(directory)
    app.terminal.result(text_table(["", ""], describe(record)).strip())
    # after the summary, which is worth having even where the page cannot be drawn
    page = write_report(directory)
    app.terminal.result(str(page))
    details: dict[str, object] = {
        "reason": record.reason,
        "metrics": {name: _jsonable(value) for name, value in final_metrics(record).items()},
        "skipped": len(record.skipped),
        "report": str(page),
    }
    app.terminal.row("run", summary(record) | details)


@runs.command("compare")
@click.argument(
    "run", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RUN RUN [...]"
)
@click.option(
    "--out",
    default=Path("compare.html"),
    show_default=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="The page to write.",
)
@talk_flags
@click.pass_obj
def compare_runs(app: App, run: tuple[Path, ...], out: Path) -> None:
    """Lay several runs side by side on one page: metrics, differing config keys, curves."""
    directories = list(dict.fromkeys(locate_run(path).resolve() for path in run))
    if len(directories) < 2:
        raise UsageError(
            f"a comparison needs at least two different runs, got only {str(run[0])!r}",
            hint="Name another run, or use 'rondel runs show'.",
        )
    records = [RunRecord.read(directory) for directory in directories]
    page = write_comparison(records, out)
    app.terminal.result(str(page))
    app.terminal.row("comparison", {"runs": run_labels(records), "page": str(page)})


def find_runs(folder: Path) -> list[RunRecord]:
    """Read the runs directly inside a folder, the latest first.

    Raises:
        UsageError: There is no such folder.
    """
    if not folder.is_dir():
        raise UsageError(f"no folder {str(folder)!r}", hint=_nearest(folder) or _start_hint(folder))
    found = [
        RunRecord.read(entry) for entry in folder.iterdir() if entry.is_dir() and is_run(entry)
    ]
    return sorted(found, key=lambda record: (record.started or "", record.name), reverse=True)


def locate_run(run: Path) -> Path:
    """Return the directory of a run named by its path, or by its name inside runs/.

    Raises:
        UsageError: There is no such directory, or it is no run.
    """
    candidates = [run] if run.is_absolute() else [run, DEFAULT_FOLDER / run]
    directory = next((path for path in candidates if path.is_dir()), None)
    if directory is None:
        raise UsageError(
            f"no run {str(run)!r}", hint=_nearest(run) or "List them: rondel runs list"
        )
    if not is_run(directory):
        raise UsageError(
            f"{str(run)!r} is not a run directory: it has no manifest.json and no metrics.jsonl",
            hint=_runs_inside(directory) or "Name a directory that 'rondel <domain> train' wrote.",
        )
    return directory


def summary(record: RunRecord) -> dict[str, object]:
    """Return a run in the keys of ``rondel runs list --json``."""
    headline = find_headline(record)
    return {
        "name": record.name,
        "directory": str(record.directory),
        "domain": record.domain,
        "state": record.state,
        "metric": headline.metric if headline else None,
        "value": _jsonable(headline.value) if headline else None,
        "baseline": _jsonable(headline.baseline) if headline else None,
        "seconds": _jsonable(record.seconds),
        "steps": record.last_step,
        "started": record.started,
    }


def describe(record: RunRecord) -> list[tuple[str, str]]:
    """Return a run as pairs of label and text for the terminal."""
    headline = find_headline(record)
    lines = [("run", record.name), ("state", _state_text(record))]
    if headline is not None:
        lines.append(("result", _headline_text(headline)))
    lines += [(label.lower(), text) for label, text in run_facts(record)]
    lines += [(readable(name), format_number(v)) for name, v in final_metrics(record).items()]
    if record.skipped:
        lines.append(("skipped", f"{len(record.skipped):,} samples"))
    return lines


def _state_text(record: RunRecord) -> str:
    return f"{record.state} ({record.reason})" if record.reason else record.state


def _headline_text(headline: Headline) -> str:
    verdict = {True: " (better than the baseline)", False: " (not better than the baseline)"}
    return headline.sentence + ("" if (b := headline.beats_baseline) is None else verdict[b])


def _cells(record: RunRecord) -> tuple[str, ...]:
    headline = find_headline(record)
    baseline = headline.baseline if headline else None
    return (
        record.name,
        record.domain or "",
        record.state,
        headline.metric if headline else "",
        format_number(headline.value) if headline else "",
        "" if baseline is None else format_number(baseline),
        "" if record.seconds is None else format_duration(record.seconds),
        "" if record.last_step is None else f"{record.last_step:,}",
        format_time(record.started) if record.started else "",
    )


def _print_table(terminal: Terminal, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    if not sys.stdout.isatty():
        terminal.result(text_table(columns, rows))
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(
            column,
            justify="right" if column in NUMERIC else "left",
            overflow="fold" if column == "name" else "ellipsis",
            no_wrap=column != "name",
        )
    for row in rows:
        # Text, not markup: a run may be called [red]
        table.add_row(*(Text(cell) for cell in row))
    Console().print(table)


def _nearest(path: Path) -> str:
    """Suggest the directory whose name is most like the missing one."""
    for parent in dict.fromkeys((path.parent, DEFAULT_FOLDER)):
        names = (
            [entry.name for entry in parent.iterdir() if entry.is_dir()] if parent.is_dir() else []
        )
        if near := difflib.get_close_matches(path.name, names, n=1, cutoff=0.5):
            return f"Did you mean {str(parent / near[0])!r}?"
    return ""


def _start_hint(folder: Path) -> str:
    if folder == DEFAULT_FOLDER:
        return "Runs are written there by 'rondel <domain> train'; name another folder if yours lie elsewhere."
    return "Name a folder that holds run directories."


def _runs_inside(directory: Path) -> str:
    names = sorted(entry.name for entry in directory.iterdir() if entry.is_dir() and is_run(entry))
    if not names:
        return ""
    example = str(directory / names[0])
    return (
        f"It holds {format_count(len(names), 'run')}, such as {example!r}; "
        f"'rondel runs list {directory}' lists all."
    )


def _jsonable(value: float | None) -> float | str | None:
    """JSON has no NaN and no infinity; they are written as in metrics.jsonl."""
    return value if value is None or math.isfinite(value) else format_number(value)
