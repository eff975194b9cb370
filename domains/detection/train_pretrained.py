"""Trains the detector that comes along with the package, on digits pasted on photos.

    python domains/detection/train_pretrained.py

It is the default recipe with its default seed; `rondel detection predict digits PICTURES` uses it.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import rondel

PRETRAINED = Path(__file__).parent / "src" / "rondel_detection" / "pretrained"


def main() -> None:
    """Train, and put the bundle into the package."""
    with tempfile.TemporaryDirectory() as folder:
        result = rondel.train("detection", out=Path(folder) / "run", run={"threads": 1})
        result.bundle.save(PRETRAINED / "digits")
        print({name: round(value, 4) for name, value in result.metrics.items()})
        print(f"{result.seconds:.0f} s")


if __name__ == "__main__":
    main()
