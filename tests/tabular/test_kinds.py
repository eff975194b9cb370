"""Kinds of columns are guessed from their cells, and said where they are in doubt."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from rondel_tabular.data.kinds import guess_kind, looks_like_id
from rondel_tabular.data.schema import Schema
from rondel_tabular.data.target import guess_task
from rondel_tabular.data.words import BUCKETS, bucket_and_sign, hashed

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
    ([1, "a", 2, "b"] * 5, "category"),
    ([f"name {i}" for i in range(20)], "drop"),
    ([f"the name is number {i}" for i in range(20)], "text"),
    (["the same words again", "and others twice"] * 10, "category"),
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
        "name": "names or codes: 100% of its cells occur only once",
        "country": "the same value in every row",
        "fax": "every cell is empty",
    }


def test_kinds_can_be_set(make: Callable[..., Any], frame: pd.DataFrame) -> None:
    dataset = make("target=bought", "kinds.age=category", "kinds.since=drop", frame=frame).dataset
    kinds = {column.name: column.kind for column in dataset.schema.columns}
    assert kinds["age"] == "category"
    assert dataset.dropped["since"] == "set by kinds.since"


IDS = [("id", True), ("customer_id", True), ("customerId", True), ("PassengerID", True)]
IDS += [("UUID", True), ("paid", False), ("grid", False), ("idea", False), ("width", False)]


@pytest.mark.parametrize(("name", "is_id"), IDS)
def test_names_of_ids_are_known(name: str, is_id: bool) -> None:
    assert looks_like_id(name) == is_id


def test_numbers_that_identify_rows_are_dropped_by_name_and_content() -> None:
    numbers = np.random.default_rng(0).permutation(1000)[:50]
    assert guess_kind(pd.Series(numbers, name="customer_id")).reason == (
        "it identifies the rows: every number occurs once"
    )
    assert guess_kind(pd.Series(numbers, name="age")).kind == "number"
    assert guess_kind(pd.Series(numbers // 2, name="customer_id")).kind == "number"


def test_some_rows_of_a_numbered_table_are_numbered() -> None:
    table = pd.Series(range(1, 1001), name="n", index=pd.RangeIndex(1, 1001, name="data row"))
    assert guess_kind(table.iloc[[3, 5, 90, 91, 92, 100, 200, 300, 400, 500, 600]]).kind == "drop"
    squares = table.iloc[:20] ** 2
    assert guess_kind(squares).kind == "number"


# -- text ------------------------------------------------------------------------------------------


def test_texts_are_hashed_as_by_a_naive_count() -> None:
    texts = ["the cat and the dog", "", "Cat!", None]
    found = hashed(pd.Series(texts))
    assert list(found) == [str(bucket) for bucket in range(BUCKETS)]
    for row, words in enumerate((["the", "cat", "and", "the", "dog"], None, ["cat"], None)):
        expected = np.zeros(BUCKETS) if words else np.full(BUCKETS, np.nan)
        for word in words or ():
            bucket, sign = bucket_and_sign(word)
            expected[bucket] += sign / len(words or ()) ** 0.5
        np.testing.assert_allclose([part[row] for part in found.values()], expected)


def test_words_spread_over_buckets_and_signs() -> None:
    places = [bucket_and_sign(f"word{number}") for number in range(6400)]
    counts = np.bincount([bucket for bucket, _ in places], minlength=BUCKETS)
    assert counts.min() > 130
    assert counts.max() < 270
    assert abs(sum(sign for _, sign in places)) < 400


def test_a_word_is_the_same_number_in_every_process() -> None:
    code = "from rondel_tabular.data.words import bucket_and_sign as f; print(f('Zürich'), f('a'))"
    said = {
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    }
    assert said == {f"{bucket_and_sign('Zürich')} {bucket_and_sign('a')}\n"}


def test_a_column_of_text_has_features_named_by_bucket_and_an_indicator() -> None:
    frame = pd.DataFrame({"t": ["red wine from Italy", "white wine", None, "red beer"]})
    schema = Schema.fit(frame, {"t": "text"})
    buckets = {
        str(bucket_and_sign(word)[0]) for word in ["red", "wine", "from", "italy", "white", "beer"]
    }
    assert {part.name for part in schema.columns[0].parts} == buckets
    numbers, _ = schema.encode(frame)
    assert numbers.shape == (4, len(buckets) + 1)
    assert numbers[:, -1].tolist() == [0, 0, 1, 0]


def test_a_telling_word_is_learnt(train: Callable[..., Any], tmp_path: Path) -> None:
    draw = torch.Generator().manual_seed(0)
    neutral = [f"word{number}" for number in range(30)]
    rows, labels = [], []
    for number in range(300):
        words = [neutral[place] for place in torch.randint(30, (6,), generator=draw).tolist()]
        labels.append("spam" if number % 2 else "ham")
        rows.append(" ".join([*words, "winner" if number % 2 else "regards", str(number)]))
    frame = pd.DataFrame({"mail": rows, "y": labels})
    loop, values = train(
        tmp_path / "run", "target=y", "epochs=15", "batch_size=64", "network.width=32", frame=frame
    )
    assert loop.dataset.schema.columns[0].kind == "text"
    assert values["accuracy"] > 0.85
