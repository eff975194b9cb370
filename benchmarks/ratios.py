"""Paired ratios: how all benchmarks summarise noisy timings, print them and store them."""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from statistics import median
from typing import Any


@dataclass(frozen=True)
class Ratio:
    """Paired ratios over the rounds; the span shows how far a single pair can be trusted."""

    median: float
    lowest: float
    highest: float

    @classmethod
    def of(cls, measured: Sequence[float], baseline: Sequence[float]) -> Ratio:
        """Pair the rounds and summarise their ratios."""
        ratios = [m / b for m, b in zip(measured, baseline, strict=True)]
        return cls(median(ratios), min(ratios), max(ratios))

    def __str__(self) -> str:
        """Format as median and span."""
        return f"{self.median:.2f} ({self.lowest:.2f}..{self.highest:.2f})"


def print_table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a Markdown table with aligned columns."""
    cells = [[str(cell) for cell in row] for row in (header, *rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    cells.insert(1, ["-" * width for width in widths])
    for row in cells:
        print("| " + " | ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) + " |")


def write_json(path: Path | None, *, settings: Mapping[str, Any], rows: Sequence[Any]) -> None:
    """Store the rows (dataclasses) and the circumstances of the measurement, if asked to."""
    if path is None:
        return
    content = {"environment": environment(), "settings": dict(settings), "rows": list(rows)}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1, default=asdict) + "\n")


def environment() -> dict[str, str]:
    """Return interpreter, machine and the versions of the systems that are installed."""
    found = {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "system": sys.platform,
    }
    names = (
        "rondel",
        "torch",
        "lightning",
        "accelerate",
        "transformers",
        "keras",
        "pytorch-ignite",
        "fastai",
    )
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found
