"""Signs that a measurement will be too good to be true; they are said and stop nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from rondel import keyed
from rondel_tabular.config import TabularConfig
from rondel_tabular.data.alone import ENOUGH_ROWS, Fitting, Score, most_rows, scores
from rondel_tabular.data.kinds import looks_like_id
from rondel_tabular.data.part import Part
from rondel_tabular.data.schema import Schema
from rondel_tabular.data.target import Target

Hashes: TypeAlias = NDArray[np.uint64]
SAMPLE_ROWS = 20_000
TOO_GOOD = 0.99
CHUNK_ROWS = 65_536


@dataclass(frozen=True)
class Suspicions:
    """What was found.

    Args:
        notes: One sentence each.
        associations: How strongly each column goes with the target, from 0 to 1: the root of the
            share of its variance that the column explains by itself, the largest of all targets.
    """

    notes: tuple[str, ...]
    associations: Mapping[str, float]


def suspicions(
    schema: Schema, targets: Sequence[Target], train: Part, valid: Part, config: TabularConfig
) -> Suspicions:
    """Look for columns that tell the target by themselves and for ids that repeat.

    Args:
        schema: How columns became inputs.
        targets: What is predicted.
        train: Rows that train.
        valid: Rows that validate.
        config: How rows are divided; the seed of the sample.
    """
    draw = keyed.generator(config.run.seed, "tabular", "leaks")
    most = most_rows(schema, targets, SAMPLE_ROWS)
    fitting = Fitting.of(train, valid, most=most, draw=draw)
    notes: list[str] = []
    associations = dict.fromkeys((column.name for column in schema.columns), 0.0)
    for place, target in enumerate(targets):
        values = fitting.valid.values[:, place]
        majority = majority_share(target, fitting, place)
        for name, score in scores(schema, fitting, target, place).items():
            associations[name] = max(associations[name], max(score.explained, 0.0) ** 0.5)
            if int((~values.isnan()).sum()) >= ENOUGH_ROWS and too_good(score, majority):
                notes.append(accusation(name, target, score, majority))
    return Suspicions((*notes, *repeating_ids(schema, config)), associations)


def majority_share(target: Target, fitting: Fitting, place: int) -> float:
    """Return the accuracy of guessing the most frequent class; 0 for a number."""
    if not target.labels:
        return 0.0
    train, valid = (part.values[:, place] for part in (fitting.train, fitting.valid))
    return float((valid[~valid.isnan()] == train[~train.isnan()].mode().values).float().mean())


def too_good(score: Score, majority: float) -> bool:
    """Tell whether a column alone is (almost) always right, where guessing is not."""
    return score.accuracy >= TOO_GOOD and 1 - score.accuracy <= (1 - majority) / 10


def accusation(name: str, target: Target, score: Score, majority: float) -> str:
    """Say that a column predicts a target by itself."""
    if target.labels:
        how_well = f"right in {score.accuracy:.1%} of other rows, the most frequent class in {majority:.1%}"
    else:
        how_well = f"R² {score.explained:.3f} on other rows"
    return (
        f"Column {name!r} predicts {target.name!r} almost alone ({how_well}): if it is not known "
        f"when predicting, leave it out with kinds.{name}=drop"
    )


def repeating_ids(schema: Schema, config: TabularConfig) -> list[str]:
    """Say which columns are named like an id and are read as anything else."""
    settled = {config.split_column if config.split == "group" else None, *config.kinds}
    return [
        f"Column {column.name!r} is named like an id: if its rows belong together, split=group "
        f"split_column={column.name} keeps them apart from the validation rows, and "
        f"kinds.{column.name}=drop leaves the column out"
        for column in schema.columns
        if looks_like_id(column.name) and column.name not in settled
    ]


# -- twins -----------------------------------------------------------------------------------------


def twins(train: Hashes, valid: Hashes | None) -> tuple[str, ...]:
    """Say how many rows that validate are equal to one that trains.

    Args:
        train: The hash of each training row.
        valid: The hash of each validation row; None if the same rows train and validate.
    """
    if valid is None:
        count = len(train) - len(np.unique(train))
        found = f"{count} of {len(train)} rows ({count / len(train):.1%}) repeat another"
    else:
        count = int(np.isin(valid, train).sum())
        found = f"{count} of {len(valid)} validation rows ({count / len(valid):.1%}) repeat a training row"
    if not count:
        return ()
    return (
        f"{found}, in the target and in all columns that are read: they measure what is remembered",
    )


def hashes_of(part: Part) -> Hashes:
    """Return a hash of each row, (N,): of its features and its values."""
    starts = range(0, part.rows, CHUNK_ROWS)
    pieces = (Part(*(t[start : start + CHUNK_ROWS] for t in part)) for start in starts)
    return np.concatenate([row_hashes(piece) for piece in pieces])


def row_hashes(part: Part) -> Hashes:
    """Return a hash of each of a few rows."""
    hashes = np.zeros(part.rows, dtype=np.uint64)
    for column in columns_of(part):
        # a round of splitmix64 (Steele, Lea and Flood, 2014)
        hashes = (hashes ^ column) * np.uint64(0xBF58476D1CE4E5B9)
        hashes ^= hashes >> np.uint64(29)
    return hashes


def columns_of(part: Part) -> Iterable[NDArray[np.uint64]]:
    """Yield the bits of every feature and value, (N,) each."""
    for tensor in (part.numbers, part.levels, part.values):
        for column in (tensor + 0).numpy().T:  # a negative zero becomes a positive one
            yield np.ascontiguousarray(column).view(np.uint32).astype(np.uint64)
