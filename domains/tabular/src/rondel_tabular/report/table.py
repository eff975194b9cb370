"""The pages on the rows and columns of a table: the rows told worst, what matters, what is in it.

Shapes: N rows, F columns.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from rondel import Section, Table
from rondel_tabular.data.column import Column
from rondel_tabular.data.dataset import Dataset
from rondel_tabular.data.target import Target
from rondel_tabular.report.evidence import Evidence, View
from rondel_tabular.report.importance import Dependence, Importance, rows_of
from rondel_tabular.report.pictures import bars_png, correlation_png, dependence_png, histogram_png

WORST_ROWS, WORST_COLUMNS = 12, 6
BARS = 20
CORRELATED, CORRELATED_ROWS = 30, 5000
LONGEST_CELL = 40
MOST_VALUES = 1_000_000
"""Of a target, at even distances, whose distribution is shown."""


def worst_section(view: View, dataset: Dataset, columns: Sequence[Column]) -> Section | None:
    """List the rows with the largest loss, with the cells of the columns that matter most.

    Returns None where the cells are not at hand.
    """
    if dataset.valid_cells is None:
        return None
    losses = view.losses * (view.weights > 0)
    worst = losses.argsort(descending=True, stable=True)[:WORST_ROWS]
    cells = dataset.valid_cells.iloc[view.rows[worst].numpy()]
    names = [column.name for column in columns[:WORST_COLUMNS] if column.name in cells]
    heads, told = told_of(view, worst)
    rows = [
        (int(row), *said, *(cell_text(cells[name].iloc[place]) for name in names))
        for place, (row, said) in enumerate(zip(cells.index, told, strict=True))
    ]
    row = str(cells.index.name or "row")
    about = "The validation rows with the largest loss; often it is the table that is wrong."
    return Section("Rows told worst", text=about, table=Table((row, *heads, *names), rows))


def told_of(view: View, rows: torch.Tensor) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
    """Return what is true and what is said of some rows, below their heads."""
    if not view.target.labels:
        true, point = view.true[rows], view.point[rows]
        columns = (true, point, true - point)
        return ("true", "predicted", "residual"), list(
            zip(*(c.tolist() for c in columns), strict=True)
        )
    labels = [str(label) for label in view.target.labels]
    shares = view.target.probabilities(view.outputs[rows])
    said: list[tuple[Any, ...]] = [
        (labels[true], labels[int(mine.argmax())], float(mine.max()))
        for true, mine in zip(view.classes[rows].tolist(), shares, strict=True)
    ]
    return ("true", "predicted", "probability"), said


def cell_text(cell: Any) -> object:
    """Return a cell as a report shows it; None where it is missing."""
    if pd.api.types.is_scalar(cell) and pd.isna(cell):
        return None
    if isinstance(cell, bool | int | float | np.number):
        return float(cell) if not isinstance(cell, bool) else str(cell)
    text = " ".join(str(cell).split())
    return (
        text if len(text) <= LONGEST_CELL else f"{text[: LONGEST_CELL - 1]}\N{HORIZONTAL ELLIPSIS}"
    )


# -- what matters ----------------------------------------------------------------------------------


def importance_section(importance: Importance, metric: str) -> Section:
    """Show how much worse the watched metric gets when a column is shuffled."""
    names = [column.name for column in importance.columns]
    metric = "the loss" if metric == "loss" else metric
    rows = list(zip(names, importance.drops.tolist(), importance.deviations.tolist(), strict=True))
    text = (
        f"How much worse {metric} gets on {importance.rows:,} validation rows when the cells of a "
        "column are shuffled among them: mean and standard deviation of three times. Columns that "
        "say the same stand in for each other, and all look unimportant."
    )
    few = slice(BARS)
    title = f"How much worse {metric} gets"
    picture = bars_png(
        names[few], importance.drops[few], title, deviations=importance.deviations[few]
    )
    table = Table(("column", "worse by", "deviation"), rows)
    return Section("Importance of the columns", text=text, table=table, picture=picture)


def dependence_section(view: View, found: Sequence[Dependence], place: int) -> Section | None:
    """Show what is said on the average over the values of the columns that matter most.

    Returns None where no column can be varied.
    """
    if not found:
        return None
    names, said = drawn_outputs(view)
    dashed = " Dashed: in the rows as they are." if sum(map(bool, names)) == 1 else ""
    text = (
        f"The mean {said} when the column is set to one value after the other, in rows that stay "
        f"as they are otherwise.{dashed}"
    )
    return Section("Partial dependence", text=text, picture=dependence_png(found, place, names))


def drawn_outputs(view: View) -> tuple[list[str], str]:
    """Return the names of the outputs that are drawn, empty for others, and what they are."""
    target = view.target
    if not target.labels:
        return [target.name], f"prediction of {target.name}"
    if target.outputs == 2:
        return ["", str(target.labels[1])], f"probability of {target.labels[1]}"
    counts = torch.bincount(view.classes, view.weights, minlength=target.outputs)
    most = set(counts.argsort(descending=True, stable=True)[:5].tolist())
    names = [str(label) if place in most else "" for place, label in enumerate(target.labels)]
    few = "" if target.outputs <= 5 else ", of the five most frequent"
    return names, f"probability of each class{few}"


# -- what is in it ---------------------------------------------------------------------------------


def distribution_section(target: Target, place: int, dataset: Dataset) -> Section:
    """Show how the target is spread in the rows that train and in those that validate."""
    parts = {"training": dataset.train.values}
    if dataset.valid.values is not dataset.train.values:
        parts["validation"] = dataset.valid.values
    spread = {
        name: values[:: max(1, len(values) // MOST_VALUES), place] for name, values in parts.items()
    }
    known = {name: values[~values.isnan()] for name, values in spread.items()}
    if not target.labels:
        numbers = {name: target.in_unit(values).numpy() for name, values in known.items()}
        return Section("Target distribution", picture=histogram_png(numbers, target.name))
    counts = [torch.bincount(v.long(), minlength=target.outputs).double() for v in known.values()]
    shares = [each / each.sum() for each in counts]
    rows = [
        (str(label), *(float(each[number]) for each in shares))
        for number, label in enumerate(target.labels)
    ]
    table = Table(("class", *(f"share of {name}" for name in known)), rows)
    order = shares[0].argsort(descending=True, stable=True)[:BARS].tolist()
    picture = bars_png(
        [str(target.labels[number]) for number in order],
        shares[0][order].numpy(),
        "Share of the training rows",
    )
    return Section("Target distribution", table=table, picture=picture)


def table_sections(evidence: Evidence) -> Iterator[Section]:
    """Show which cells are missing, and which numbers go together."""
    dataset = evidence.dataset
    gaps = {column.name: dataset.missing[column.name] for column in dataset.schema.columns}
    gaps = {name: gap for name, gap in sorted(gaps.items(), key=lambda item: -item[1]) if gap}
    if gaps:
        few = list(gaps)[:BARS]
        text = f"{len(gaps)} of {len(dataset.schema.columns)} columns have missing cells."
        shares = np.array([gaps[name] for name in few])
        picture = bars_png(few, shares, "Share of the rows without a cell")
        yield Section("Missing cells", text=text, picture=picture)
    numbers = numeric_features(evidence)
    if numbers.shape[1] > 1:
        yield correlation_section(numbers)


def numeric_features(evidence: Evidence) -> pd.DataFrame:
    """Return the numeric columns and targets of validation rows, NaN where a cell is missing.

    Numbers are as they are scaled, which leaves their order as it is.
    """
    dataset = evidence.dataset
    part = rows_of(dataset.valid, evidence.rows(CORRELATED_ROWS))
    found: dict[str, NDArray[Any]] = {}
    for column, place in zip(dataset.schema.columns, dataset.schema.places, strict=True):
        if column.kind == "number":
            features = part.numbers[:, list(place.numbers)].numpy()
            missing = features[:, -1] == 1 if column.optional else np.zeros(len(features), bool)
            found[column.name] = np.where(missing, np.nan, features[:, 0])
    for number, target in enumerate(dataset.targets):
        if not target.labels:
            found[target.name] = part.values[:, number].numpy()
    return pd.DataFrame(found)


def correlation_section(numbers: pd.DataFrame) -> Section:
    """Show the rank correlations (Spearman) of numeric columns."""
    few = numbers.iloc[:, :CORRELATED]
    matrix = few.corr(method="spearman").to_numpy()
    text = "Of the ranks of two numbers, in rows that have both."
    if few.shape[1] < numbers.shape[1]:
        text += f" The first {CORRELATED} of {numbers.shape[1]} numeric columns."
    apart = np.argwhere(np.triu(np.abs(np.nan_to_num(matrix)) >= 0.5, k=1))
    names = [str(name) for name in few]
    strongest = sorted(apart.tolist(), key=lambda pair: -abs(matrix[tuple(pair)]))[:10]
    rows = [(names[one], names[other], float(matrix[one, other])) for one, other in strongest]
    table = Table(("column", "goes with", "rank correlation"), rows) if rows else None
    return Section("Correlations", text=text, table=table, picture=correlation_png(matrix, names))
