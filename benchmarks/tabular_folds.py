"""Claim: five folds side by side cost at most 2.5 times one network, and score as five runs do.

CPU seconds of a fresh process on one thread, from the table in memory to predictions, on adult and
letter: `one network` is the default of the domain, `five folds` its loop 'folds', `five runs` the
same five networks trained one after the other, each on the rows of the other four folds. All go
through the same number of epochs. A fold's network has half as many members as one network.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import mean
from typing import Any

from ratios import Ratio, print_table, write_json
from workers import run_worker

SCRIPT = Path(__file__).resolve()
ONE, FOLDS, RUNS = "one network", "five folds", "five runs"
LABELS = (ONE, FOLDS, RUNS)


@dataclass
class Row:
    """The measurements of one way on one table, seed by seed."""

    table: str
    label: str
    accuracy: list[float] = field(default_factory=list)
    log_loss: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)
    over_one: Ratio | None = None


def main() -> None:
    """Measure, print a table, store it if asked."""
    options = parse_options()
    if options.worker:
        table, label, seed, epochs = options.worker.split("|")
        options.answer.write_text(json.dumps(measured(table, label, int(seed), int(epochs))))
        return
    rows = []
    for table in options.tables:
        mine = {label: Row(table, label) for label in LABELS}
        for seed in options.seeds:
            for label in LABELS:
                job = f"{table}|{label}|{seed}|{options.epochs}"
                answer = run_worker(SCRIPT, [job], timeout_s=7200)
                if answer.content is None:
                    raise SystemExit(f"{job} failed: {answer.reason}")
                for name, value in answer.content.items():
                    getattr(mine[label], name).append(value)
                print(job, answer.content, flush=True)
        for row in mine.values():
            row.over_one = Ratio.of(row.cpu_s, mine[ONE].cpu_s)
        rows += mine.values()
    header = ["table", "way", "test accuracy", "test log-loss", "CPU-s", "over one network"]
    print_table(
        header,
        [
            [
                r.table,
                r.label,
                f"{mean(r.accuracy):.4f}",
                f"{mean(r.log_loss):.4f}",
                f"{mean(r.cpu_s):.0f}",
                r.over_one,
            ]
            for r in rows
        ],
    )
    settings = {"seeds": options.seeds, "epochs": options.epochs}
    write_json(options.json, settings=settings, rows=[asdict(row) for row in rows])


def parse_options() -> argparse.Namespace:
    """Read the command line; --worker and --answer are for the processes that we start."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--tables", nargs="+", default=["adult", "letter"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1], help="(0 1)")
    parser.add_argument("--epochs", type=int, default=16, help="of every way (16)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="store the measurements")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--answer", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def measured(table: str, label: str, seed: int, epochs: int) -> dict[str, float]:
    """Train one way; return test scores and CPU seconds."""
    from sklearn.metrics import accuracy_score, log_loss
    from sklearn.model_selection import train_test_split
    from tabular_sets import SETS

    frame, target = SETS[table]()
    train, test = train_test_split(frame, test_size=0.2, random_state=0, stratify=frame[target])
    start = time.process_time()
    ways = {ONE: one_network, FOLDS: five_folds, RUNS: five_runs}
    said = ways[label](train, test.drop(columns=target), target, seed, epochs)
    cpu_s = time.process_time() - start
    labels = said.columns[said.to_numpy().argmax(1)]
    return {
        "accuracy": float(accuracy_score(test[target], labels)),
        "log_loss": float(log_loss(test[target], said.to_numpy(), labels=list(said.columns))),
        "cpu_s": cpu_s,
    }


def one_network(train: Any, test: Any, target: str, seed: int, epochs: int) -> Any:
    """The default network."""
    return trained(train, test, target, seed, epochs)


def five_folds(train: Any, test: Any, target: str, seed: int, epochs: int) -> Any:
    """Five networks side by side."""
    return trained(train, test, target, seed, epochs, loop="folds")


def five_runs(train: Any, test: Any, target: str, seed: int, epochs: int) -> Any:
    """The same five networks one after the other, and the mean of what they say."""
    from sklearn.model_selection import StratifiedKFold

    said = []
    folds = StratifiedKFold(5, shuffle=True, random_state=seed)
    with tempfile.TemporaryDirectory() as folder:
        for rows, held in folds.split(train, train[target]):
            path = Path(folder) / "held.parquet"
            train.iloc[held].to_parquet(path)
            settings = {"valid": str(path), "network": {"members": 4}}
            said.append(trained(train.iloc[rows], test, target, seed, epochs, **settings))
    return sum(said[1:], said[0]) / len(said)


def trained(train: Any, test: Any, target: str, seed: int, epochs: int, **settings: Any) -> Any:
    """Train by the domain; return probabilities by class."""
    import rondel

    run = {"seed": seed, "threads": 1, "checkpoint_every_s": 1e6}
    shared = {"patience": None, "calibrate": False, "run": run, "epochs": epochs}
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        result = rondel.train(
            "tabular", data=train, target=target, out=out, quiet=True, **shared, **settings
        )
        said = result.bundle.predict(test)
    mine = [name for name in said if name.startswith("probability_")]
    return said[mine].rename(columns=lambda name: name.removeprefix("probability_"))


if __name__ == "__main__":
    main()
