"""Claim: the default recipes cover every mode and class, and the alarm tells good games from bad.

Every row is the domain's loop with the settings that it names, each seed in a fresh process on one
thread; CPU seconds are of the whole process after its imports, data and proxy included. 'frechet'
is of the proxy's features, beside its floor (training images against held-out ones). Good games
must not make the alarm ring, bad ones must.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import mean
from typing import Any

from ratios import print_table, write_json
from workers import run_worker

SCRIPT = Path(__file__).resolve()
PLAIN_ADAM = {"optimizer": {"name": "adam", "lr": 1e-3, "betas": (0.9, 0.999)}}
PLAIN = {
    "r1": {"weight": 0.0},
    "discriminator": {**PLAIN_ADAM, "schedule": {"name": "constant"}},
    "generator": {**PLAIN_ADAM, "schedule": {"name": "constant"}, "ema": None},
}
GAMES: Mapping[str, Mapping[str, Any]] = {
    "ring of 8": {"dataset": "ring"},
    "grid of 25": {"dataset": "grid"},
    "digits": {},
    "Fashion-MNIST": {"dataset": "fashion"},
    "bad: plain Adam, no penalty": {**PLAIN, "epochs": 20},
    "bad: hinge alone, plain Adam": {**PLAIN, "loss": "hinge", "epochs": 20},
    "bad: overpowering discriminator": {
        "r1": {"weight": 0.0},
        "discriminator": {"optimizer": {"lr": 5e-3}},
        "generator": {"optimizer": {"lr": 1e-5}},
        "epochs": 24,
    },
    "bad: 60 images only": {"few": 60, "epochs": 1500, "evaluation": {"every": 150}},
}
SEEDS = (0, 1, 2, 3, 4)


@dataclass
class Row:
    """What a game came to, seed by seed."""

    game: str
    values: list[dict[str, float]] = field(default_factory=list)
    alarms: list[list[str]] = field(default_factory=list)
    floor: float | None = None
    cpu_s: list[float] = field(default_factory=list)
    failure: str = ""


def main() -> None:
    """Measure all games, print a table, store it if asked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--games", nargs="+", default=list(GAMES), choices=list(GAMES))
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS), help="(0 1 2 3 4)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="store the measurements")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--answer", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        game, seed = options.worker.split("|")
        options.answer.write_text(json.dumps(played(game, int(seed))))
        return
    rows = [Row(game) for game in options.games]
    for row in rows:
        for seed in options.seeds:
            answer = run_worker(SCRIPT, [f"{row.game}|{seed}"], timeout_s=3600)
            if answer.content is None:
                row.failure = answer.reason
                break
            row.values.append(answer.content["values"])
            row.alarms.append(answer.content["alarms"])
            row.floor = answer.content["floor"]
            row.cpu_s.append(answer.content["cpu_s"])
            print(row.game, seed, answer.content, flush=True)
        write_json(
            options.json, settings={"seeds": options.seeds}, rows=[asdict(row) for row in rows]
        )
    report(rows)


def played(game: str, seed: int) -> dict[str, Any]:
    """Train a game; return its last evaluation, what the alarm said, and the CPU seconds."""
    import numpy as np
    import torch
    from sklearn.datasets import load_digits

    from rondel import Run, keyed
    from rondel.config import Layer, resolve
    from rondel_gan.build import build
    from rondel_gan.config import GanConfig

    torch.set_num_threads(1)
    start = time.process_time()
    settings = dict(GAMES[game])
    few = settings.pop("few", None)
    with tempfile.TemporaryDirectory() as folder:
        if few is not None:
            digits = load_digits()
            data = Path(folder) / "few.npz"
            np.savez(data, images=digits.images[:few] / 16, labels=digits.target[:few])
            settings["data"] = str(data)
        run = {"seed": seed, "threads": 1, "checkpoint_every_s": 600.0}
        config = resolve(GanConfig, [Layer("benchmark", {**settings, "run": run})]).config
        keyed.reseed(keyed.key(seed, "build"))
        loop = build(config)
        with Run(Path(folder) / "run", settings=config.run) as opened:
            loop.train(opened)
            values = opened.evaluations["evaluation"]
    assert loop.protocol is not None
    table = loop.protocol.table
    floor = None
    if table is not None and "frechet" in table.columns:
        floor = float(table.rows[0][list(table.columns).index("frechet")])
    return {
        "values": values,
        "alarms": sorted({sign for _, sign, _ in loop.alarm.history}),
        "floor": floor,
        "cpu_s": time.process_time() - start,
    }


def report(rows: list[Row]) -> None:
    """Print what matters of each game."""
    header = ["game", "over the seeds: lowest..highest", "floor", "alarm", "CPU-s"]
    cells = []
    for row in rows:
        if not row.values:
            cells.append([row.game, f"failed: {row.failure}"[:80], "", "", ""])
            continue
        shown = [name for name in SHOWN if name in row.values[0]]
        spans = []
        for name in shown:
            values = [one[name] for one in row.values]
            spans.append(f"{name} {min(values):.4g}..{max(values):.4g}")
        rang = sum(bool(alarms) for alarms in row.alarms)
        signs = ", ".join(sorted({sign for alarms in row.alarms for sign in alarms}))
        told = f"{rang} of {len(row.alarms)}" + (f" ({signs})" if signs else "")
        floor = "" if row.floor is None else f"{row.floor:.2f}"
        cells.append([row.game, ", ".join(spans), floor, told, f"{mean(row.cpu_s):.0f}"])
    print_table(header, cells)


SHOWN = ("modes", "high_quality", "frechet", "precision", "recall", "classes", "novelty")


if __name__ == "__main__":
    main()
