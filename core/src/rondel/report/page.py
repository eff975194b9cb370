"""``report.html``: one run on one self-contained page that opens offline."""

from __future__ import annotations

import base64
import hashlib
import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rondel.errors import DirectoryError, UsageError
from rondel.report.curves import run_charts
from rondel.report.drawing import SMALL, TALL, WIDE, draw, drawing_library
from rondel.report.headline import Headline, find_headline
from rondel.report.pictures import Gallery, Picture, embed, make_gallery
from rondel.report.run_record import Json, RunRecord, is_run
from rondel.report.tables import Table, evaluation_table, make_table, metrics_table, skipped_table
from rondel.report.wording import (
    format_count,
    format_duration,
    format_number,
    format_time,
    readable,
)

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATES = Path(__file__).parent / "templates"
MAX_CONFIG_CHARS = 60_000
SECTION_PICTURE_BYTES = 900_000
"""Of all pictures of sections together; small ones leave room for the others."""


@dataclass(frozen=True, kw_only=True)
class Section:
    """An extra part of the page that the run wrote to ``sections.json``."""

    title: str
    paragraphs: tuple[str, ...] = ()
    table: Table | None = None
    picture: Picture | None = None
    missing_picture: str | None = None


@dataclass(frozen=True, kw_only=True)
class Command:
    """A command that the reader may want to copy."""

    purpose: str
    line: str


def write_report(directory: str | os.PathLike[str]) -> Path:
    """Write ``report.html`` into a run directory, whatever state the run is in.

    Returns the path of the page. An older page is replaced in one step.

    Raises:
        UsageError: The directory is no run, or ``rondel[report]`` is not installed.
        DirectoryError: The page cannot be written.
    """
    folder = Path(directory)
    if not is_run(folder):
        raise UsageError(
            f"{str(folder)!r} is not a run directory: it has no manifest.json and no metrics.jsonl",
            hint="Name a directory that 'rondel <domain> train' wrote.",
        )
    record = RunRecord.read(folder)
    page = render("report.html", report_view(record))
    return write_page(folder / "report.html", page)


