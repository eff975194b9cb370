"""Rows become tensors, whatever was stored how."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from rondel.errors import DataError
from rondel.tree import flatten, unflatten
from rondel_tabular.data import schema as schema_module
from rondel_tabular.data.column import FARTHEST, edges_of
from rondel_tabular.data.schema import Schema
from rondel_tabular.data.target import Target

Make = Callable[..., Any]


def scaled(values: Any, center: float, slope: float) -> torch.Tensor:
    """The formula of RealMLP (Holzmüller et al., 2024), naively."""
    moved = (np.asarray(values, dtype="float64") - center) * slope
    return torch.tensor([z / (1 + (z / 3) ** 2) ** 0.5 for z in moved], dtype=torch.float32)


def test_numbers_are_scaled_by_median_and_quartiles() -> None:
    values = [3.0, -1.0, 4.0, 1.5, 9.0, 2.6, 5.0]
    numbers, levels = Schema.fit(pd.DataFrame({"x": values}), {"x": "number"}).encode(
        pd.DataFrame({"x": [*values, 1e12]})
    )
    first, center, third = np.percentile(values, [25, 50, 75])
    expected = scaled([*values, 1e12], center, 1 / (third - first))
    torch.testing.assert_close(numbers[:, 0], expected)
    assert float(numbers.max()) == pytest.approx(FARTHEST)
    assert levels.shape == (8, 0)


def test_a_number_that_is_mostly_the_same_is_scaled_by_its_range() -> None:
    values = [0.0] * 9 + [10.0]
    numbers, _ = Schema.fit(pd.DataFrame({"x": values}), {"x": "number"}).encode(
        pd.DataFrame({"x": values})
    )
    torch.testing.assert_close(numbers[:, 0], scaled(values, 0.0, 2 / 10))


def test_missing_numbers_are_the_median_and_marked() -> None:
    frame = pd.DataFrame({"x": [1.0, 3.0, 2.0, None]})
    schema = Schema.fit(frame, {"x": "number"})
    numbers, _ = schema.encode(frame)
    assert numbers[3].tolist() == [0.0, 1.0]
    assert numbers[:3, 1].tolist() == [0.0, 0.0, 0.0]
    assert len(schema.edges) == schema.numbers == 2


def test_the_indicator_of_a_date_is_there_when_all_parts_are_the_same() -> None:
    frame = pd.DataFrame({"d": ["2020-01-01", None, "2020-01-01"]})
    schema = Schema.fit(frame, {"d": "datetime"})
    assert schema.encode(frame)[0].tolist() == [[0.0], [1.0], [0.0]]


def test_tiny_numbers_are_not_taken_for_constant() -> None:
    schema = Schema.fit(pd.DataFrame({"x": [1e-15, 2e-15, 3e-15]}), {"x": "number"})
    assert schema.columns[0].parts[0].slope > 0


def test_numbers_that_differ_by_rounding_alone_are_constant() -> None:
    schema = Schema.fit(pd.DataFrame({"x": [0.1 + 0.2, 0.3, 0.3]}), {"x": "number"})
    assert schema.columns[0].parts[0].slope == 0


def test_edges_are_quantiles_or_all_values_if_they_are_few() -> None:
    values = np.random.default_rng(0).standard_normal(1000)
    assert edges_of(values, 8) == tuple(np.quantile(values, np.arange(9) / 8).tolist())
    assert edges_of(np.array([1.0, 2.0, 2.0, 5.0]), 8) == (1.0, 2.0, 5.0)


def test_half_of_the_edges_stand_between_different_values_where_one_is_most() -> None:
    others = np.random.default_rng(0).uniform(1, 2, 300)
    values = np.concatenate([np.zeros(700), others])
    edges = edges_of(values, 8)
    assert sum(edge > 0 for edge in edges) >= 4
    assert set(np.quantile(np.append(0.0, np.unique(others)), np.arange(5) / 4)) <= set(edges)


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
    expected = schema.encode(pd.DataFrame({"x": [0.0, 10.0]}))[0]
    for kind in ("int8", "float32", "Int64", "str", "object", "category"):
        frame = pd.DataFrame({"x": pd.Series([0, 10]).astype(kind)})
        assert torch.equal(schema.encode(frame)[0], expected), kind


def test_dates_become_numbers_and_constant_parts_are_left_out() -> None:
    frame = pd.DataFrame({"d": ["2020-01-01", "2020-01-03", "2020-01-02"]})
    schema = Schema.fit(frame, {"d": "datetime"})
    assert [part.name for part in schema.columns[0].parts] == ["days", "day", "weekday"]
    days = schema.encode(frame)[0][:, 0]
    torch.testing.assert_close(days, scaled([-1, 1, 0], 0.0, 1.0))


def test_dates_long_ago_and_far_ahead_are_dates() -> None:
    frame = pd.DataFrame({"d": ["0001-01-01", "1500-06-01", "9999-12-31"]})
    numbers, _ = Schema.fit(frame, {"d": "datetime"}).encode(frame)
    assert torch.isfinite(numbers).all()
    assert numbers[:, 0].tolist() == sorted(numbers[:, 0].tolist())


def test_a_schema_survives_json_and_the_checkpoint_format(make: Make, frame: pd.DataFrame) -> None:
    frame["remark"] = [f"the remark {row} of many" for row in range(len(frame))]
    schema = make("target=bought", frame=frame).dataset.schema
    assert {column.kind for column in schema.columns} >= {"text", "number", "category"}
    assert Schema.from_facts(unflatten(*flatten(schema.to_facts()))) == schema
    assert Schema.from_facts(json.loads(json.dumps(schema.to_facts()))) == schema


def test_reordered_and_surplus_columns_change_nothing(make: Make, frame: pd.DataFrame) -> None:
    schema = make("target=bought", frame=frame).dataset.schema
    numbers, levels = schema.encode(frame)
    other = frame[frame.columns[::-1]].assign(more=1)
    torch.testing.assert_close(schema.encode(other)[0], numbers, rtol=0, atol=0)
    assert torch.equal(schema.encode(other)[1], levels)


def test_a_column_with_empty_cells_may_be_absent_and_others_may_not(
    make: Make, frame: pd.DataFrame
) -> None:
    schema = make("target=bought", frame=frame).dataset.schema
    without = schema.encode(frame.drop(columns=["age", "colour"]))
    empty = schema.encode(frame.assign(age=None, colour=None))
    assert torch.equal(without[0], empty[0])
    assert torch.equal(without[1], torch.zeros(len(frame), 1, dtype=torch.int32))
    with pytest.raises(DataError) as caught:
        schema.encode(frame.rename(columns={"member": "membre"}), where="new.csv")
    assert str(caught.value) == (
        "new.csv: the column 'member' which the model reads is not there. Did you mean 'membre'? "
        "Only columns that had empty cells in training may be left out."
    )


def test_a_column_of_another_kind_is_refused() -> None:
    schema = Schema.fit(pd.DataFrame({"x": [0.0, 1.0]}), {"x": "number"})
    with pytest.raises(DataError) as caught:
        schema.encode(pd.DataFrame({"x": [None, "a", "b"]}))
    assert str(caught.value) == (
        "the table, column 'x': no cell is a number, the first is 'a' in data row 1. Convert the "
        "column, or set another kind for it with kinds.NAME=KIND."
    )
    assert schema.encode(pd.DataFrame({"x": ["a"]}), partial=True)[0].tolist() == [[0.0]]


def test_some_rows_are_encoded_as_all_rows_are(
    make: Make, frame: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    schema = make("target=bought", frame=frame).dataset.schema
    whole = schema.encode(frame)
    monkeypatch.setattr(schema_module, "BLOCK_ROWS", 7)
    rows = np.array([3, 5, 77, 78, 79, 80, 81, 82, 83, 200])
    for some, all_rows in zip(schema.encode(frame, rows=rows), whole, strict=True):
        assert torch.equal(some, all_rows[torch.from_numpy(rows)])


def test_the_places_of_columns_are_those_of_their_features(make: Make, frame: pd.DataFrame) -> None:
    schema = make("target=bought", frame=frame).dataset.schema
    numbers, levels = schema.encode(frame)
    for column, place in zip(schema.columns, schema.places, strict=True):
        alone = Schema((column,)).encode(frame)
        assert torch.equal(alone[0], numbers[:, place.numbers.start : place.numbers.stop])
        if place.level is not None:
            assert torch.equal(alone[1][:, 0], levels[:, place.level])
    assert sum(len(place.numbers) for place in schema.places) == schema.numbers


def test_float32_columns_are_not_copied_as_a_whole(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tracemalloc

    monkeypatch.setattr(schema_module, "BLOCK_ROWS", 1000)
    draw = np.random.default_rng(0)
    frame = pd.DataFrame(draw.standard_normal((20_000, 40), dtype=np.float32)).rename(columns=str)
    schema = Schema.fit(frame, dict.fromkeys(map(str, frame), "number"))
    tracemalloc.start()
    schema.encode(frame)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1.2 * 20_000 * 40 * 4


def test_statistics_come_from_training_rows_alone(make: Make) -> None:
    loop = make("dataset=diabetes")
    train, valid = loop.dataset.train, loop.dataset.valid
    plain = [place for place, edges in enumerate(loop.dataset.schema.edges) if len(edges) > 9]
    torch.testing.assert_close(
        train.numbers[:, plain].double().quantile(0.5, dim=0),
        torch.zeros(len(plain), dtype=torch.float64),
        rtol=0,
        atol=1e-6,
    )
    torch.testing.assert_close(train.values[:, 0].std(correction=0), torch.tensor(1.0))
    assert valid.numbers.mean(0).abs().max() > 1e-3


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
