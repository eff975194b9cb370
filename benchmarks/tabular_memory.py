"""Claim: a table of S bytes adds at most 3 S to the memory of its training; streamed, at most 500 MB.

A parquet file of 1,000,000 rows and 50 columns of float32 (S = 200 MB) in one row group, as pandas
writes it, and a target of two classes. Peak resident memory of fresh processes, less that of one that
trains the same network on the first 20,000 rows, and, beside it, of one that only imports torch. All of
`rondel tabular train` counts, from reading to the report.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ratios import print_table, write_json
from workers import run_worker

TIMEOUT_S = 1800
STREAMED_MB = 500
FEW = 20_000
KEYS = ["epochs=1", "batch_size=1024", "network.width=64", "network.numbers=plain"]


@dataclass(frozen=True)
class Row:
    """One process: its peak, what that is above two others, and the most that is claimed.

    The claim is about what is above the process that trains on few rows.
    """

    label: str
    peak_mb: float
    above_torch_mb: float
    above_few_mb: float
    limit_mb: float | None
    seconds: float


def main() -> None:
    """Make the table, measure, print, store; exit 1 if a claim does not hold."""
    options = parse_options()
    if options.worker:
        options.answer.write_text(json.dumps(WORKERS[options.worker](options)))
        return
    size_mb = options.rows * options.columns * 4 / 1e6
    with tempfile.TemporaryDirectory(prefix="rondel-memory-") as folder:
        path = Path(folder) / "table.parquet"
        ask("make", options, path)
        told = [
            (label, ask(worker, options, path), limit)
            for label, worker, limit in (
                ("import torch", "bare", None),
                ("import rondel_tabular", "imports", None),
                (f"{FEW:,} rows in memory", "few", None),
                ("all rows in memory", "whole", 3 * size_mb),
                ("streamed, first run", "streamed", STREAMED_MB),
                ("streamed, from the cache", "streamed", STREAMED_MB),
            )
        ]
    torch_mb, few_mb = told[0][1]["peak_mb"], told[2][1]["peak_mb"]
    rows = [
        Row(label, peak, peak - torch_mb, peak - few_mb, limit, answer["seconds"])
        for label, answer, limit in told
        for peak in (answer["peak_mb"],)
    ]
    header = ("process", "peak MB", "above torch", "above few rows", "at most", "CPU s")
    print_table(header, [shown(row) for row in rows])
    settings = {name: getattr(options, name) for name in ("rows", "columns", "keys")}
    write_json(options.json, settings={**settings, "table_mb": size_mb}, rows=rows)
    broken = [row.label for row in rows if row.limit_mb and row.above_few_mb > row.limit_mb]
    if broken:
        raise SystemExit(f"more memory than claimed: {', '.join(broken)}")


def shown(row: Row) -> tuple[str, ...]:
    """Return the cells of a row."""
    limit = "" if row.limit_mb is None else f"{row.limit_mb:.0f}"
    sizes = (f"{size:.0f}" for size in (row.peak_mb, row.above_torch_mb, row.above_few_mb))
    return row.label, *sizes, limit, f"{row.seconds:.0f}"


def ask(worker: str, options: argparse.Namespace, path: Path) -> dict[str, float]:
    """Run a worker in a fresh process; return what it says of itself."""
    arguments = [worker, "--table", str(path)]
    arguments += ["--rows", str(options.rows), "--columns", str(options.columns), *options.keys]
    answer = run_worker(Path(__file__).resolve(), arguments, timeout_s=TIMEOUT_S)
    if answer.content is None:
        raise SystemExit(f"{worker} failed: {answer.reason}")
    told: dict[str, float] = answer.content
    return told


# -- workers ---------------------------------------------------------------------------------------


def make(options: argparse.Namespace) -> dict[str, float]:
    """Write the table, and its first rows beside it."""
    import numpy as np
    import pandas as pd

    draw = np.random.default_rng(0)
    numbers = draw.standard_normal((options.rows, options.columns), dtype=np.float32)
    frame = pd.DataFrame(numbers, columns=[f"x{place}" for place in range(options.columns)])
    frame["y"] = np.where(numbers[:, :5].sum(1) + draw.standard_normal(options.rows) > 0, "a", "b")
    frame.to_parquet(options.table, index=False)
    frame.head(FEW).to_parquet(few_of(options), index=False)
    return measured()


def bare(options: argparse.Namespace) -> dict[str, float]:  # noqa: ARG001
    """Import torch."""
    import torch  # noqa: F401

    return measured()


def imports(options: argparse.Namespace) -> dict[str, float]:  # noqa: ARG001
    """Import the domain."""
    import rondel_tabular.build  # noqa: F401

    return measured()


def few_of(options: argparse.Namespace) -> Path:
    """Return the file of the first rows."""
    table: Path = options.table
    return table.with_name("few.parquet")


def few(options: argparse.Namespace) -> dict[str, float]:
    """Train on the first rows in memory."""
    return trained(options, {"data": few_of(options)})


def whole(options: argparse.Namespace) -> dict[str, float]:
    """Train on the table in memory."""
    return trained(options, {})


def streamed(options: argparse.Namespace) -> dict[str, float]:
    """Train on the table on the disk."""
    cache = options.table.with_name("cache")
    return trained(options, {"streaming": True, "cache": str(cache)})


def trained(options: argparse.Namespace, config: dict[str, Any]) -> dict[str, float]:
    """Train as a user does."""
    import torch

    import rondel

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        given = dict(item.split("=", 1) for item in options.keys)
        out = Path(folder) / "run"
        keys = {"data": options.table, "target": "y", **given, **config}
        rondel.train("tabular", out=out, **keys)
    return measured()


def measured() -> dict[str, float]:
    """Return peak memory and CPU time of this process."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return {"peak_mb": usage.ru_maxrss * 1024 / 1e6, "seconds": usage.ru_utime + usage.ru_stime}


WORKERS = {
    "make": make,
    "bare": bare,
    "imports": imports,
    "few": few,
    "whole": whole,
    "streamed": streamed,
}


def parse_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows (1,000,000)")
    parser.add_argument("--columns", type=int, default=50, help="columns (50)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="store the measurements")
    parser.add_argument("--worker", choices=WORKERS, help=argparse.SUPPRESS)
    parser.add_argument("--answer", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--table", type=Path, help=argparse.SUPPRESS)
    parser.add_argument(
        "keys",
        nargs="*",
        default=KEYS,
        help=f"config keys ({' '.join(KEYS)})",
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
