"""``rondel quickstart``: a short run of every installed domain, and one table at the end."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rondel.cli.app import App
from rondel.cli.arguments import Source, resolve_config
from rondel.cli.flags import talk_flags
from rondel.cli.outcome import EXIT_CODES, baseline_name, baseline_values, number
from rondel.cli.terminal import text_table
from rondel.domain import Domain
from rondel.errors import Interrupted, PluginError, RondelError

if TYPE_CHECKING:
    from rondel.session import Result

HEADERS = ("domain", "data", "metric", "baseline", "seconds", "report")


@dataclass(frozen=True)
class Row:
    """What one domain's run came to."""

    domain: str
    data: str = ""
    metric: str = ""
    baseline: str = ""
    seconds: str = ""
    report: str = ""
    exit_code: int = 0

    def cells(self) -> list[str]:
        """Return the cells in the order of `HEADERS`."""
        return [getattr(self, name) for name in HEADERS]


@click.command("quickstart")
@click.argument("domains", nargs=-1)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("runs"),
    show_default=True,
    metavar="DIR",
    help="The folder of the run directories.",
)
@talk_flags
@click.pass_obj
def quickstart(app: App, domains: tuple[str, ...], *, out: Path) -> int:
    """Train DOMAINS, by default every installed one, on the data they bring along.

    A domain that fails is a row with its reason; the others go on.
    """
    chosen = [app.host.domain(name) for name in domains] or list(app.host.domains().values())
    if not chosen:
        raise PluginError(
            "no domain is installed", hint='Install one with: pip install "rondel[tabular]"'
        )
    stamp = time.strftime("%Y%m%d-%H%M%S")
    rows = []
    for domain in chosen:
        app.terminal.talk(f"{domain.name}: {domain.summary}")
        rows.append(_try_domain(app, domain, out / f"quickstart-{domain.name}-{stamp}"))
        app.terminal.row(
            "quickstart",
            {**dict(zip(HEADERS, rows[-1].cells(), strict=True)), "exit_code": rows[-1].exit_code},
        )
    _show(app, rows)
    return max(row.exit_code for row in rows)


def _try_domain(app: App, domain: Domain, out: Path) -> Row:
    try:
        return _run_domain(app, domain, out)
    except Interrupted:
        raise  # Ctrl-C ends the tour, not one stop of it
    except RondelError as error:
        return Row(domain.name, metric=f"failed: {error}", exit_code=error.exit_code)
    except Exception as error:  # noqa: BLE001 - one domain's fault must not end the others
        reason = f"failed: {type(error).__name__}: {error}"
        return Row(domain.name, metric=reason, report=_error_file(out), exit_code=1)


def _run_domain(app: App, domain: Domain, out: Path) -> Row:
    resolved = resolve_config(domain, Source(domain.demo))

    from rondel import session
    from rondel.request import TrainRequest

    result = session.carry_out(
        TrainRequest(
            domain=domain,
            config=resolved.config,
            origins=resolved.origins,
            host=app.host,
            out=out,
            verbosity=app.terminal.verbosity,
            command=app.command,
        )
    )
    return _row(domain, str(resolved.config.data or "embedded"), result)


def _row(domain: Domain, data: str, result: Result) -> Row:
    metric = result.watch[0] if result.watch else next(iter(result.metrics), "")
    baseline = baseline_values(result.baseline).get(metric)
    value = number(result.metrics.get(metric))
    return Row(
        domain.name,
        data=data,
        metric=f"{metric} {value}".strip() if result.outcome == "done" else result.outcome,
        baseline=""
        if baseline is None
        else f"{number(baseline)} ({baseline_name(result.baseline)})",
        seconds=f"{result.seconds:.1f}",
        report=str(result.report or ""),
        exit_code=EXIT_CODES.get(result.outcome, 1),
    )


def _error_file(out: Path) -> str:
    written = out / "error.txt"
    return str(written) if written.exists() else ""


def _show(app: App, rows: list[Row]) -> None:
    cells = [row.cells() for row in rows]
    if app.terminal.json or app.terminal.rank > 0 or not sys.stdout.isatty():
        app.terminal.result(text_table(HEADERS, cells))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*HEADERS)
    for row in rows:
        table.add_row(*(Text(cell, overflow="fold") for cell in row.cells()))
    Console().print(table)
