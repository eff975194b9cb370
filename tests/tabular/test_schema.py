"""Kinds of columns are guessed, and rows become tensors, whatever was stored how."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from rondel.errors import DataError
from rondel.tree import flatten, unflatten
from rondel_tabular.data.kinds import guess_kind
from rondel_tabular.data.schema import FARTHEST, Schema
from rondel_tabular.data.target import Target, guess_task

KINDS = [
    ([1.5, 2.5, 1.0, None], "number"),
    (["1", "2", "30", "4.5"], "number"),
    (["1"] * 30 + ["a"], "number"),
    ([True, False, True], "boolean"),
    (["yes", "no", None, "Yes"], "boolean"),
    (["yes", "no", None, "no"], "boolean"),
    (["2020-01-31", "2021-02-28 10:00:00", None], "datetime"),
    (pd.to_datetime(["2020-01-31", "2021-02-28"]), "datetime"),
    (["red", "green", "red", "green"], "category"),
    (pd.Categorical(["a", "b", "a", "b"]), "category"),
    ([f"name {i}" for i in range(20)], "drop"),
    (list(range(20)), "drop"),
    (list(range(1950, 1970)), "number"),
    ([None, None], "drop"),
    ([7, 7, 7], "drop"),
    (["same", "same"], "drop"),
]


@pytest.mark.parametrize(("values", "kind"), KINDS)
def test_kinds_are_guessed_from_the_cells(values: Any, kind: str) -> None:
    assert guess_kind(pd.Series(values, name="c")).kind == kind


TASKS = [
    (["a", "b", "a"], "classification"),
    ([True, False], "classification"),
    ([0, 1, 0, 1], "classification"),
    ([0.5, 1.5, 0.5], "classification"),
    ([1.0, 2.0, 3.0] * 10, "classification"),
    ([1.5, 2.0, 3.0] * 10, "regression"),
    (list(range(100)), "regression"),
]


@pytest.mark.parametrize(("values", "task"), TASKS)
def test_the_task_is_guessed_from_the_target(values: Any, task: str) -> None:
    assert guess_task(pd.Series(values, name="y")) == task


def test_a_whole_table_is_understood(make: Callable[..., Any], frame: pd.DataFrame) -> None:
    dataset = make("target=bought", frame=frame).dataset
    kinds = {column.name: column.kind for column in dataset.schema.columns}
    assert kinds == {
        "age": "number",
        "colour": "category",
        "member": "boolean",
        "since": "datetime",
    }
    assert dataset.dropped == {
        "id": "it numbers the rows",
        "name": "text: 100% of its cells occur only once",
        "country": "the same value in every row",
        "fax": "every cell is empty",
    }


def test_kinds_can_be_set(make: Callable[..., Any], frame: pd.DataFrame) -> None:
    dataset = make("target=bought", "kinds.age=category", "kinds.since=drop", frame=frame).dataset
    kinds = {column.name: column.kind for column in dataset.schema.columns}
    assert kinds["age"] == "category"
    assert dataset.dropped["since"] == "set by kinds.since"


def test_numbers_are_standardised_and_missing_ones_marked() -> None:
    frame = pd.DataFrame({"x": [1.0, 3.0, None, 1e9]})
    schema = Schema.fit(frame.iloc[:3], {"x": "number"})
    numbers, levels = schema.encode(frame)
    expected = [[-1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [FARTHEST, 0.0]]
    torch.testing.assert_close(numbers, torch.tensor(expected))
    assert levels.shape == (4, 0)


def test_rare_unseen_and_missing_categories_are_unknown() -> None:
    seen = pd.DataFrame({"c": ["b", "a", "b", "b", "a", "once"]})
    schema = Schema.fit(seen, {"c": "category"})
    _, levels = schema.encode(pd.DataFrame({"c": ["a", "b", "once", "new", None]}))
    assert levels.flatten().tolist() == [2, 1, 0, 0, 0]
    assert schema.levels == (3,)


def test_a_level_does_not_depend_on_how_it_is_stored() -> None:
    schema = Schema.fit(pd.DataFrame({"c": [1, 2, 1, 2, 1]}), {"c": "category"})
    for stored in (
        pd.Series([1, 2]),
        pd.Series([1.0, 2.0]),
        pd.Series(["1", " 2 "]),
        pd.Series(["1", "2"], dtype="category"),
        pd.Series([1, 2], dtype="Int64"),
        pd.Series([1, 2], dtype="object"),
    ):
        assert schema.encode(pd.DataFrame({"c": stored}))[1].flatten().tolist() == [1, 2]


def test_a_number_does_not_depend_on_how_it_is_stored() -> None:
    schema = Schema.fit(pd.DataFrame({"x": [0.0, 10.0]}), {"x": "number"})
    for kind in ("int8", "float32", "Int64", "str", "object", "category"):
        frame = pd.DataFrame({"x": pd.Series([0, 10]).astype(kind)})
        assert schema.encode(frame)[0].flatten().tolist() == [-1.0, 1.0], kind


def test_dates_become_numbers_and_constant_parts_are_left_out() -> None:
    frame = pd.DataFrame({"d": ["2020-01-01", "2020-01-03", "2020-01-02"]})
    schema = Schema.fit(frame, {"d": "datetime"})
    assert [part.name for part in schema.columns[0].parts] == ["days", "day", "weekday"]
    days = schema.encode(frame)[0][:, 0]
    torch.testing.assert_close(days, torch.tensor([-(1.5**0.5), 1.5**0.5, 0.0]))


def test_a_schema_survives_the_checkpoint_format(
    make: Callable[..., Any], frame: pd.DataFrame
) -> None:
    schema = make("target=bought", frame=frame).dataset.schema
    again = Schema.from_facts(unflatten(*flatten(schema.to_facts())))
    assert again == schema


def test_reordered_and_surplus_columns_change_nothing(
    make: Callable[..., Any], frame: pd.DataFrame
) -> None:
    schema = make("target=bought", frame=frame).dataset.schema
    numbers, levels = schema.encode(frame)
    other = frame[frame.columns[::-1]].assign(more=1)
    torch.testing.assert_close(schema.encode(other)[0], numbers, rtol=0, atol=0)
    assert torch.equal(schema.encode(other)[1], levels)


def test_a_column_with_empty_cells_may_be_absent_and_others_may_not(
    make: Callable[..., Any], frame: pd.DataFrame
) -> None:
    schema = make("target=bought", frame=frame).dataset.schema
    without = schema.encode(frame.drop(columns=["age", "colour"]))
    empty = schema.encode(frame.assign(age=None, colour=None))
    assert torch.equal(without[0], empty[0])
    assert torch.equal(without[1], torch.zeros(len(frame), 1, dtype=torch.int64))
    with pytest.raises(DataError) as caught:
        schema.encode(frame.rename(columns={"member": "membre"}), where="new.csv")
    assert str(caught.value) == (
        "new.csv: the column 'member' which the model reads is not there. Did you mean 'membre'? "
        "Only columns that had empty cells in training may be left out."
    )


def test_a_column_of_another_kind_is_refused() -> None:
    schema = Schema.fit(pd.DataFrame({"x": [0.0, 1.0]}), {"x": "number"})
    with pytest.raises(DataError) as caught:
        schema.encode(pd.DataFrame({"x": ["a", "b"]}))
    assert str(caught.value).startswith(
        "the table, column 'x': no cell is a number, the first is 'a'. Conv"
    )


def test_statistics_come_from_training_rows_alone(make: Callable[..., Any]) -> None:
    dataset = make("dataset=diabetes").dataset
    numbers, _, targets = dataset.train.tensors
    torch.testing.assert_close(numbers.mean(0), torch.zeros(10), rtol=0, atol=1e-5)
    torch.testing.assert_close(targets.std(correction=0), torch.tensor(1.0))
    assert dataset.valid.tensors[0].mean(0).abs().max() > 1e-3


def test_the_split_keeps_the_shares_of_the_classes(make: Callable[..., Any]) -> None:
    dataset = make("dataset=breast_cancer").dataset
    shares = [float((part.targets == 0).float().mean()) for part in (dataset.train, dataset.valid)]
    assert abs(shares[0] - shares[1]) < 0.01


def test_the_split_is_a_function_of_the_seed(make: Callable[..., Any]) -> None:
    def rows(*items: str) -> torch.Tensor:
        part: torch.Tensor = make("dataset=wine", *items).dataset.valid.tensors[0]
        return part

    first, again, other = rows(), rows(), rows("run.seed=1")
    np.testing.assert_array_equal(first, again)
    assert first.shape != other.shape or not torch.allclose(first, other, atol=1e-3)


def test_labels_keep_their_type() -> None:
    for values, labels in (
        ([2, 1, 10], (1, 2, 10)),
        ([True, False], (False, True)),
        (["b", "a"], ("a", "b")),
        ([0.5, 1.5], (0.5, 1.5)),
    ):
        column = pd.Series(values, name="y")
        target = Target.fit(column, "classification")
        assert target.labels == labels
        assert Target.from_facts(unflatten(*flatten(target.to_facts()))) == target
        assert sorted(target.encode(column, where="").tolist()) == list(range(len(labels)))