def write_page(path: Path, page: str) -> Path:
    """Write a page in one step, so that a reader never sees half of it."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        # a name may hold half a surrogate pair; that must not cost the page
        temporary.write_bytes(page.encode("utf-8", errors="replace"))
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise DirectoryError(
            f"cannot write the page: {error.strerror or error}",
            where=str(path),
            hint="Check that the folder exists and may be written.",
        ) from error
    return path


def render(
    template: str,
    view: Mapping[str, object],
    *,
    folder: Path | None = None,
    filters: Mapping[str, Callable[..., object]] | None = None,
) -> str:
    """Fill a template; everything from the run is escaped.

    Args:
        template: Its file name.
        view: What it shows.
        folder: Templates that are looked for before those of the core; they may extend
            ``layout.html`` and use the macros of ``parts.html``.
        filters: Filters of those templates.
    """
    with drawing_library("jinja2"):
        from markupsafe import Markup
    script = (TEMPLATES / "page.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    return (
        _environment(folder, filters or {})
        .get_template(template)
        .render(
            # the script is a file of this package, and the policy admits nothing but it
            script=Markup(script),  # noqa: S704
            script_hash=f"sha256-{digest}",
            **view,
        )
    )


def report_view(record: RunRecord) -> dict[str, object]:
    """Collect what the page of a run shows."""
    groups = run_charts(record)
    sections = _sections(record)
    return {
        "record": record,
        "title": record.name,
        "outcome": record.state,
        "reason": record.reason,
        "headline": find_headline(record),
        "bars": comparison_bars(find_headline(record)),
        "metrics": metrics_table(record),
        "facts": run_facts(record),
        "groups": groups,
        "phases": [band.name for band in groups[0].charts[0].bands] if groups else [],
        "gallery": _gallery(record),
        "sections": sections,
        "evaluations": evaluation_table(record),
        "notes": record.events("note"),
        "skipped": skipped_table(record),
        "commands": run_commands(record),
        "config": _shortened(record.config_text),
        "environment": _flat((record.manifest or {}).get("fingerprint")),
        "command_line_text": _command_line(record),
        "version": str((record.manifest or {}).get("rondel", "")),
        "error": _tail(record.error_text) if record.state in ("failed", "diverged") else None,
    }


def run_facts(record: RunRecord) -> list[tuple[str, str]]:
    """Return duration, length and data of a run as pairs of label and text."""
    data, fingerprint = record.data, (record.manifest or {}).get("fingerprint")
    device = fingerprint.get("device") if isinstance(fingerprint, dict) else None
    epochs = [row.epoch for row in record.rows if row.epoch is not None]
    samples = data.get("samples")
    facts = [
        ("Domain", record.domain),
        ("Duration", None if record.seconds is None else format_duration(record.seconds)),
        ("Steps", None if record.last_step is None else f"{record.last_step:,}"),
        # epochs are counted from zero in the journal
        ("Epochs", f"{max(epochs) + 1:,}" if epochs else None),
        ("Data", data.get("name")),
        ("Samples", f"{samples:,}" if isinstance(samples, int) else None),
        ("Data hash", data.get("hash")),
        ("Device", device),
        ("Started", format_time(record.started) if record.started else None),
    ]
    return [(label, str(text)) for label, text in facts if text not in (None, "")]


def comparison_bars(headline: Headline | None) -> list[tuple[str, str, float]]:
    """Return (name, value, share of the width) for the headline and its baseline."""
    if headline is None or headline.baseline is None:
        return []
    pairs = [("this run", headline.value), (headline.baseline_name, headline.baseline)]
    if not all(0 <= value < float("inf") for _, value in pairs):
        return []  # bars have no meaning for negative, NaN or infinite values
    largest = max(value for _, value in pairs)
    full = 1.0 if largest <= 1 and headline.mode == "max" else largest
    return [(n, format_number(v), round(100 * v / full, 1) if full else 0.0) for n, v in pairs]


def run_commands(record: RunRecord) -> list[Command]:
    """Return the commands that go on with this run or use its model."""
    place = shlex.quote(os.path.relpath(record.directory))
    domain = record.domain
    if domain is None:
        line = _command_line(record)
        return [Command(purpose="Start again", line=line)] if line else []
    resume = f"rondel {domain} train --resume {place}"
    purpose = "Resume where it stopped"
    if record.state == "done":
        resume, purpose = f"{resume} epochs=N", "Train for more epochs"
    commands = [] if record.state == "running" else [Command(purpose=purpose, line=resume)]
    if record.has_bundle:
        bundle = shlex.quote(os.path.join(os.path.relpath(record.directory), "bundle"))  # noqa: PTH118
        commands.append(Command(purpose="Predict", line=f"rondel {domain} predict {bundle} DATA"))
    commands.append(Command(purpose="Refresh this page", line=f"rondel runs show {place}"))
    return commands


def _environment(folder: Path | None, filters: Mapping[str, Callable[..., object]]) -> Environment:
    with drawing_library("jinja2"):
        from jinja2 import Environment, FileSystemLoader, StrictUndefined
    environment = Environment(
        loader=FileSystemLoader([TEMPLATES] if folder is None else [folder, TEMPLATES]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        number=format_number, readable=readable, count=format_count, time=format_time, **filters
    )
    environment.globals["svg"] = _drawer()
    return environment


def _drawer() -> partial[str]:
    from itertools import count

    from markupsafe import Markup

    numbers = count()

    def svg(chart: Any, *, size: str) -> str:
        drawn = draw(chart, {"small": SMALL, "tall": TALL, "wide": WIDE}[size], f"c{next(numbers)}")
        return Markup(drawn)  # noqa: S704 - drawn by us; the only text of the run is escaped there

    return partial(svg)


def _gallery(record: RunRecord) -> Gallery:
    used = {str(section.get("picture", "")) for section in record.sections}
    return make_gallery([path for path in record.pictures if f"pictures/{path.name}" not in used])


def _sections(record: RunRecord) -> list[Section]:
    sizes = [_file_bytes(record, entry.get("picture")) for entry in record.sections]
    most = fair_share(sizes, SECTION_PICTURE_BYTES)
    made = []
    for entry in record.sections:
        text, table, wanted = entry.get("text"), entry.get("table"), entry.get("picture")
        paragraphs = str(text).strip().split("\n\n") if text else []
        picture = _section_picture(record, wanted, most)
        made.append(
            Section(
                title=str(entry.get("title") or "Section"),
                paragraphs=tuple(paragraphs),
                table=_section_table(table) if isinstance(table, dict) else None,
                picture=picture,
                missing_picture=str(wanted) if wanted and picture is None else None,
            )
        )
    return made


def fair_share(sizes: Sequence[int], total: int) -> int:
    """Return the largest size that everything is cut down to so that all of it fits."""
    rest, left = total, sorted(size for size in sizes if size)
    for place, size in enumerate(left):
        share = rest // (len(left) - place)
        if size > share:
            return share
        rest -= size
    return total


def _file_bytes(record: RunRecord, name: object) -> int:
    try:
        return (record.directory / str(name)).stat().st_size if name else 0
    except (OSError, ValueError):
        return 0


def _section_table(entry: Json) -> Table | None:
    columns, rows = entry.get("columns"), entry.get("rows")
    if not isinstance(columns, list) or not isinstance(rows, list):
        return None
    return make_table(columns, [row for row in rows if isinstance(row, list)])


def _section_picture(record: RunRecord, name: object, max_bytes: int) -> Picture | None:
    if not isinstance(name, str):
        return None
    home = record.directory.resolve()
    try:
        path = (home / name).resolve()
    except (OSError, ValueError):  # a name that no file can have
        return None
    # a page must not carry files from outside its run
    return embed(path, max_bytes=max_bytes) if path.is_relative_to(home) else None


def _flat(value: object, prefix: str = "") -> list[tuple[str, str]]:
    if not isinstance(value, dict):
        return [(prefix, str(value))] if prefix else []
    pairs: list[tuple[str, str]] = []
    for key, inner in value.items():
        pairs.extend(_flat(inner, f"{prefix}.{key}" if prefix else str(key)))
    return pairs


def _command_line(record: RunRecord) -> str:
    command = (record.manifest or {}).get("command")
    return shlex.join(str(word) for word in command) if isinstance(command, list) else ""


def _shortened(text: str | None) -> str | None:
    if text is None or len(text) <= MAX_CONFIG_CHARS:
        return text
    return text[:MAX_CONFIG_CHARS] + "\n# ... the rest stands in config.toml"


def _tail(text: str | None, lines: int = 60) -> str | None:
    return "\n".join(text.strip().split("\n")[-lines:]) if text else None
