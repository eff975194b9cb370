"""Watch the learning rates, the speed and the memory of a run."""

from __future__ import annotations

import resource
import sys
import time
from typing import TYPE_CHECKING

import torch

from rondel.callback import Callback
from rondel.journal import Journal

if TYPE_CHECKING:
    from rondel.run import Run
    from rondel.update import Update


class LearningRateMonitor(Callback):
    """Log the learning rate of every parameter group, at every ``every``-th update."""

    name = "learning_rates"

    def __init__(self, *, every: int = 10) -> None:
        self.every = every

    def update_finished(self, run: Run, update: Update) -> None:
        """Log the rates that the update stepped with."""
        if update.updates % self.every == 0:
            groups = [group for opt in update.optimizers for group in opt.param_groups]
            rates = {f"lr.{update.name}.{i}": float(g["lr"]) for i, g in enumerate(groups)}
            run.log(**rates)


class Throughput(Callback):
    """Write samples per second and peak memory to timing.jsonl.

    Times differ between two runs of the same loop, so they have a file of their own:
    metrics.jsonl stays equal byte for byte.

    Args:
        every_s: Time between two rows.
    """

    name = "throughput"

    def __init__(self, *, every_s: float = 2.0) -> None:
        self.every_s = every_s
        self._journal: Journal | None = None

    def run_started(self, run: Run) -> None:
        """Open the file and start the clock."""
        if run.processes.writes:
            self._journal = Journal(run.directory / "timing.jsonl")
        self._start = self._last = time.monotonic()
        self._samples = samples_of(run)

    def update_finished(self, run: Run, update: Update) -> None:  # noqa: ARG002 - any update counts
        """Write a row when its time has come."""
        if time.monotonic() - self._last >= self.every_s:
            self._write(run)

    def run_finished(self, run: Run, outcome: str) -> None:  # noqa: ARG002 - the same for all
        """Write the last row."""
        self._write(run)
        if self._journal is not None:
            self._journal.close()

    def _write(self, run: Run) -> None:
        now, samples = time.monotonic(), samples_of(run)
        if self._journal is not None and now > self._last:
            self._journal.append(
                {
                    "step": run.step,
                    "elapsed_s": round(now - self._start, 3),
                    "samples_per_s": round((samples - self._samples) / (now - self._last), 1),
                    "memory_bytes": peak_memory_bytes(run.device),
                }
            )
            self._journal.flush()
        self._last, self._samples = now, samples


def samples_of(run: Run) -> int:
    """Return the samples handed out by all streams of the run."""
    return sum(counter.samples for counter in run.counters.streams.values())


def peak_memory_bytes(device: torch.device) -> int:
    """Return the peak memory: of the device, or of the process where there is none."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
