"""Which rows train and which validate."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rondel.errors import ConfigError, DataError
from rondel_tabular.data.split import split_by_group, split_by_time, split_rows, strata

Make = Callable[..., Any]
Groups = st.lists(st.integers(0, 12).map(str) | st.none(), min_size=2, max_size=80)


def table(rows: int = 200, **columns: Any) -> pd.DataFrame:
    draw = np.random.default_rng(0)
    classes = draw.choice(["a", "b", "c"], rows, p=(0.7, 0.25, 0.05))
    return pd.DataFrame({"x": draw.standard_normal(rows), "y": classes, **columns})


def positions(make: Make, *items: str, frame: pd.DataFrame) -> tuple[set[int], set[int]]:
    """Return the rows of both parts, recognised by their own number x."""
    dataset = make("target=y", "kinds.x=number", *items, frame=frame).dataset
    numbers, _ = dataset.schema.encode(frame)
    place = dataset.schema.places[[c.name for c in dataset.schema.columns].index("x")].numbers[0]
    of_value = {value: row for row, value in enumerate(numbers[:, place].tolist())}
    parts = (dataset.train, dataset.valid)
    train, valid = ({of_value[v] for v in part.numbers[:, place].tolist()} for part in parts)
    assert sorted(train) == dataset.train_rows.tolist()
    return train, valid


@pytest.mark.parametrize("split", ["stratified", "random"])
def test_parts_are_disjoint_and_hold_all_rows(make: Make, split: str) -> None:
    train, valid = positions(make, f"split={split}", frame=table())
    assert train.isdisjoint(valid)
    assert train | valid == set(range(200))
    assert len(valid) == pytest.approx(40, abs=1)


@given(
    sizes=st.lists(st.integers(1, 60), min_size=1, max_size=6),
    fraction=st.floats(0.05, 0.95),
    seed=st.integers(0, 5),
)
def test_every_stratum_gives_its_share_and_keeps_a_row(
    sizes: list[int], fraction: float, seed: int
) -> None:
    groups = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)), sizes))
    expected = [min(round(fraction * size), size - 1) for size in sizes]
    if not sum(expected):
        with pytest.raises(DataError, match="too few"):
            split_rows(groups, fraction, seed=seed, where="t")
        return
    train, valid = split_rows(groups, fraction, seed=seed, where="t")
    assert np.array_equal(np.sort(np.concatenate([train, valid])), np.arange(len(groups)))
    assert np.bincount(groups[valid], minlength=len(sizes)).tolist() == expected


def test_a_number_is_stratified_by_its_range(make: Make) -> None:
    values = pd.Series(np.random.default_rng(1).standard_normal(1000) ** 3, name="y")
    groups = strata(values, "regression")
    assert np.bincount(groups).tolist() == [100] * 10
    ranges = [(values[groups == group].min(), values[groups == group].max()) for group in range(10)]
    assert all(low[1] < high[0] for low, high in itertools.pairwise(ranges))


def test_the_split_is_a_function_of_the_seed(make: Make) -> None:
    frame = table()
    first, again, other = (
        positions(make, f"run.seed={seed}", frame=frame)[1] for seed in (0, 0, 1)
    )
    assert first == again != other


# -- groups ----------------------------------------------------------------------------------------


@given(groups=Groups, fraction=st.floats(0.05, 0.95), seed=st.integers(0, 5))
def test_no_group_is_on_both_sides(groups: list[str | None], fraction: float, seed: int) -> None:
    column = pd.Series(groups, dtype="object", name="g")
    if len(set(groups)) < 2:
        with pytest.raises(DataError, match="the same in all of them"):
            split_by_group(column, fraction, seed=seed, where="t")
        return
    train, valid = split_by_group(column, fraction, seed=seed, where="t")
    sides = [{groups[row] for row in rows} for rows in (train.tolist(), valid.tolist())]
    assert sides[0]
    assert sides[1]
    assert sides[0].isdisjoint(sides[1])
    assert sorted([*train.tolist(), *valid.tolist()]) == list(range(len(groups)))


@pytest.mark.parametrize("seed", range(8))
def test_a_huge_group_is_not_held_out(seed: int) -> None:
    groups = pd.Series(["huge"] * 900 + ["b"] * 50 + ["c"] * 50, name="g")
    _, valid = split_by_group(groups, 0.2, seed=seed, where="t")
    assert len(valid) == 100


@pytest.mark.parametrize("seed", range(8))
def test_groups_come_near_to_the_share(seed: int) -> None:
    groups = pd.Series(np.repeat(np.arange(100), 10).astype(str), name="g")
    _, valid = split_by_group(groups, 0.25, seed=seed, where="t")
    assert len(valid) == 250


def test_a_table_is_divided_by_groups_and_does_not_read_them(make: Make) -> None:
    groups = [f"g{row % 20}" for row in range(200)]
    frame = table(g=groups)
    train, valid = positions(make, "split=group", "split_column=g", frame=frame)
    assert {groups[row] for row in train}.isdisjoint(groups[row] for row in valid)
    dataset = make("target=y", "split=group", "split_column=g", frame=frame).dataset
    assert [column.name for column in dataset.schema.columns] == ["x"]


# -- time ------------------------------------------------------------------------------------------


@given(days=st.lists(st.integers(0, 30), min_size=2, max_size=60), fraction=st.floats(0.05, 0.9))
def test_all_validation_rows_are_later_than_all_training_rows(
    days: list[int], fraction: float
) -> None:
    start = pd.Timestamp("2020-01-01")
    column = pd.Series([start + pd.Timedelta(days=day) for day in days], name="t")
    if len(set(days)) < 2:
        with pytest.raises(DataError, match="the same in all of them"):
            split_by_time(column, fraction, where="t")
        return
    train, valid = split_by_time(column, fraction, where="t")
    assert column.iloc[train].max() < column.iloc[valid].min()
    assert len(train) + len(valid) == len(days)
    latest = days.count(max(days))
    assert len(valid) <= max(latest, 1, fraction * len(days))


@pytest.mark.parametrize("kind", ["text", "number", "moment"])
def test_time_may_be_text_a_number_or_a_moment(make: Make, kind: str) -> None:
    order = np.random.default_rng(3).permutation(200)
    moments = pd.Timestamp("2020-01-01") + pd.to_timedelta(order, unit="D")
    times = {"text": moments.strftime("%Y-%m-%d"), "number": order, "moment": moments}[kind]
    frame = table(t=times)
    train, valid = positions(make, "split=time", "split_column=t", frame=frame)
    assert max(order[list(train)]) < min(order[list(valid)])
    assert len(valid) == 40


def test_a_row_without_time_is_named(make: Make) -> None:
    times = [f"2020-01-{1 + row % 28:02}" for row in range(200)]
    times[7] = "soon"
    with pytest.raises(DataError) as caught:
        make("target=y", "split=time", "split_column=t", frame=table(t=times))
    assert str(caught.value) == (
        "the table, column 't': 1 row has no time, the first is 'soon' in data row 8. Correct these "
        "rows or leave them out, or choose another split."
    )


@pytest.mark.parametrize("split", ["time", "group"])
def test_a_column_to_divide_by_must_be_there(make: Make, split: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make("target=y", f"split={split}", frame=table())
    assert str(caught.value) == (
        f"split_column: split={split} needs a column to divide by. The columns are x, y."
    )
    with pytest.raises(ConfigError, match=r"and there is no 'gruop'\. Did you mean 'group'\?"):
        make("target=y", f"split={split}", "split_column=gruop", frame=table(group=1))


def test_a_class_that_no_training_row_has_cannot_validate(make: Make) -> None:
    frame = table(t=range(200))
    frame["y"] = ["a", "b"] * 95 + ["a", "b", "new"] * 3 + ["a"]
    dataset = make("target=y", "split=time", "split_column=t", frame=frame).dataset
    assert dataset.targets[0].labels == ("a", "b")
    assert dataset.valid.rows == 37
    assert dataset.notes[0] == (
        "3 rows have a class of 'y' that no training row has and cannot validate: new"
    )
    frame["y"] = ["a", "b"] * 80 + ["new"] * 40
    with pytest.raises(DataError, match="every validation row has a class that no training row"):
        make("target=y", "split=time", "split_column=t", frame=frame)
