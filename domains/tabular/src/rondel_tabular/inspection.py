"""What a table looks like to the domain: the text of ``rondel tabular inspect``, and report tables."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from rondel import Section, Table
from rondel_tabular.config import TabularConfig
from rondel_tabular.data.column import Column
from rondel_tabular.data.dataset import Dataset
from rondel_tabular.data.target import Target
from rondel_tabular.gathering import gathered

HEADERS = ("column", "kind", "missing", "tells of the target", "what is in it")


def inspect(config: TabularConfig) -> str:
    """Describe the config's table: columns, kinds, missing cells, levels, target, what is left out.

    Raises:
        DataError: The table cannot be read or learnt from.
    """
    dataset, manifest = gathered(config)
    name = config.dataset if config.data is None else config.data
    lines = [
        f"{name}: {manifest.samples} rows, {len(dataset.missing)} columns",
        "",
        *target_lines(dataset),
        "",
        *aligned([HEADERS, *column_rows(dataset)]),
    ]
    if dataset.dropped:
        rows = [("left out", "because"), *dataset.dropped.items()]
        lines += ["", *aligned(rows)]
    if dataset.notes:
        lines += ["", *dataset.notes]
    return "\n".join(printable(line) for line in lines)


def sections_of(dataset: Dataset) -> tuple[Section, ...]:
    """Return the tables of a report: columns, target, and what was left out."""
    about_target = "\n\n".join(line.strip() for line in target_lines(dataset))
    sections = [
        Section("Columns", table=Table(HEADERS, column_rows(dataset))),
        Section("Target", text=about_target),
    ]
    if dataset.dropped:
        rows = list(dataset.dropped.items())
        sections.append(Section("Left out", table=Table(("column", "because"), rows)))
    if dataset.notes:
        sections.append(Section("Notes on the data", text="\n\n".join(dataset.notes)))
    return tuple(sections)


def column_rows(dataset: Dataset) -> list[tuple[str, ...]]:
    """Describe each column that the model reads, in the order of `HEADERS`.

    What it tells of the target by itself is the correlation ratio, from 0 to 1, on rows that it was
    not fitted on.
    """
    return [
        (
            column.name,
            column.kind,
            percent(dataset.missing[column.name]),
            f"{dataset.associations.get(column.name, 0.0):.2f}",
            content_of(column),
        )
        for column in dataset.schema.columns
    ]


def content_of(column: Column) -> str:
    """Describe what is in a column: its levels, or median and distance of the quartiles."""
    if column.kind == "category":
        few = ", ".join(column.levels[:4])
        return f"{len(column.levels)} levels: {few}{', ...' if len(column.levels) > 4 else ''}"
    if column.kind == "text":
        return f"words, hashed into {len(column.parts)} numbers"
    if column.kind == "datetime":
        return ", ".join(part.name for part in column.parts)
    part = column.parts[0]
    if column.kind == "boolean":
        return "mostly true" if part.center > 0.5 else "mostly false"
    return f"median {part.center:.4g}, quartiles {1 / (part.slope or math.inf):.4g} apart"


def target_lines(dataset: Dataset) -> list[str]:
    """Describe each target: the share of each class, or mean and standard deviation."""
    lines: list[str] = []
    for place, target in enumerate(dataset.targets):
        parts = [dataset.train.values[:, place]]
        if dataset.valid.numbers is not dataset.train.numbers:  # else the same rows do both
            parts.append(dataset.valid.values[:, place])
        values = torch.cat(parts)
        known = values[~values.isnan()]
        gaps = len(values) - len(known)
        lines += lines_of(target, known)
        lines += [f"  empty in {gaps} rows"] if gaps else []
    return lines


def lines_of(target: Target, values: torch.Tensor) -> list[str]:
    """Describe a target by its values, (N,)."""
    if target.task == "regression":
        return [f"target {target.name}: a number, {target.mean:.4g} ± {target.scale:.4g}"]
    counts = torch.bincount(values.long(), minlength=target.outputs).tolist()
    most = sorted(zip(target.labels, counts, strict=True), key=lambda pair: -pair[1])
    lines = [f"target {target.name}: {len(target.labels)} classes"]
    lines += [f"  {label}: {count} rows, {count / len(values):.1%}" for label, count in most[:20]]
    return lines if len(most) <= 20 else [*lines, f"  and {len(most) - 20} more"]


def percent(share: float) -> str:
    """Write a share of cells; nothing if there is none."""
    return f"{share:.1%}" if share else ""


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lay rows out in columns of equal width."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def printable(line: str) -> str:
    """Replace what a terminal would obey instead of showing; names come from files."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in line)
