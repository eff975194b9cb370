"""How much a row counts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from rondel.errors import ConfigError, DataError

Make = Callable[..., Any]


def table(**columns: Any) -> pd.DataFrame:
    draw = np.random.default_rng(0)
    labels = ["a"] * 60 + ["b"] * 30 + ["c"] * 10
    return pd.DataFrame({"x": draw.standard_normal(100), "y": labels, **columns})


def test_all_rows_count_the_same_by_default(make: Make) -> None:
    assert make("target=y", frame=table()).dataset.train.weights.tolist() == [1.0] * 80


def test_weights_are_read_and_divided_by_their_mean(make: Make) -> None:
    weights = np.random.default_rng(1).uniform(0, 3, 100)
    dataset = make("target=y", "weight=w", frame=table(w=weights)).dataset
    mine = weights[dataset.train_rows]
    expected = torch.tensor(mine / mine.mean(), dtype=torch.float32)
    torch.testing.assert_close(dataset.train.weights, expected)
    assert dataset.valid.weights.double().mean() == pytest.approx(1)
    assert [column.name for column in dataset.schema.columns] == ["x"]


@pytest.mark.parametrize("weighted", [False, True])
def test_balanced_classes_count_the_same(make: Make, weighted: bool) -> None:
    weights = np.random.default_rng(1).uniform(0, 3, 100) if weighted else np.ones(100)
    items = ["target=y", "class_weights=balanced", *(["weight=w"] if weighted else [])]
    frame = table(w=weights) if weighted else table()
    dataset = make(*items, frame=frame).dataset
    part = dataset.train
    sums = [float(part.weights[part.values[:, 0] == place].sum()) for place in range(3)]
    assert sums == pytest.approx([len(part.weights) / 3] * 3, rel=1e-5)
    inside = part.weights[part.values[:, 0] == 0]
    before = weights[dataset.train_rows][(part.values[:, 0] == 0).numpy()]
    np.testing.assert_allclose(inside / inside.sum(), before / before.sum(), rtol=1e-5)


def test_rows_that_validate_are_not_balanced(make: Make) -> None:
    dataset = make("target=y", "class_weights=balanced", frame=table()).dataset
    assert dataset.valid.weights.tolist() == [1.0] * 20


def test_a_class_of_no_weight_counts_nothing(make: Make) -> None:
    weights = [1.0] * 90 + [0.0] * 10
    items = ("target=y", "class_weights=balanced", "weight=w")
    part = make(*items, frame=table(w=weights)).dataset.train
    sums = [float(part.weights[part.values[:, 0] == place].sum()) for place in range(3)]
    assert sums == pytest.approx([40, 40, 0])


BAD = [
    (
        [1.0] * 99 + [-1.0],
        "1 weight is no number of 0 or more, the first is '-1.0' in data row 100",
    ),
    (["1"] * 97 + ["x", None, "2"], "2 weights are no number of 0 or more, the first is 'x' in"),
    ([0.0] * 100, "all weights are 0"),
]


@pytest.mark.parametrize(("weights", "said"), BAD)
def test_weights_that_are_none_are_refused(make: Make, weights: Any, said: str) -> None:
    with pytest.raises(DataError) as caught:
        make("target=y", "weight=w", "split=time", "split_column=t", "valid_fraction=0.5",
             frame=table(w=weights, t=range(100, 0, -1)))  # fmt: skip
    assert str(caught.value).startswith(f"the table, column 'w': {said}")


def test_a_column_of_weights_must_be_there(make: Make) -> None:
    with pytest.raises(ConfigError) as caught:
        make("target=y", "weight=wieght", frame=table(weight=1.0))
    assert str(caught.value) == (
        "weight: there is no column 'wieght' of weights. Did you mean 'weight'?"
    )


def test_only_classes_of_one_target_are_balanced(make: Make) -> None:
    with pytest.raises(ConfigError, match="class_weights: only the classes of a single target"):
        make("target=x", "class_weights=balanced", frame=table())
    with pytest.raises(ConfigError, match="class_weights: only the classes of a single target"):
        make("targets=x,y", "class_weights=balanced", frame=table(z=np.arange(100.0) % 7))
