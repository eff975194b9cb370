"""A run directory as it lies on the disk, read without torch.

The reader is tolerant: a run that is still going, was killed or is damaged is what one most wants
to look at. A missing or broken file is ``None`` or empty, a torn last line is left out.
"""

from __future__ import annotations

import fcntl
import json
import math
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, cast, get_args

from rondel.report.wording import natural_order

State = Literal["done", "running", "interrupted", "diverged", "failed", "new"]
"""What became of a run; ``new`` has neither rows nor a result."""

Values = Mapping[str, float]
Json = Mapping[str, Any]

RUN_FILES = ("manifest.json", "metrics.jsonl", "result.json")
LOCK_FILE = "run.lock"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One event of ``metrics.jsonl``; non-finite values are floats again."""

    step: int
    event: str
    name: str
    epoch: int | None = None
    phase: str | None = None
    updates: int | None = None
    values: Values = field(default_factory=dict)
    text: str | None = None


@dataclass(frozen=True, kw_only=True)
class Timing:
    """One row of ``timing.jsonl``."""

    step: int
    elapsed_s: float
    samples_per_s: float | None = None
    memory_bytes: float | None = None


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """Everything that a run left in its directory.

    Rows are read on first use, so that listing many runs stays fast.
    """

    directory: Path
    config_text: str | None
    manifest: Json | None
    result: Json | None
    best: Json | None
    error_text: str | None
    sections: tuple[Json, ...]
    pictures: tuple[Path, ...]
    has_bundle: bool
    state: State

    @classmethod
    def read(cls, directory: str | os.PathLike[str]) -> RunRecord:
        """Read a run directory in whatever state it is."""
        folder = Path(directory)
        result = _read_object(folder / "result.json")
        return cls(
            directory=folder,
            config_text=_read_text(folder / "config.toml"),
            manifest=_read_object(folder / "manifest.json"),
            result=result,
            best=_read_object(folder / "checkpoints" / "best.json"),
            error_text=_read_text(folder / "error.txt"),
            sections=_read_sections(folder / "sections.json"),
            pictures=_find_pictures(folder / "pictures"),
            has_bundle=_has_entries(folder / "bundle"),
            state=_find_state(folder, result),
        )

    @property
    def name(self) -> str:
        """The name of the directory."""
        return self.directory.resolve().name

    @property
    def domain(self) -> str | None:
        """The domain the run belongs to, if any."""
        return _text_or_none((self.manifest or {}).get("domain"))

    @property
    def started(self) -> str | None:
        """When the run directory was made, as an ISO time."""
        return _text_or_none((self.manifest or {}).get("created"))

    @property
    def data(self) -> Json:
        """Name, hash and number of samples of the data; empty if unknown."""
        return _object_or_empty((self.manifest or {}).get("data"))

    @property
    def reason(self) -> str | None:
        """Why the run ended."""
        if self.state == "running":
            return None
        if self.result is None and self.state == "interrupted":
            return "the process ended without writing a result"
        return _text_or_none((self.result or {}).get("reason"))

    @property
    def seconds(self) -> float | None:
        """How long the run took, or has taken so far."""
        finished = None if self.state == "running" else (self.result or {}).get("seconds")
        return as_number(finished) if finished is not None else self._last_elapsed_s

    @property
    def _last_elapsed_s(self) -> float | None:
        return self.timing[-1].elapsed_s if self.timing else None

    @property
    def last_step(self) -> int | None:
        """The safe point of the last complete row, found without reading the whole journal."""
        last: int | None = None
        for entry in _json_lines(_read_tail(self.directory / "metrics.jsonl")):
            if isinstance(entry.get("step"), int):
                last = entry["step"]
        return last

    @cached_property
    def rows(self) -> tuple[Row, ...]:
        """The complete rows of ``metrics.jsonl``."""
        text = _read_text(self.directory / "metrics.jsonl") or ""
        return tuple(row for entry in _json_lines(text) if (row := _row(entry)) is not None)

    @cached_property
    def timing(self) -> tuple[Timing, ...]:
        """The complete rows of ``timing.jsonl``."""
        text = _read_text(self.directory / "timing.jsonl") or ""
        return tuple(entry for line in _json_lines(text) if (entry := _timing(line)) is not None)

    @cached_property
    def skipped(self) -> tuple[Json, ...]:
        """The samples that could not be read and were left out."""
        return tuple(_json_lines(_read_text(self.directory / "skipped.jsonl") or ""))

    def events(self, event: str) -> list[Row]:
        """Return the rows of one kind: ``update``, ``evaluation``, ``log`` or ``note``."""
        return [row for row in self.rows if row.event == event]


def is_run(directory: Path) -> bool:
    """Tell whether a directory holds a run, by the files it contains."""
    return any((directory / name).is_file() for name in RUN_FILES)


def is_locked(directory: Path) -> bool:
    """Tell whether a living process holds the lock of the run; a left-over lock file is not enough."""
    path = directory / LOCK_FILE
    # a released lock is empty; asking no further cannot get in the way of a run that starts
    if not _size(path):
        return False
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _find_state(folder: Path, result: Json | None) -> State:
    outcome = (result or {}).get("outcome")
    known = cast(State, outcome) if outcome in get_args(State) else None
    # a resumed run still has the result of its first part, and a run that writes its
    # report at the end still holds its lock: the younger file decides
    if is_locked(folder) and (known is None or _is_younger(folder)):
        return "running"
    if known is not None:
        return known
    if (folder / "error.txt").is_file():
        return "failed"
    return "interrupted" if _size(folder / "metrics.jsonl") else "new"


def _is_younger(folder: Path) -> bool:
    return _modified(folder / "metrics.jsonl") > _modified(folder / "result.json")


def _modified(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _row(entry: Json) -> Row | None:
    step = entry.get("step")
    if not isinstance(step, int):
        return None
    phase, epoch, updates = entry.get("phase"), entry.get("epoch"), entry.get("updates")
    return Row(
        step=step,
        event=str(entry.get("event", "")),
        name=str(entry.get("name", "")),
        epoch=epoch if isinstance(epoch, int) else None,
        phase=None if phase is None else str(phase),
        updates=updates if isinstance(updates, int) else None,
        values=numbers(entry.get("values")),
        text=_text_or_none(entry.get("text")),
    )


def _timing(entry: Json) -> Timing | None:
    step, elapsed = entry.get("step"), as_number(entry.get("elapsed_s"))
    if not isinstance(step, int) or elapsed is None:
        return None
    return Timing(
        step=step,
        elapsed_s=elapsed,
        samples_per_s=as_number(entry.get("samples_per_s")),
        memory_bytes=as_number(entry.get("memory_bytes")),
    )


def numbers(values: object) -> dict[str, float]:
    """Keep the numbers of a JSON object; nested ones get dotted names, ``"nan"`` is a number."""
    found: dict[str, float] = {}
    for key, value in _object_or_empty(values).items():
        if isinstance(value, Mapping):
            found.update({f"{key}.{inner}": x for inner, x in numbers(value).items()})
        elif (number := as_number(value)) is not None:
            found[key] = number
    return found


def as_number(value: object) -> float | None:
    """Return a JSON number, or one of the strings ``"nan"``, ``"inf"``, ``"-inf"``, as a float."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        too_large = abs(value) > sys.float_info.max  # an integer of 400 digits is valid JSON
        return (math.inf if value > 0 else -math.inf) if too_large else float(value)
    if value in ("nan", "inf", "-inf"):
        return float(value)
    return None


