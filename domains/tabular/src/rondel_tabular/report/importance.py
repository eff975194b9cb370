"""What the columns matter to a model: what shuffling one costs, and what changing one changes.

Shapes: N rows, P numbers, K categories, F columns, G values that a column is set to, O outputs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from rondel import keyed
from rondel_tabular.data.column import FARTHEST, Column, NumericPart
from rondel_tabular.data.part import Part
from rondel_tabular.data.schema import Place
from rondel_tabular.data.target import Target
from rondel_tabular.report.evidence import Evidence

REPEATS = 3
MOST_ROWS, LEAST_ROWS = 5000, 200
MOST_FLOPS = 1e11
"""What shuffling may cost: some seconds on one core. More columns or a larger model get fewer rows."""
GRID, LEVELS, SET_ROWS = 10, 10, 500


@dataclass(frozen=True)
class Importance:
    """How much worse the watched metric gets when a column is shuffled, most important first.

    Args:
        columns: F of them.
        drops: (F,) means over the repeats.
        deviations: (F,) standard deviations over the repeats.
        rows: How many rows were shuffled.
    """

    columns: tuple[Column, ...]
    drops: NDArray[np.float64]
    deviations: NDArray[np.float64]
    rows: int


def permutation_importance(evidence: Evidence) -> Importance:
    """Shuffle the cells of one column after the other among validation rows (Breiman, 2001).

    All features of a column move together. What is drawn depends on the seed alone.
    """
    schema, valid = evidence.dataset.schema, evidence.dataset.valid
    part = rows_of(valid, evidence.rows(affordable_rows(evidence)))
    base = evidence.watched(evidence.ask(part.numbers, part.levels), part)
    sign = 1.0 if evidence.watch.mode == "max" else -1.0
    drops = np.zeros((len(schema.columns), REPEATS))
    for number, place in enumerate(schema.places):
        shuffled = [
            torch.randperm(
                part.rows, generator=keyed.generator(evidence.seed, "shuffle", number, k)
            )
            for k in range(REPEATS)
        ]
        repeats = rows_of(part, torch.arange(part.rows).repeat(REPEATS))
        donors = rows_of(part, torch.cat(shuffled))
        said = evidence.ask(*with_column(repeats, donors.numbers, donors.levels, place))
        pieces = [torch.split(outputs, part.rows) for outputs in said]
        for k, outputs in enumerate(zip(*pieces, strict=True)):
            drops[number, k] = sign * (base - evidence.watched(outputs, part))
    drops = np.nan_to_num(drops)  # a metric may be undefined on these rows
    order = np.argsort(-drops.mean(1), kind="stable")
    columns = tuple(schema.columns[number] for number in order)
    return Importance(columns, drops.mean(1)[order], drops.std(1)[order], part.rows)


def affordable_rows(evidence: Evidence) -> int:
    """Return how many rows can be shuffled: a function of model and table, never of the time."""
    from torch.utils.flop_counter import FlopCounterMode  # brings Triton along, which takes 80 MB

    valid, count = evidence.dataset.valid, len(evidence.dataset.schema.columns)
    few = min(16, valid.rows)
    with FlopCounterMode(display=False) as counter:
        evidence.ask(valid.numbers[:few], valid.levels[:few])
    cost = counter.get_total_flops() / few * count * REPEATS
    return int(min(MOST_ROWS, max(LEAST_ROWS, MOST_FLOPS / max(cost, 1.0))))


def rows_of(part: Part, rows: Tensor) -> Part:
    """Return some rows of a part."""
    return Part(*(column[rows] for column in part))


def with_column(
    part: Part,
    numbers: Tensor,  # (N, P)
    levels: Tensor,  # (N, K)
    place: Place,
) -> tuple[Tensor, Tensor]:
    """Return the inputs of rows, the features of one column taken from others."""
    mine, others = part.numbers.clone(), part.levels.clone()
    features = list(place.numbers)
    mine[:, features] = numbers[:, features]
    if place.level is not None:
        others[:, place.level] = levels[:, place.level]
    return mine, others


@dataclass(frozen=True)
class Dependence:
    """What is said on the average when a column is set to one value after the other.

    Args:
        column: Which.
        grid: (G,) numbers or moments; or names of levels.
        means: (G, O) of each target: probabilities of its classes, or one number in its unit.
        bases: (O,) of each target: the same with the rows as they are.
    """

    column: Column
    grid: NDArray[Any]
    means: tuple[NDArray[np.float64], ...]
    bases: tuple[NDArray[np.float64], ...]


def partial_dependence(
    evidence: Evidence, columns: Sequence[Column], most: int
) -> Iterator[Dependence]:
    """Set the first few columns that can be varied to one value after the other (Friedman, 2001)."""
    dataset = evidence.dataset
    part = rows_of(dataset.valid, evidence.rows(SET_ROWS))
    names = [column.name for column in dataset.schema.columns]
    places = dict(zip(names, dataset.schema.places, strict=True))
    bases = tuple(means[0] for means in answers(evidence, part, part.numbers, part.levels))
    varied = 0
    for column in columns:
        place = places[column.name]
        grid = grid_of(column, part, place)
        if len(grid) < 2 or varied == most:
            continue
        varied += 1
        inputs = set_to(part, column, place, grid)
        yield Dependence(column, grid, answers(evidence, part, *inputs), bases)


def set_to(
    part: Part, column: Column, place: Place, grid: NDArray[Any]
) -> tuple[Tensor, Tensor]:  # (G * N, P), (G * N, K)
    """Return the inputs of rows in which a column is set to one value after the other."""
    size, cells = len(grid), pd.Series(grid)
    numbers = torch.zeros(size, part.numbers.shape[1])
    levels = torch.zeros(size, part.levels.shape[1], dtype=part.levels.dtype)
    if place.level is not None:
        levels[:, place.level] = torch.from_numpy(column.encode_levels(cells, size))
    else:
        features = column.encode_numbers(cells, size)
        for number, feature in zip(place.numbers, features, strict=True):
            numbers[:, number] = torch.from_numpy(feature)
    value = torch.arange(size).repeat_interleave(part.rows)
    repeated = rows_of(part, torch.arange(part.rows).repeat(size))
    return with_column(repeated, numbers[value], levels[value], place)


def answers(
    evidence: Evidence,
    part: Part,
    numbers: Tensor,  # (G * N, P)
    levels: Tensor,  # (G * N, K)
) -> tuple[NDArray[np.float64], ...]:  # (G, O) by target
    """Return what is said on the average of all rows of a part, once for each of G changes."""
    shares = (part.weights / part.weights.sum()).double()
    said = evidence.ask(numbers, levels)
    each = [expected(*both) for both in zip(evidence.dataset.targets, said, strict=True)]
    return tuple(
        torch.einsum("gno,n->go", outputs.view(-1, part.rows, outputs.shape[1]), shares).numpy()
        for outputs in each
    )


def expected(target: Target, outputs: Tensor) -> Tensor:  # (N, O) -> (N, C) or (N, 1)
    """Return probabilities, or one number in the unit of the target."""
    if target.labels:
        return target.probabilities(outputs)
    return target.in_unit(target.point(outputs))[:, None]


def grid_of(column: Column, part: Part, place: Place) -> NDArray[Any]:
    """Return the values that a column is set to; none if it cannot be varied.

    Categories have their most frequent levels; numbers and dates values at equal shares of rows,
    and at equal shares of the different values: a column that is mostly one value has others.
    """
    if column.kind == "category":
        return np.array(column.levels[:LEVELS], dtype=object)
    if column.kind == "boolean":
        return np.array([False, True])
    first = {"number": "", "datetime": "days"}.get(column.kind)
    if not column.parts or column.parts[0].name != first or column.parts[0].slope == 0:
        return np.array([])
    features = part.numbers[:, list(place.numbers)].double().numpy()
    known = features[features[:, -1] == 0, 0] if column.optional else features[:, 0]
    if not len(known):
        return np.array([])
    values, shares = unscaled(column.parts[0], known), np.linspace(0.02, 0.98, GRID)
    chosen = [np.quantile(some, shares, method="nearest") for some in (values, np.unique(values))]
    grid = np.unique(np.concatenate(chosen))
    if column.kind == "number":
        return grid
    # float32 forgets seconds, and one before midnight is another weekday
    return np.datetime64("1970-01-01", "h") + np.round(grid * 24).astype("timedelta64[h]")


def unscaled(part: NumericPart, scaled: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return values in the unit of their cells: the inverse of `NumericPart.scaled`."""
    inside = np.clip(scaled / FARTHEST, -1 + 1e-7, 1 - 1e-7)
    moved: NDArray[np.float64] = scaled / np.sqrt(1 - np.square(inside))
    return part.center + moved / part.slope
