"""Importance and dependence of functions that are known, against naive computations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

from rondel import Watch, keyed
from rondel_tabular.data.column import NumericPart
from rondel_tabular.data.target import Target
from rondel_tabular.report.evidence import Evidence
from rondel_tabular.report.importance import (
    LEAST_ROWS,
    MOST_ROWS,
    affordable_rows,
    partial_dependence,
    permutation_importance,
    unscaled,
)

Make = Callable[..., Any]


def table(rows: int = 1500) -> pd.DataFrame:
    """A number that follows from a little, much and nothing of three others, and from a colour."""
    draw = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "noise": draw.normal(size=rows),
            "little": draw.normal(size=rows),
            "much": draw.normal(size=rows),
            "colour": draw.choice(["red", "green", "blue"], size=rows),
            "member": draw.choice([True, False], size=rows),
            "day": pd.Timestamp("2020-01-01") + pd.to_timedelta(draw.integers(0, 900, rows), "D"),
        }
    )
    frame.loc[::5, "little"] = None
    y = 3 * frame["much"] + frame["little"].fillna(2.0) + 2 * (frame["colour"] == "red")
    return frame.assign(y=y)


def evidence_of(
    make: Make, ask: Callable[[Any, Tensor, Tensor], list[Tensor]], watch: Watch | None = None
) -> Evidence:
    """Evidence of a model that is a function of features; `ask` gets the dataset with them."""
    dataset = make("target=y", frame=table()).dataset

    def asked(numbers: Tensor, levels: Tensor) -> list[Tensor]:
        return ask(dataset, numbers, levels)

    said = asked(dataset.valid.numbers, dataset.valid.levels)
    return Evidence(
        dataset,
        said=said,
        ask=asked,
        scales=[1.0],
        watch=watch or Watch("rmse", "min"),
        seed=0,
    )


def feature(dataset: Any, name: str) -> int:
    """Return the place of a column's first feature among numbers."""
    names = [column.name for column in dataset.schema.columns]
    return int(dataset.schema.places[names.index(name)].numbers[0])


def linear(dataset: Any, numbers: Tensor, levels: Tensor) -> list[Tensor]:
    """Add three columns, one of them a category, and the indicator of a missing cell."""
    much, little = feature(dataset, "much"), feature(dataset, "little")
    red = dataset.schema.columns[3].levels.index("red") + 1
    total = 1.5 * numbers[:, much] + 0.5 * numbers[:, little] + numbers[:, little + 1]
    return [(total + 0.7 * (levels[:, 0] == red))[:, None]]


def test_columns_are_ranked_by_what_they_matter_and_useless_ones_matter_nothing(
    make: Make,
) -> None:
    found = permutation_importance(evidence_of(make, linear))
    names = [column.name for column in found.columns]
    assert names[:3] == ["much", "little", "colour"]
    assert found.drops[2] > 0
    assert set(names[3:]) == {"noise", "member", "day"}
    assert found.drops[3:].tolist() == [0.0] * 3
    assert found.deviations[3:].tolist() == [0.0] * 3


def test_importance_is_what_shuffling_one_column_at_a_time_gives(make: Make) -> None:
    evidence = evidence_of(make, linear)
    dataset, part = evidence.dataset, evidence.dataset.valid
    target = dataset.targets[0]

    def error(numbers: Tensor, levels: Tensor) -> float:
        said = linear(dataset, numbers, levels)[0][:, 0].double()
        apart = (said - part.values[:, 0].double()) * target.scale
        return float(apart.square().mean().sqrt())

    found = permutation_importance(evidence)
    drops = {c.name: d for c, d in zip(found.columns, found.drops, strict=True)}
    deviations = {c.name: d for c, d in zip(found.columns, found.deviations, strict=True)}
    base = error(part.numbers, part.levels)
    for number, (column, place) in enumerate(
        zip(dataset.schema.columns, dataset.schema.places, strict=True)
    ):
        worse = []
        for repeat in range(3):
            draw = keyed.generator(0, "shuffle", number, repeat)
            order = torch.randperm(part.rows, generator=draw)
            numbers, levels = part.numbers.clone(), part.levels.clone()
            for one in place.numbers:
                numbers[:, one] = part.numbers[order, one]
            if place.level is not None:
                levels[:, place.level] = part.levels[order, place.level]
            worse.append(error(numbers, levels) - base)
        assert drops[column.name] == pytest.approx(np.mean(worse), abs=1e-6)
        assert deviations[column.name] == pytest.approx(np.std(worse), abs=1e-6)


def test_all_features_of_a_column_move_together(make: Make) -> None:
    def contradiction(dataset: Any, numbers: Tensor, levels: Tensor) -> list[Tensor]:
        place = feature(dataset, "little")
        missing, value = numbers[:, place + 1], numbers[:, place]
        return [(missing * value.abs())[:, None]]  # a missing cell has the value 0

    found = permutation_importance(evidence_of(make, contradiction))
    assert found.drops.tolist() == [0.0] * 6


def test_a_metric_that_falls_is_as_bad_as_one_that_rises(make: Make) -> None:
    lower = permutation_importance(evidence_of(make, linear))
    higher = permutation_importance(evidence_of(make, linear, Watch("r2", "max")))
    assert [c.name for c in higher.columns[:3]] == [c.name for c in lower.columns[:3]]
    assert higher.drops[0] > higher.drops[2] > 0


