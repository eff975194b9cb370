"""Whether an exported program says what the model does, on rows made up for it.

Shapes: N rows.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from rondel.errors import RondelError
from rondel_tabular.data.column import Column
from rondel_tabular.data.schema import Schema
from rondel_tabular.program import Array, inputs_of, numbers_of, output_names

if TYPE_CHECKING:
    from rondel_tabular.bundle import TabularBundle

PROBED_ROWS = 256
SHARE = 0.1
"""Of the cells that are missing, and of those that are unknown."""
LARGEST_DIFFERENCE = {"probability": 1e-5, "number": 1e-4}
"""Of a probability; of a number, in standard deviations of the target."""


def check(bundle: TabularBundle, path: Path) -> None:
    """Compare a program with `predict` on rows made up for it.

    Raises:
        RondelError: They differ; names the output.
    """
    import onnxruntime

    from rondel_tabular.bundle import columns_of

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    frame = probe(bundle.schema, PROBED_ROWS)
    names = [output.name for output in session.get_outputs()]
    answers = session.run(names, inputs_of(bundle.schema, frame))
    found = dict(zip(names, answers, strict=True))
    alone = len(bundle.targets) == 1
    said = bundle.say(*bundle.schema.encode(frame))
    for target, outputs in zip(bundle.targets, said, strict=True):
        mine = output_names(target, alone=alone)
        told = columns_of(target, outputs.double(), alone=alone)
        if target.head == "classes":
            shares = np.stack(list(told.values())[1:], axis=1)
            refuse_difference(mine[0], found[mine[0]], shares, LARGEST_DIFFERENCE["probability"])
            continue
        for name in mine:
            largest = LARGEST_DIFFERENCE["number"] * target.scale
            refuse_difference(name, found[name], told[name], largest)


def refuse_difference(name: str, found: Array, expected: Array, largest: float) -> None:
    """Refuse an output that is something else than expected.

    Raises:
        RondelError: The distance is named.
    """
    distance = float(np.abs(found - expected).max())
    if not distance <= largest:  # as NaN is
        raise RondelError(
            f"the exported program differs from the model by {distance:.2e} in {name!r}",
            where="export",
            hint="Nothing was written. Another version of torch or onnxruntime may do better.",
        )


def probe(schema: Schema, rows: int) -> pd.DataFrame:
    """Return rows like those of training: a tenth of the cells is missing, a tenth unknown."""
    draw = np.random.default_rng(0)
    columns: dict[str, pd.Series[Any]] = {}
    for column in schema.columns:
        cells_made = pd.Series(cells_like(column, rows, draw))
        columns[column.name] = cells_made.mask(draw.random(rows) < SHARE)
    return pd.DataFrame(columns)


def cells_like(column: Column, rows: int, draw: np.random.Generator) -> Array:  # (N,)
    """Return cells such as a column held, none of them missing."""
    if column.kind == "category":
        levels = np.array(["never seen", *column.levels], dtype=object)
        places = draw.integers(0, len(levels), rows)
        chosen: Array = levels[np.where(draw.random(rows) < SHARE, 0, places)]
        return chosen
    if column.kind == "boolean":
        return draw.integers(0, 2, rows).astype("float64")
    if column.kind == "text":
        words = draw.integers(0, 200, (rows, 5))
        return np.array([" ".join(f"w{word}" for word in row) for row in words], dtype=object)
    if column.kind == "datetime":
        # quarters of a day are exact in float32
        quarters = draw.integers(0, 4 * 20_000, rows)
        return np.datetime64("1970-01-01", "ns") + quarters * np.timedelta64(6, "h")
    (part,) = column.parts
    spread = 1 / part.slope if part.slope else 1.0
    values = part.center + spread * draw.normal(0, 1.5, rows)
    kind = numbers_of(column)[0].type
    return values.astype(kind).astype("float64")  # so that computing is compared, not rounding
