"""Claim: a rondel run that is killed in mid-epoch goes on as if nothing had happened, bit for bit.

64 rows, batches of 8, 3 epochs, shuffled, dropout, AdamW. Each system trains straight through
(twice, to see that its straight run repeats at all), then again with a hard exit when step 13
begins, having saved after step 12 by its own means, and is resumed in a fresh process as its own
guide shows. Counted are the rows of the broken epoch that the surviving run was trained on twice
or never, the steps that the resumed process ran, and whether the final weights are the same bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from peers import RESUMES, Resume
from ratios import environment, print_table, write_json
from workers import Answer, run_worker

if TYPE_CHECKING:
    from interruption import Phase

SCRIPT = Path(__file__).resolve()
ROWS, STEPS_PER_EPOCH, ALL_STEPS, KILLED = 64, 8, 24, 9

Steps = list[list[int]]  # the row numbers of each training step


class NotRunError(Exception):
    """A system that could not be measured, and why."""


@dataclass(frozen=True)
class Outcome:
    """What the resume of one system did."""

    label: str
    twice: int
    never: int
    steps_run: int
    steps_left: int
    same_order: bool
    weights_equal: bool
    straight_repeats: bool

    @property
    def exact(self) -> bool:
        """Whether the resumed run is the straight run."""
        return self.same_order and self.weights_equal and self.steps_run == self.steps_left


def main() -> None:
    """Run all systems, print the table, store it if asked; exit 1 if rondel is not exact."""
    options = parse_options()
    if options.worker:
        options.answer.write_text(json.dumps(work(options)))
        return
    outcomes: list[Outcome] = []
    not_run: dict[str, str] = {}
    for system in RESUMES:
        if options.only and not any(t.lower() in system.label.lower() for t in options.only):
            continue
        try:
            outcomes.append(examine(system))
        except NotRunError as reason:
            not_run[system.label] = str(reason)
        print(f"{system.label}: done", flush=True)
    report(outcomes, not_run)
    stored = [asdict(outcome) | {"exact": outcome.exact} for outcome in outcomes]
    stored += [{"label": label, "not_run": reason} for label, reason in not_run.items()]
    write_json(
        options.json, settings={"rows": ROWS, "saved_after": 12, "steps": ALL_STEPS}, rows=stored
    )
    if any(outcome.label == "rondel" and not outcome.exact for outcome in outcomes):
        raise SystemExit("rondel's resume is not exact")


def parse_options() -> argparse.Namespace:
    """Read the command line; --worker and the rest are for the processes that we start."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="TEXT",
        help="systems whose label contains it; repeatable",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="store the outcomes")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--phase", help=argparse.SUPPRESS)
    parser.add_argument("--directory", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--answer", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def examine(system: Resume) -> Outcome:
    """Run the straight, the broken and the resumed process of one system and compare them."""
    with (
        tempfile.TemporaryDirectory(prefix="rondel-bench-") as first,
        tempfile.TemporaryDirectory(prefix="rondel-bench-") as second,
    ):
        folder = Path(first)
        repeated = finished(system, "straight", Path(second))
        straight = finished(system, "straight", folder)
        broken = run_phase(system, "broken", folder)
        if broken.code != KILLED:
            raise NotRunError(f"the run to be killed ended by itself: {broken.reason}")
        resumed = finished(system, "resumed", folder)
        steps = {phase: read_steps(folder, phase) for phase in ("straight", "broken", "resumed")}
    if len(steps["straight"]) != ALL_STEPS or len(steps["broken"]) != 12:
        raise NotRunError(
            f"{len(steps['straight'])} straight and {len(steps['broken'])} broken steps instead of 24 and 12"
        )
    return compare(
        system, steps, weights_equal=straight == resumed, straight_repeats=straight == repeated
    )


def compare(
    system: Resume, steps: dict[str, Steps], *, weights_equal: bool, straight_repeats: bool
) -> Outcome:
    """Count what the surviving history, the saved steps and the resumed ones, is made of."""
    resumed = steps["resumed"]
    last_epoch = max(len(resumed) - STEPS_PER_EPOCH, 0)
    broken_epoch = steps["broken"][STEPS_PER_EPOCH : system.saved_step] + resumed[:last_epoch]
    seen = Counter(row for batch in broken_epoch for row in batch)
    return Outcome(
        label=system.label,
        twice=sum(count > 1 for count in seen.values()),
        never=ROWS - len(seen),
        steps_run=len(resumed),
        steps_left=ALL_STEPS - 12,
        same_order=resumed == steps["straight"][system.saved_step :],
        weights_equal=weights_equal,
        straight_repeats=straight_repeats,
    )


def finished(system: Resume, phase: Phase, folder: Path) -> str:
    """Run a phase to its end and return the digest of its final weights."""
    answer = run_phase(system, phase, folder)
    if answer.content is None:
        raise NotRunError(f"{phase}: {answer.reason}")
    return str(answer.content["weights"])


def run_phase(system: Resume, phase: Phase, folder: Path) -> Answer:
    """Run one phase in a fresh process."""
    return run_worker(SCRIPT, [system.label, "--phase", phase, "--directory", str(folder)])


def read_steps(folder: Path, phase: str) -> Steps:
    """Read what the journal of a phase noted."""
    return [json.loads(line) for line in (folder / f"{phase}.jsonl").read_text().splitlines()]


def report(outcomes: Sequence[Outcome], not_run: dict[str, str]) -> None:
    """Print the table."""
    versions = ", ".join(f"{name} {version}" for name, version in environment().items())
    print(f"\n{versions}\n")
    table: list[tuple[object, ...]] = [
        (
            o.label,
            o.twice,
            o.never,
            f"{o.steps_run} ({o.steps_left} left)",
            yes(o.same_order),
            "equal" if o.weights_equal else "differ",
            yes(o.straight_repeats),
            yes(o.exact),
        )
        for o in outcomes
    ]
    table += [
        (label, f"not run: {reason}", "", "", "", "", "", "") for label, reason in not_run.items()
    ]
    header = (
        "system",
        "rows twice",
        "rows never",
        "steps run",
        "order as straight",
        "weights",
        "straight run repeats",
        "exact",
    )
    print_table(header, table)


def yes(value: bool) -> str:
    """Return yes or no."""
    return "yes" if value else "no"


def work(options: argparse.Namespace) -> dict[str, Any]:
    """Train one phase in this process and return the digest of the final weights."""
    import torch
    from interruption import Interruption

    torch.set_num_threads(1)
    task = Interruption(options.phase, options.directory)
    task.saves.mkdir(exist_ok=True)
    (system,) = (s for s in RESUMES if s.label == options.worker)
    weights = system.load()(task)
    digest = hashlib.sha256(b"".join(w.contiguous().numpy().tobytes() for w in weights))
    return {"weights": digest.hexdigest()}


if __name__ == "__main__":
    main()