def test_what_is_drawn_depends_on_the_seed_alone(make: Make) -> None:
    evidence = evidence_of(make, linear)
    first, again = permutation_importance(evidence), permutation_importance(evidence)
    other = permutation_importance(replace(evidence, seed=1))
    assert first.drops.tolist() == again.drops.tolist()
    assert first.drops.tolist() != other.drops.tolist()


def test_a_costly_model_is_asked_about_fewer_rows(make: Make) -> None:
    def costly(dataset: Any, numbers: Tensor, levels: Tensor) -> list[Tensor]:
        hidden = torch.zeros(len(numbers), 5000) @ torch.zeros(5000, 1000)
        return [linear(dataset, numbers, levels)[0] + hidden[:, :1]]

    assert affordable_rows(evidence_of(make, linear)) == MOST_ROWS
    # 10 million operations a row, six columns, three times
    assert affordable_rows(evidence_of(make, costly)) == int(1e11 / (1e7 * 6 * 3))
    assert LEAST_ROWS < 1e11 / (1e7 * 6 * 3) < MOST_ROWS


def test_several_targets_are_watched_together(make: Make) -> None:
    dataset = make("targets=y,colour", frame=table()).dataset
    much = feature(dataset, "much")

    def ask(numbers: Tensor, levels: Tensor) -> list[Tensor]:
        return [numbers[:, much, None], torch.zeros(len(numbers), 3)]

    evidence = Evidence(
        dataset,
        said=ask(dataset.valid.numbers, dataset.valid.levels),
        ask=ask,
        scales=[1.0, 1.0],
        watch=Watch("loss", "min"),
        seed=0,
    )
    found = permutation_importance(evidence)
    assert found.columns[0].name == "much"
    assert found.drops[0] > 0
    assert found.drops[1:].tolist() == [0.0] * 4


# -- partial dependence ----------------------------------------------------------------------------


def test_dependence_is_the_mean_prediction_of_rows_whose_cells_are_set(make: Make) -> None:
    evidence = evidence_of(make, linear)
    dataset, rows = evidence.dataset, evidence.dataset.valid_cells
    assert rows is not None
    found = list(partial_dependence(evidence, dataset.schema.columns, 6))
    assert [one.column.name for one in found] == [c.name for c in dataset.schema.columns]
    target: Target = dataset.targets[0]
    for one in found:
        for value, mean in zip(one.grid, one.means[0][:, 0], strict=True):
            cells = rows.assign(**{one.column.name: value})
            said = linear(dataset, *dataset.schema.encode(cells))[0]
            assert mean == pytest.approx(float(target.in_unit(said).mean()), rel=1e-5)
        plain = float(target.in_unit(evidence.said[0]).mean())
        assert one.bases[0] == pytest.approx([plain], rel=1e-5)


def test_the_values_of_a_column_are_its_own(make: Make) -> None:
    evidence = evidence_of(make, linear)
    dataset = evidence.dataset
    found = {
        one.column.name: one.grid for one in partial_dependence(evidence, dataset.schema.columns, 6)
    }
    cells = dataset.valid_cells
    assert cells is not None
    much = found["much"]
    assert (np.diff(much) > 0).all()
    assert much[0] == pytest.approx(np.quantile(cells["much"], 0.02), abs=0.05)
    assert much[-1] == pytest.approx(np.quantile(cells["much"], 0.98), abs=0.05)
    near = np.abs(cells["much"].to_numpy()[:, None] - much).min(0)
    assert near.max() < 1e-4
    assert found["colour"].tolist() == list(dataset.schema.columns[3].levels)
    assert found["member"].tolist() == [False, True]
    assert found["day"].dtype.kind == "M"
    assert set(pd.DatetimeIndex(found["day"])) <= set(cells["day"])


def test_a_column_that_is_mostly_one_value_is_set_to_others_too(make: Make) -> None:
    frame = table()
    frame["much"] = np.where(np.arange(len(frame)) % 20, 0.0, frame["much"])
    dataset = make("target=y", frame=frame).dataset
    evidence = replace(evidence_of(make, linear), dataset=dataset)
    columns = [column for column in dataset.schema.columns if column.name == "much"]
    (one,) = partial_dependence(evidence, columns, 4)
    assert len(one.grid) > 5


def test_only_so_many_columns_are_varied_and_texts_never(make: Make) -> None:
    evidence = evidence_of(make, linear)
    columns = evidence.dataset.schema.columns
    found = partial_dependence(evidence, columns[::-1], 2)
    assert [one.column.name for one in found] == ["day", "member"]
    unvaried = [replace(column, kind="text") for column in columns]
    assert not list(partial_dependence(evidence, unvaried, 4))


def test_scaling_is_undone() -> None:
    values = np.concatenate([np.linspace(-40, 60, 101), [0.0, 1e4]])
    part = NumericPart("", center=7.0, slope=0.25)
    found = unscaled(part, part.scaled(values).astype("float32").astype("float64"))
    assert found[:102] == pytest.approx(values[:102], rel=1e-3, abs=1e-5)
    assert np.isfinite(found).all()
