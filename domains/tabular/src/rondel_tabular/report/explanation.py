"""All pages of a report on a table, in the order in which they are read."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace

from rondel import Section
from rondel.report.figure import label_of
from rondel_tabular.data.target import Target
from rondel_tabular.inspection import sections_of
from rondel_tabular.report.classes import class_sections
from rondel_tabular.report.evidence import Evidence, View
from rondel_tabular.report.importance import partial_dependence, permutation_importance
from rondel_tabular.report.numbers import number_sections
from rondel_tabular.report.table import (
    dependence_section,
    distribution_section,
    importance_section,
    table_sections,
    worst_section,
)

VARIED = 4
"""Columns whose partial dependence is drawn."""


def explain(evidence: Evidence) -> list[Section]:
    """Look at a model's best state once more: what it says, what it looks at, what it read."""
    importance = permutation_importance(evidence)
    varied = list(partial_dependence(evidence, importance.columns, VARIED))
    dataset, targets = evidence.dataset, evidence.dataset.targets
    views = [View.of(evidence, place) for place in range(len(targets))]
    said: list[list[Section]] = []
    matters: list[list[Section]] = []
    for place, view in enumerate(views):
        known = len(view.rows) > 0
        pages = (class_sections if view.target.labels else number_sections)(view) if known else ()
        worst = worst_section(view, dataset, importance.columns) if known else None
        said.append([*pages, *([worst] if worst else [])])
        dependence = dependence_section(view, varied, place)
        distribution = distribution_section(view.target, place, dataset)
        matters.append([*([dependence] if dependence else []), distribution])
    return [
        *headed(said, targets),
        importance_section(importance, evidence.watch.metric),
        *headed(matters, targets),
        *table_sections(evidence),
        *sections_of(dataset),
    ]


def headed(groups: list[list[Section]], targets: tuple[Target, ...]) -> Iterator[Section]:
    """Yield groups of sections, those of several targets with number and name of theirs.

    The number keeps the names of pictures apart: they are made of the letters of a title.
    """
    if len(targets) == 1:
        yield from itertools.chain(*groups)
        return
    for number, (target, group) in enumerate(zip(targets, groups, strict=True), 1):
        name = label_of(target.name).replace(r"\$", "$")
        for section in group:
            yield replace(section, title=f"{number}. {name}: {section.title}")
