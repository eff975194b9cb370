"""Claim: a rondel checkpoint, hashed and without pickle, costs about what torch.save costs.

Wall time and CPU time of writing and reading the state of a model with AdamW, about 100 MB, in
alternation. rondel always flushes to the disk before it renames; torch.save does not, so it is
timed both ways, and the fair comparison of a write that survives a power cut is the one with fsync.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

import torch
from ratios import Ratio, print_table, write_json

from rondel.checkpoint import read_checkpoint, write_checkpoint

State = dict[str, Any]


@dataclass
class Row:
    """The measurements of one operation, round by round, in seconds, and what it is compared with."""

    label: str
    baseline: str
    wall_s: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)


def main() -> None:
    """Measure, check that what was read is what was written, print, store."""
    options = parse_options()
    torch.set_num_threads(1)
    state = adamw_state(options.megabytes)
    rows = {row.label: row for row in ROWS}
    with tempfile.TemporaryDirectory(prefix="rondel-bench-", dir=options.directory) as folder:
        for _ in range(options.rounds):
            one_round(rows, state, Path(folder))
    print(f"{size(state) / 1e6:.0f} MB, {options.rounds} rounds\n")
    report(rows)
    write_json(
        options.json,
        settings={"bytes": size(state), "rounds": options.rounds},
        rows=list(rows.values()),
    )


def parse_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=9, help="rounds (9)")
    parser.add_argument("--megabytes", type=int, default=100, help="size of the state (100)")
    parser.add_argument(
        "--directory", type=Path, help="where to write; by default the folder for temporary files"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="store the measurements")
    return parser.parse_args()


ROWS = (
    Row("torch.save", "torch.save"),
    Row("torch.save + fsync", "torch.save + fsync"),
    Row("rondel write, as it is (fsync)", "torch.save + fsync"),
    Row("rondel write, fsync taken out", "torch.save"),
    Row("torch.load", "torch.load"),
    Row("rondel read (hashes checked)", "torch.load"),
)


def one_round(rows: dict[str, Row], state: State, folder: Path) -> None:
    """Write and read once each way; each write starts with an empty folder."""
    timed(rows["torch.save"], lambda: torch.save(state, folder / "plain.pt"))
    timed(rows["torch.save + fsync"], lambda: save_flushed(state, folder / "flushed.pt"))
    root = folder / "rondel"
    with without_fsync():
        timed(rows["rondel write, fsync taken out"], lambda: write(root, state))
    shutil.rmtree(root)
    path = timed(rows["rondel write, as it is (fsync)"], lambda: write(root, state))
    timed(rows["torch.load"], lambda: torch.load(folder / "flushed.pt"))
    _, tree = timed(rows["rondel read (hashes checked)"], lambda: read_checkpoint(path))
    check_equal(state, tree)
    shutil.rmtree(root)


def write(root: Path, state: State) -> Path:
    """Write a checkpoint."""
    root.mkdir(exist_ok=True)
    return write_checkpoint(root, 1, state, meta={})


def save_flushed(state: State, path: Path) -> None:
    """Save as the careful do: to a temporary name, fsync, rename, fsync the folder."""
    temporary = path.with_suffix(".tmp")
    with temporary.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(path)
    descriptor = os.open(path.parent, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


def timed(row: Row, operation: Callable[[], Any]) -> Any:
    """Run an operation with an idle disk, note its time, and return its result."""
    os.sync()  # or the operation pays for what the one before left in the cache
    wall, cpu = time.perf_counter(), time.process_time()
    result = operation()
    row.wall_s.append(time.perf_counter() - wall)
    row.cpu_s.append(time.process_time() - cpu)
    return result


@contextmanager
def without_fsync() -> Iterator[None]:
    """Make fsync do nothing, to see what the rest of a write costs."""
    with patch.object(os, "fsync", lambda _descriptor: None):
        yield


def adamw_state(megabytes: int) -> State:
    """Return the state of a stack of linear layers and its AdamW after one step."""
    width = 512
    layers = max(
        1, round(megabytes * 1e6 / (3 * 4 * width * (width + 1)))
    )  # weight and two moments
    model = torch.nn.Sequential(*(torch.nn.Linear(width, width) for _ in range(layers)))
    optimizer = torch.optim.AdamW(model.parameters())
    for parameter in model.parameters():
        parameter.grad = torch.randn_like(parameter)
    optimizer.step()
    moments = {str(key): dict(value) for key, value in optimizer.state_dict()["state"].items()}
    return {"model": dict(model.state_dict()), "optimizer": moments}


def size(state: Any) -> int:
    """Return the bytes of all tensors of a state."""
    if isinstance(state, dict):
        return sum(size(value) for value in state.values())
    return int(state.nbytes)


def check_equal(expected: Any, found: Any) -> None:
    """Fail unless a state came back bit for bit."""
    if isinstance(expected, dict):
        if list(expected) != list(found):
            raise SystemExit(
                f"read other keys than were written: {list(found)} for {list(expected)}"
            )
        for key, value in expected.items():
            check_equal(value, found[key])
    elif not torch.equal(expected, found):
        raise SystemExit("read other values than were written")


def report(rows: dict[str, Row]) -> None:
    """Print the table."""
    table = [
        (
            row.label,
            f"{min(row.wall_s) * 1e3:.0f}",
            f"{median(row.wall_s) * 1e3:.0f}",
            f"{median(row.cpu_s) * 1e3:.0f}",
            row.baseline,
            Ratio.of(row.wall_s, rows[row.baseline].wall_s),
            Ratio.of(row.cpu_s, rows[row.baseline].cpu_s),
        )
        for row in rows.values()
    ]
    header = (
        "operation",
        "min ms",
        "median ms",
        "CPU ms",
        "compared with",
        "wall ratio: median (span)",
        "CPU ratio: median (span)",
    )
    print_table(header, table)


if __name__ == "__main__":
    main()
