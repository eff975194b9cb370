"""Claim: `rondel --help` loads no torch and costs at most ten times a bare Python start.

CPU time of fresh processes, alternated round by round; the numbers to read are the ratios to a
bare Python of the same round. `import torch` is a row so that the saving can be seen.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from ratios import Ratio, print_table, write_json

HELP = "import sys; sys.argv = ['rondel', '--help']; from rondel.cli.main import main; main()"
PROGRAMS = {
    "bare python": "pass",
    "import rondel": "import rondel",
    "rondel --help": HELP,
    "import torch": "import torch",
}
TORCH_FREE = ("import rondel", "rondel --help")
LIMIT = 10.0
# runs after the measured program, whatever exit it chose
MODULES = "\nimport atexit, sys\natexit.register(lambda: print('MODULES', len(sys.modules), 'torch' in sys.modules))\n"


@dataclass
class Row:
    """The measurements of one program: CPU seconds a round, modules loaded, torch among them."""

    label: str
    modules: int
    torch: bool
    seconds: list[float] = field(default_factory=list)


def main() -> None:
    """Measure, print, store; exit 1 if torch was loaded or the help is too slow."""
    options = parse_options()
    rows = [Row(label, *loaded_modules(code)) for label, code in PROGRAMS.items()]
    for _ in range(options.rounds):
        for row in rows:
            row.seconds.append(cpu_seconds(PROGRAMS[row.label]))
    bare = rows[0].seconds
    table = [
        (
            row.label,
            f"{min(row.seconds):.3f}",
            f"{median(row.seconds):.3f}",
            Ratio.of(row.seconds, bare),
            row.modules,
            "yes" if row.torch else "no",
        )
        for row in rows
    ]
    header = (
        "process",
        "min CPU s",
        "median CPU s",
        "over bare python: median (span)",
        "modules",
        "torch loaded",
    )
    print_table(header, table)
    write_json(options.json, settings={"rounds": options.rounds}, rows=rows)
    check(rows)


def check(rows: Sequence[Row]) -> None:
    """Fail if a claim does not hold."""
    for row in rows:
        if row.label in TORCH_FREE and row.torch:
            raise SystemExit(f"{row.label}: torch is in sys.modules")
        ratio = Ratio.of(row.seconds, rows[0].seconds).median
        if row.label == "rondel --help" and ratio > LIMIT:
            raise SystemExit(
                f"rondel --help costs {ratio:.1f} bare Python starts, the limit is {LIMIT:.0f}"
            )


def parse_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=11, help="rounds (11)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="store the measurements")
    return parser.parse_args()


def loaded_modules(code: str) -> tuple[int, bool]:
    """Return how many modules a program loads, and whether torch is one of them."""
    finished = subprocess.run(
        [sys.executable, "-c", MODULES + code], capture_output=True, text=True, check=False
    )
    if finished.returncode:
        raise SystemExit(f"{code!r} failed:\n{finished.stderr}")
    _, count, torch = finished.stdout.splitlines()[-1].split()
    return int(count), torch == "True"


def cpu_seconds(code: str) -> float:
    """Return user and system CPU time of a fresh process, the loading of the interpreter included."""
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, _, usage = os.wait4(process.pid, 0)
    process.returncode = 0
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main()
