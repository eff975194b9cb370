"""What is too good to be true is said, and what is not is left alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from rondel_tabular.data import alone, leaks
from rondel_tabular.data.leaks import row_hashes, twins
from rondel_tabular.data.part import Part

Make = Callable[..., Any]


def table(rows: int = 1000, **columns: Any) -> pd.DataFrame:
    draw = np.random.default_rng(0)
    x, z = draw.standard_normal((2, rows))
    y = np.where(x + draw.standard_normal(rows) > 0, "yes", "no")
    return pd.DataFrame({"x": x, "z": z, "y": y, **columns})


def notes(make: Make, frame: pd.DataFrame, *items: str) -> list[str]:
    return list(make("target=y", *items, frame=frame).dataset.notes)


def test_an_honest_table_gets_no_note(make: Make) -> None:
    assert notes(make, table()) == []


def test_a_copy_of_the_classes_is_accused(make: Make) -> None:
    frame = table()
    frame["outcome"] = frame["y"].map({"yes": 1, "no": 0})
    (note,) = notes(make, frame)
    assert note.startswith("Column 'outcome' predicts 'y' almost alone (right in 100.0% of other")
    assert note.endswith("not known when predicting, leave it out with kinds.outcome=drop")


def test_a_column_that_is_missing_in_one_class_is_accused(make: Make) -> None:
    frame = table(closed=np.random.default_rng(5).standard_normal(1000))
    frame.loc[frame["y"] == "no", "closed"] = None
    assert "Column 'closed' predicts 'y' almost alone" in notes(make, frame)[0]


@pytest.mark.parametrize("share", [0.97, 0.90])
def test_a_good_column_is_not_accused(make: Make, share: float) -> None:
    frame = table()
    right = np.random.default_rng(2).random(1000) < share
    frame["good"] = (frame["y"] == "yes") == right
    assert notes(make, frame) == []


def test_a_rare_class_is_not_told_by_guessing_the_other(make: Make) -> None:
    frame = table(2000)
    frame["y"] = ["rare" if row % 200 == 0 else "usual" for row in range(2000)]
    assert notes(make, frame) == []


@pytest.mark.parametrize(
    "leak", [lambda y: 3 * y - 1, lambda y: np.exp(3 * y), lambda y: np.sin(2 * y) + 3 * y]
)
def test_a_function_of_the_number_is_accused(make: Make, leak: Callable[[Any], Any]) -> None:
    frame = table(2000)
    frame["y"] = frame["x"] + np.random.default_rng(1).standard_normal(2000)
    frame["leak"] = leak(frame["y"])
    (note,) = notes(make, frame)
    assert note.startswith("Column 'leak' predicts 'y' almost alone (R² ")


def test_a_strong_but_honest_number_is_not_accused(make: Make) -> None:
    frame = table(2000)
    frame["y"] = frame["x"] + 0.2 * np.random.default_rng(1).standard_normal(2000)
    dataset = make("target=y", frame=frame).dataset
    assert dataset.notes == ()
    pearson = np.corrcoef(frame["x"], frame["y"])[0, 1]
    assert dataset.associations["x"] == pytest.approx(pearson, abs=0.03)
    assert dataset.associations["z"] < 0.2


def test_the_association_of_a_category_is_its_correlation_ratio(make: Make) -> None:
    draw = np.random.default_rng(3)
    groups = draw.integers(0, 5, 5000)
    values = np.array([0.0, 1.0, 3.0, -1.0, 0.5])[groups] + draw.standard_normal(5000)
    frame = pd.DataFrame({"g": [f"g{group}" for group in groups], "y": values})
    means = np.array([values[groups == group].mean() for group in range(5)])[groups]
    ratio = (means.var() / values.var()) ** 0.5
    found = make("target=y", frame=frame).dataset.associations["g"]
    assert found == pytest.approx(ratio, abs=0.03)


def test_few_rows_are_not_enough_to_accuse(make: Make) -> None:
    assert not [note for note in make("dataset=iris").dataset.notes if "almost alone" in note]


def test_several_targets_are_looked_at_each(make: Make) -> None:
    frame = table()
    frame["number"] = frame["x"] + np.random.default_rng(1).standard_normal(1000)
    frame["leak"] = 2 * frame["number"]
    frame.loc[::3, "number"] = None
    found = make("targets=y,number", frame=frame).dataset.notes
    assert [note.split("(")[0] for note in found] == [
        "Column 'leak' predicts 'number' almost alone "
    ]


def test_an_id_that_repeats_is_named_unless_it_was_settled(make: Make) -> None:
    frame = table(patient_id=np.random.default_rng(1).integers(0, 300, 1000))
    (note,) = notes(make, frame)
    assert note.startswith("Column 'patient_id' is named like an id: if its rows belong together,")
    assert "split=group split_column=patient_id" in note
    assert notes(make, frame, "split=group", "split_column=patient_id") == []
    assert notes(make, frame, "kinds.patient_id=number") == []


def test_only_a_sample_of_a_large_table_is_looked_at(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    plain = alone.score_of

    def counted(prediction: Any, truth: Any, mean: Any) -> Any:
        sizes.append(len(truth))
        return plain(prediction, truth, mean)

    monkeypatch.setattr(alone, "score_of", counted)
    monkeypatch.setattr(leaks, "SAMPLE_ROWS", 150)
    frame = table()
    frame["outcome"] = frame["y"]
    assert "'outcome'" in notes(make, frame)[0]
    assert set(sizes) == {150}


# -- twins -----------------------------------------------------------------------------------------


def test_rows_on_both_sides_are_counted(make: Make) -> None:
    frame = table()
    dataset = make("target=y", frame=frame).dataset
    held = np.setdiff1d(np.arange(1000), dataset.train_rows)
    frame.loc[held[:7]] = frame.loc[dataset.train_rows[:7]].to_numpy()
    again = make("target=y", "split=random", frame=frame).dataset
    train = frame.iloc[again.train_rows]
    valid = frame.drop(index=again.train_rows)
    count = int(valid.apply(tuple, axis=1).isin(set(train.apply(tuple, axis=1))).sum())
    assert count
    assert again.notes == (
        (
            f"{count} of 200 validation rows ({count / 200:.1%}) repeat a training row, in the target "
            "and in all columns that are read: they measure what is remembered"
        ),
    )


def test_rows_with_another_target_are_no_twins(make: Make) -> None:
    draw = np.random.default_rng(0)
    frame = pd.DataFrame({"x": np.repeat(draw.standard_normal(50), 2), "y": ["a", "b"] * 50})
    assert notes(make, frame) == []


def test_the_rows_of_folds_are_compared_with_one_another(make: Make) -> None:
    frame = pd.concat([table(100), table(100).iloc[:10]])
    found = make("target=y", "loop=folds", "network.width=8", frame=frame).dataset.notes
    assert found == (
        (
            "10 of 110 rows (9.1%) repeat another, in the target and in all columns that are read: "
            "they measure what is remembered"
        ),
    )


def test_hashes_are_equal_for_equal_rows_alone() -> None:
    draw = torch.Generator().manual_seed(0)
    part = Part(
        torch.randint(0, 2, (4096, 3), generator=draw).float() - 0.0,
        torch.randint(0, 3, (4096, 2), generator=draw).int(),
        torch.randint(0, 2, (4096, 1), generator=draw).float(),
        torch.rand(4096, generator=draw),
    )
    rows = torch.cat([part.numbers, part.levels, part.values], dim=1)
    _, expected = torch.unique(rows, dim=0, return_inverse=True)
    _, found = np.unique(row_hashes(part), return_inverse=True)
    pairs = set(zip(found.tolist(), expected.tolist(), strict=True))
    assert len(pairs) == len(set(found.tolist())) == len(set(expected.tolist()))
    negative = part._replace(numbers=torch.where(part.numbers == 0, -0.0, part.numbers))
    assert np.array_equal(row_hashes(negative), row_hashes(part))


def test_no_twins_no_note() -> None:
    ones = np.arange(5, dtype=np.uint64)
    assert twins(ones, ones + np.uint64(10)) == ()
    assert twins(ones, None) == ()
