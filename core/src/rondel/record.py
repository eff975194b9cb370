"""What a run leaves behind: its directory, log, checkpoints and result, in one transaction.

The log is as long as the last checkpoint remembers, plus what was written since; a resumed run
cuts it back to there. Only the first process writes.
"""

from __future__ import annotations

import contextlib
import json
import math
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rondel.checkpoint import (
    latest_checkpoint,
    list_checkpoints,
    prune_checkpoints,
    read_checkpoint,
    write_checkpoint,
)
from rondel.data_manifest import DataManifest
from rondel.directory import RunDirectory, new_run_path, write_atomically
from rondel.errors import CheckpointError, DataError, DirectoryError, DivergedError, Interrupted
from rondel.fingerprint import fingerprint, fingerprint_difference, rondel_version
from rondel.journal import Journal
from rondel.loop import Baseline, Watch
from rondel.processes import Processes
from rondel.rescue import Failure, Lookout, clear
from rondel.sample import Unreadable
from rondel.settings import RunConfig
from rondel.signals import SignalFlag

FAILURES = "failures"
"""The folder in which several processes tell each other why one of them failed."""


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Where a run comes from, for its manifest and its result.

    Args:
        domain: The domain, or None for an own loop.
        config: The resolved config as TOML, itself a valid recipe.
        data: What was trained on, with its content hash.
        command: The command line.
        watch: The metric that decides which state is the best.
        baseline: What a guess that learnt nothing achieves.
    """

    domain: str | None = None
    config: str | None = None
    data: DataManifest | None = None
    command: tuple[str, ...] = ()
    watch: Watch | None = None
    baseline: Baseline | None = None


class Record:
    """The files of one run, held open while it runs."""

    def __init__(
        self, directory: str | Path | None, provenance: Provenance, settings: RunConfig
    ) -> None:
        self.signals = SignalFlag()
        self.printer: Callable[[str], None] = print_to_stderr
        """How messages reach the user; a progress display puts itself in its place."""
        self._wanted = directory
        self._provenance = provenance
        self._settings = settings
        self._lookout: Lookout | None = None
        self._metrics: Journal | None = None
        self._skipped: Journal | None = None

    @property
    def path(self) -> Path:
        """The run directory."""
        return self._directory.path

    @property
    def path_or_none(self) -> Path | None:
        """The run directory, or None before it was opened."""
        directory = getattr(self, "_directory", None)
        return None if directory is None else directory.path

    @property
    def skipped(self) -> Path:
        """The list of samples that could not be read."""
        return self._directory.skipped

    # -- opening -------------------------------------------------------------------------------

    @contextmanager
    def opened(self, processes: Processes, resume: bool) -> Iterator[Any]:
        """Hold the directory; yield the state of the checkpoint to resume from, or None."""
        self._processes = processes
        with ExitStack() as stack:
            self._directory = self._open(resume)
            stack.callback(self._directory.close)
            if processes.size > 1:
                lookout = Lookout(self._directory.path / FAILURES, processes.rank, self._last_words)
                self._lookout = stack.enter_context(lookout)
            saved = self._saved() if resume else None
            if processes.writes:
                self._metrics = stack.enter_context(Journal(self._directory.metrics))
                self._skipped = stack.enter_context(Journal(self._directory.skipped))
                meta = saved[0].meta if saved else {"metrics_bytes": 0, "skipped_bytes": 0}
                self._metrics.truncate(int(meta["metrics_bytes"]))
                self._skipped.truncate(int(meta["skipped_bytes"]))
                self._describe(resume)
                self._directory.withdraw_result()
            stack.enter_context(self.signals)
            processes.barrier()
            yield saved[1] if saved else None

    def _open(self, resume: bool) -> RunDirectory:
        """Create or open the directory; the first process does it, the others follow."""
        made = self._processes.lead(lambda: self._make(resume))
        path = self._processes.gather(str(made.path) if made else "")[0]
        return made or RunDirectory.open(path, domain=self._provenance.domain, read_only=True)

    def _make(self, resume: bool) -> RunDirectory:
        domain = self._provenance.domain
        path = self._wanted or new_run_path("runs", domain or "run")
        if not resume:
            return RunDirectory.create(path, domain=domain, config=self._provenance.config)
        made = RunDirectory.open(path, domain=domain)
        clear(made.path / FAILURES)
        return made

    def _saved(self) -> tuple[Any, Any] | None:
        saved = latest_checkpoint(self._directory.checkpoints, self.say)
        if saved is None:
            self.say("No checkpoint was written yet: the run starts anew.")
            return None
        # a checkpoint damaged or newer than the one we continue from would shadow its successors
        for info in list_checkpoints(self._directory.checkpoints):
            if info.step > saved[0].step and self._processes.writes:
                damaged = info.path.with_name(f"damaged-{info.path.name}")
                info.path.replace(damaged)
        return saved

    def _describe(self, resume: bool) -> None:
        """Write manifest and config, or compare them with what a resumed run was started with."""
        known = json.loads(self._directory.manifest.read_text(encoding="utf-8"))
        now = fingerprint(str(self._processes.device))
        data = self._provenance.data
        if resume and known.get("fingerprint"):
            then = known["fingerprint"] | {"processes": str(known.get("processes", 1))}
            mine = now | {"processes": str(self._processes.size)}
            for line in fingerprint_difference(then, mine):
                self.say(f"Not bit for bit the same run any more: {line}")
            if data is not None and known.get("data"):
                check_same_data(DataManifest.from_json(known["data"]), data)
        command = [] if resume else list(self._provenance.command)
        manifest = known | {
            "rondel": rondel_version(),
            "command": known.get("command") or command,
            "processes": self._processes.size,
            "fingerprint": now,
            "data": data.to_json() if data else None,
        }
        write_json(self._directory.manifest, manifest)
        if self._provenance.config is not None:
            write_atomically(self._directory.config, self._provenance.config.encode())

    # -- during the run ------------------------------------------------------------------------

    def row(self, row: Mapping[str, Any]) -> None:
        """Append a row to metrics.jsonl."""
        if self._metrics is not None:
            self._metrics.append(row)
            self._metrics.flush()

    def skip(self, sample: Unreadable) -> None:
        """Note a sample that could not be read."""
        if self._skipped is not None:
            row = {"index": sample.index, "sample": sample.name, "cause": sample.cause}
            self._skipped.append(row)
            self._skipped.flush()
        self.say(f"{sample.name} was skipped: {sample.cause}")

    def say(self, message: str) -> None:
        """Tell the user, and keep it in log.txt."""
        if not self._processes.writes:
            return
        self.printer(message)
        # a full disk must not silence what is said about it
        with contextlib.suppress(OSError), self._directory.log.open("a", encoding="utf-8") as log:
            log.write(message + "\n")

    def save(self, step: int, state: Mapping[str, Any], protected: set[int]) -> Path:
        """Write a checkpoint together with the lengths of the log files."""
        root = self._directory.checkpoints
        if self._metrics is None or self._skipped is None:
            return root
        meta = {
            "metrics_bytes": self._metrics.sync(),
            "skipped_bytes": self._skipped.sync(),
            "domain": self._provenance.domain,
            "data": self._provenance.data.hash if self._provenance.data else None,
        }
        path = write_checkpoint(root, step, dict(state), meta=meta)
        prune_checkpoints(root, self._settings.keep_checkpoints, protected)
        return path

    def read(self, step: int) -> Any:
        """Read the checkpoint of a safe point.

        Raises:
            CheckpointError: There is none, or it is damaged.
        """
        root = self._directory.checkpoints
        for info in list_checkpoints(root):
            if info.step == step:
                return read_checkpoint(info.path)[1]
        raise CheckpointError(
            f"there is no checkpoint of step {step}", where=str(root), hint="Was it removed?"
        )

    # -- the end -------------------------------------------------------------------------------

    def interrupted(self, reason: str, step: int) -> Interrupted:
        """Return the error that ends a run at a safe point."""
        return Interrupted(
            f"stopped by {reason} at step {step}; everything is saved",
            where=str(self.path),
            hint=f"Continue with --resume {self.path}",
        )

    @staticmethod
    def outcome(error: BaseException | None) -> str:
        """Name how a run ended."""
        if error is None:
            return "done"
        if isinstance(error, Interrupted | KeyboardInterrupt):
            return "interrupted"
        return "diverged" if isinstance(error, DivergedError) else "failed"

    def conclude(
        self,
        outcome: str,
        reason: str | None,
        metrics: Mapping[str, float],
        seconds: float,
        error: BaseException | None,
    ) -> None:
        """Write result.json, and error.txt if there is something to read there."""
        if self._lookout is not None and error is not None:
            self._lookout.announce(error)
        if not self._processes.writes:
            return
        try:
            result = self._result(outcome, reason, metrics, round(seconds, 3))
            write_json(self._directory.result, result)
            if error is not None and outcome in {"failed", "diverged"}:
                text = "".join(traceback.format_exception(error))
                self._directory.error.write_text(text, encoding="utf-8")
        except (DirectoryError, OSError) as late:
            self.printer(f"The result could not be written: {late}")

    def _last_words(self, failure: Failure) -> None:
        """Write the result of a run that ends because another process failed."""
        if self._processes.writes:
            outcome = "diverged" if failure.code == DivergedError.exit_code else "failed"
            reason = f"process {failure.rank}: {failure.message}"
            write_json(self._directory.result, self._result(outcome, reason, {}, None))

    def _result(
        self,
        outcome: str,
        reason: str | None,
        metrics: Mapping[str, float],
        seconds: float | None,
    ) -> dict[str, Any]:
        watch, baseline = self._provenance.watch, self._provenance.baseline
        return {
            "outcome": outcome,
            "reason": reason,
            "metrics": dict(metrics),
            "baseline": baseline and {"name": baseline.name, "values": dict(baseline.values)},
            "watch": watch and {"metric": watch.metric, "mode": watch.mode},
            "best": read_best(self._directory.checkpoints),
            "seconds": seconds,
        }


def read_best(checkpoints: Path) -> dict[str, Any] | None:
    """Read the pointer to the best checkpoint; a damaged one is none, and is soon written anew."""
    try:
        best = json.loads((checkpoints / "best.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    return best if isinstance(best, dict) else None


def write_json(path: Path, content: Any) -> None:
    """Write JSON atomically; numbers that JSON lacks become strings."""

    def finite(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: finite(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [finite(item) for item in value]
        if isinstance(value, float) and not math.isfinite(value):
            return str(value)
        return value

    text = json.dumps(finite(content), indent=2, ensure_ascii=False, allow_nan=False)
    write_atomically(path, text.encode() + b"\n")


def check_same_data(saved: DataManifest, now: DataManifest) -> None:
    """Raise if the data of a resumed run is not what it was started with.

    Raises:
        DataError: Names what changed.
    """
    changes = saved.difference(now)
    if changes:
        raise DataError(
            f"the data changed since the run was started: {'; '.join(changes[:5])}",
            where=now.name,
            hint="Put the old data back, or start a new run.",
        )


def print_to_stderr(message: str) -> None:
    """Print one line for the user."""
    print(message, file=sys.stderr, flush=True)
