"""Claim: a rondel step costs less than the hand-written one, and less than that of every peer.

CPU time of a training step, 20-32-1 MLP, batches of 32 in memory, one thread. Each measurement is
a fresh process, and right before it another fresh process that imports nothing but torch times the
hand-written loop, with torch's default AdamW and with the fused kernel. The numbers to read are the
ratios of such pairs. Every row must end with the weights of the hand-written loop, so nobody is
fast by not training.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from peers import LOOPS, Loop
from ratios import Ratio, environment, print_table, write_json
from workers import Answer, run_worker

if TYPE_CHECKING:
    from regression import Weights

SCRIPT = Path(__file__).resolve()
BASELINE = "hand-written baselines"
# distance to the hand-written weights over the distance that training moved them: kernels differ by rounding
TOLERANCE = 1e-2


@dataclass
class Row:
    """The measurements of one loop, round by round, in microseconds a step."""

    loop: Loop
    microseconds: list[float] = field(default_factory=list)
    over_default: list[float] = field(default_factory=list)
    over_fused: list[float] = field(default_factory=list)
    weight_error: float | None = None
    not_run: str | None = None

    @property
    def ratio(self) -> Ratio:
        """Return the ratio to the hand-written loop with torch's default AdamW."""
        return Ratio.of(self.microseconds, self.over_default)

    @property
    def ratio_fused(self) -> Ratio:
        """Return the ratio to the hand-written loop with the fused AdamW."""
        return Ratio.of(self.microseconds, self.over_fused)


def main() -> None:
    """Measure all rows, print the table, store it if asked; exit 1 if a row trained otherwise."""
    options = parse_options()
    if options.worker:
        options.answer.write_text(json.dumps(work(options)))
        return
    loops = [loop for loop in LOOPS if chosen(loop, options.only)]
    rows = measure(loops, options)
    report(rows)
    settings = {"rounds": options.rounds, "steps": options.steps, "warmup": options.warmup}
    write_json(options.json, settings=settings, rows=[record(row) for row in rows])
    wrong = [
        row.loop.label
        for row in rows
        if row.weight_error is not None and row.weight_error > TOLERANCE
    ]
    if wrong:
        raise SystemExit(f"Trained to other weights than the hand-written loop: {', '.join(wrong)}")


def parse_options() -> argparse.Namespace:
    """Read the command line; --worker and --answer are for the processes that we start."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7, help="pairs per row (7)")
    parser.add_argument("--steps", type=int, default=1000, help="steps per run (1000)")
    parser.add_argument("--warmup", type=int, default=100, help="first steps, not counted (100)")
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="TEXT",
        help="rows whose label contains it; repeatable",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="store the measurements")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--fused-first", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--answer", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.steps < options.warmup + 2:
        parser.error("--steps must exceed --warmup by 2 at least")
    return options


def chosen(loop: Loop, only: Sequence[str]) -> bool:
    """Whether the row was asked for."""
    return not only or any(text.lower() in loop.label.lower() for text in only)


def measure(loops: Sequence[Loop], options: argparse.Namespace) -> list[Row]:
    """Run the rounds; a row that fails once is reported as not run and left out from then on."""
    rows = [Row(loop) for loop in loops]
    for number in range(options.rounds):
        for row in rows:
            if row.not_run is None:
                measure_pair(row, options, fused_first=bool(number % 2))
        print(f"round {number + 1} of {options.rounds} done", flush=True)
    return rows


def measure_pair(row: Row, options: argparse.Namespace, *, fused_first: bool) -> None:
    """Time the hand-written loops in a clean process, then the row in its own."""
    baseline = ask(BASELINE, options, *(["--fused-first"] if fused_first else []))
    if baseline.content is None:
        raise SystemExit(f"The hand-written loop failed: {baseline.reason}")
    answer = ask(row.loop.label, options)
    if answer.content is None:
        row.not_run = answer.reason
        return
    expected = baseline.content["fused" if row.loop.kernel == "fused" else "default"]
    row.microseconds.append(answer.content["microseconds"])
    row.over_default.append(baseline.content["default"]["microseconds"])
    row.over_fused.append(baseline.content["fused"]["microseconds"])
    if row.loop.exact:
        error = weight_error(
            answer.content["weights"], expected["weights"], baseline.content["first_weights"]
        )
        row.weight_error = max(error, row.weight_error or 0.0)


def ask(name: str, options: argparse.Namespace, *flags: str) -> Answer:
    """Run one worker."""
    counts = ["--steps", str(options.steps), "--warmup", str(options.warmup)]
    return run_worker(SCRIPT, [name, *counts, *flags])


def weight_error(
    weights: Sequence[float], expected: Sequence[float], first: Sequence[float]
) -> float:
    """Return the distance between two results over the distance that training covered."""
    return distance(weights, expected) / distance(expected, first)


def distance(a: Sequence[float], b: Sequence[float]) -> float:
    """Return the Euclidean distance."""
    return math.dist(a, b)


def report(rows: Sequence[Row]) -> None:
    """Print the table, sorted by the median ratio; rows that did not run stand last."""
    ran = sorted((row for row in rows if row.not_run is None), key=lambda row: row.ratio.median)
    versions = ", ".join(f"{name} {version}" for name, version in environment().items())
    print(f"\n{versions}\n")
    table = [
        (
            row.loop.label,
            row.loop.kernel,
            f"{min(row.microseconds):.0f}",
            f"{row.ratio.lowest:.2f}",
            row.ratio,
            row.ratio_fused,
            "not compared" if row.weight_error is None else f"{row.weight_error:.0e}",
        )
        for row in ran
    ]
    table += [
        (row.loop.label, row.loop.kernel, f"not run: {row.not_run}", "", "", "", "")
        for row in rows
        if row.not_run
    ]
    header = (
        "loop",
        "AdamW",
        "min us/step",
        "min ratio",
        "over hand-written: median (span)",
        "over hand-written fused: median (span)",
        "weights differ",
    )
    print_table(header, table)


def record(row: Row) -> dict[str, Any]:
    """Return a row as stored: its measurements and their summary."""
    summary = (
        {}
        if row.not_run
        else {
            "ratio": asdict(row.ratio),
            "ratio_fused": asdict(row.ratio_fused),
            "median_us": median(row.microseconds),
        }
    )
    return {**asdict(row), **summary}


def work(options: argparse.Namespace) -> dict[str, Any]:
    """Do what one worker process is for, and return its answer."""
    import torch

    torch.set_num_threads(1)
    if options.worker == BASELINE:
        return baselines(options)
    (loop,) = (loop for loop in LOOPS if loop.label == options.worker)
    return timed(loop.load(), options)


def baselines(options: argparse.Namespace) -> dict[str, Any]:
    """Time both hand-written loops; their order alternates with the rounds."""
    from regression import Regression, hand_written, weights_of

    order = (True, False) if options.fused_first else (False, True)
    content: dict[str, Any] = {"first_weights": flat(weights_of(Regression(2, 0).model()))}
    for fused in order:
        content["fused" if fused else "default"] = timed(hand_written, options, fused=fused)
    return content


def timed(train: Any, options: argparse.Namespace, **settings: bool) -> dict[str, Any]:
    """Train once and return the time per step and the final weights."""
    from regression import Regression

    regression = Regression(options.steps, options.warmup)
    weights = train(regression, **settings)
    return {"microseconds": regression.clock.microseconds, "weights": flat(weights)}


def flat(weights: Weights) -> list[float]:
    """Return all weights as one list of numbers."""
    return [value for tensor in weights for value in tensor.flatten().tolist()]


if __name__ == "__main__":
    main()