def _text_or_none(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _object_or_empty(value: object) -> Json:
    return value if isinstance(value, Mapping) else {}


def _read_text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None


def _read_tail(path: Path, size_bytes: int = 65536) -> str:
    try:
        with path.open("rb") as file:
            file.seek(max(0, _size(path) - size_bytes))
            return file.read().decode("utf-8", errors="replace")
    except OSError:
        return ""


def _read_object(path: Path) -> Json | None:
    text = _read_text(path)
    try:
        value = json.loads(text) if text else None
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _read_sections(path: Path) -> tuple[Json, ...]:
    text = _read_text(path)
    try:
        value = json.loads(text) if text else []
    except (ValueError, RecursionError):
        return ()
    return (
        tuple(entry for entry in value if isinstance(entry, dict))
        if isinstance(value, list)
        else ()
    )


def _json_lines(text: str) -> Iterator[dict[str, Any]]:
    for line in text.split("\n"):
        try:
            value = json.loads(line) if line.strip() else None
        except (ValueError, RecursionError):  # a torn line: the process was stopped while it wrote
            continue
        if isinstance(value, dict):
            yield value


def _find_pictures(folder: Path) -> tuple[Path, ...]:
    try:
        found = [path for path in folder.iterdir() if path.suffix.lower() == ".png"]
    except OSError:
        return ()
    return tuple(sorted(found, key=lambda path: natural_order(path.stem)))


def _has_entries(folder: Path) -> bool:
    try:
        return next(folder.iterdir(), None) is not None
    except OSError:
        return False
