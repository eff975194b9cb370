"""What each loop promises beside what all promise: rows of members, folds, blends, two phases."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, log_loss

from rondel import Run
from rondel.batcher import FixedSize
from rondel.errors import ConfigError, DataError, Interrupted, UsageError
from rondel_tabular.bundle import TabularBundle
from rondel_tabular.data.batches import OwnRows, Repeated
from rondel_tabular.data.folds import grouped_folds, stratified_folds
from rondel_tabular.data.schema import Schema
from rondel_tabular.demo import embedded
from rondel_tabular.models.corruption import Restorer, Swap, contrast, indicators

Train = Callable[..., Any]
Make = Callable[..., Any]
SMALL = ("network.width=32", "network.number_width=4", "folds.members=2", "network.members=2")


# -- batches ---------------------------------------------------------------------------------------


def test_every_member_goes_through_all_rows_in_an_order_of_its_own() -> None:
    plan = OwnRows(3, 4).plan(10, torch.Generator().manual_seed(0))
    assert [len(batch) for batch in plan] == [4, 4, 2]
    orders = torch.cat(list(plan)).T
    assert all(sorted(order.tolist()) == list(range(10)) for order in orders)
    assert not torch.equal(orders[0], orders[1])


def test_members_of_a_fold_see_its_rows_alone_and_all_end_together() -> None:
    rows = [torch.tensor([0, 1, 2, 3, 4]), torch.tensor([5, 6, 7])]
    orders = torch.cat(list(OwnRows(4, 2, rows).plan(8, torch.Generator().manual_seed(0)))).T
    assert orders.shape == (4, 5)
    assert all(sorted(order.tolist()) == [0, 1, 2, 3, 4] for order in orders[:2])
    for order in orders[2:]:
        assert set(order.tolist()) == {5, 6, 7}
        assert order[3:].tolist() == order[:2].tolist()  # it begins again


def test_a_pass_over_a_small_table_has_several_orders() -> None:
    plan = Repeated(FixedSize(4), 3).plan(10, torch.Generator().manual_seed(0))
    assert [len(batch) for batch in plan] == [4, 4, 2] * 3
    assert sorted(torch.cat(list(plan)).tolist()) == sorted(list(range(10)) * 3)


def test_a_small_table_gets_enough_updates(make: Make) -> None:
    assert (make("dataset=iris").times, make("dataset=iris").batch_size) == (4, 16)
    assert make("dataset=iris", "batch_size=64").times == 1


# -- folds -----------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(0, 4), min_size=6, max_size=60), st.integers(2, 6), st.integers(0, 9))
def test_folds_have_as_many_rows_of_every_stratum(strata: list[int], count: int, seed: int) -> None:
    groups = np.array(strata)
    folds = stratified_folds(groups, count, seed=seed)
    sizes = np.bincount(folds, minlength=count)
    assert sizes.max() - sizes.min() <= 1
    for stratum in set(strata):
        shares = np.bincount(folds[groups == stratum], minlength=count)
        assert shares.max() - shares.min() <= 1


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(0, 8), min_size=20, max_size=60), st.integers(2, 3))
def test_no_group_lies_in_two_folds(members: list[int], count: int) -> None:
    groups = np.unique(np.array(members), return_inverse=True)[1]
    if groups.max() + 1 < count:
        with pytest.raises(DataError, match="too few for"):
            grouped_folds(groups, count, seed=0)
        return
    folds = grouped_folds(groups, count, seed=0)
    assert all(len(set(folds[groups == group])) == 1 for group in set(groups))
    assert set(folds) == set(range(count))


def test_out_of_fold_predictions_are_those_of_networks_that_never_saw_the_row(
    train: Train, tmp_path: Path
) -> None:
    loop, values = train(tmp_path / "run", "loop=folds", "dataset=wine", "epochs=6", *SMALL)
    held = loop.folds[0].tolist()
    for rows, unseen in zip(loop.seen, loop.held_out, strict=True):
        assert not set(rows.tolist()) & set(unseen.tolist())
    written = pd.read_csv(tmp_path / "run" / "out_of_fold.csv")
    assert written["fold"].tolist() == held
    frame, target, _ = embedded("wine")
    names = [name for name in written if name.startswith("probability_")]
    labels = [name.removeprefix("probability_") for name in names]
    true = frame[target].astype(str)
    assert accuracy_score(true, written[target]) == pytest.approx(values["accuracy"])
    assert log_loss(true, written[names].to_numpy(), labels=labels) == pytest.approx(
        values["loss"], abs=1e-6
    )
    train_part = loop.dataset.train
    best = loop.best.model.eval()
    outputs = best.outputs_of_copies(train_part.numbers, train_part.levels)  # (N, C, k, O)
    own = outputs[torch.arange(len(held)), loop.folds[0]].softmax(-1).mean(1)
    torch.testing.assert_close(
        own.double(), torch.from_numpy(written[names].to_numpy()), atol=1e-5, rtol=0
    )


def test_each_network_is_kept_as_it_was_when_it_was_best(make: Make) -> None:
    loop = make("loop=folds", "dataset=wine", "folds.count=2", *SMALL)
    best, said = loop.best, torch.zeros_like(loop.best.said)
    before = [p.detach().clone() for p in loop.model.parameters()]
    best.take(loop.model, said, torch.tensor([1.0, 1.0]))
    for parameter in loop.model.parameters():
        parameter.data += 1
    best.take(loop.model, said + 1, torch.tensor([0.5, float("nan")]))
    for kept, old in zip(best.model.parameters(), before, strict=True):
        torch.testing.assert_close(kept[0], old[0] + 1)
        torch.testing.assert_close(kept[1], old[1])
    assert best.losses.tolist() == [0.5, 1.0]


def test_groups_stay_together_in_folds(make: Make, frame: pd.DataFrame) -> None:
    frame["household"] = [f"house {number // 5}" for number in range(len(frame))]
    loop = make(
        "loop=folds", "target=bought", "split=group", "split_column=household", *SMALL, frame=frame
    )
    assert "household" not in [column.name for column in loop.dataset.schema.columns]
    folds = pd.Series(loop.folds[0].numpy()).groupby(frame["household"]).nunique()
    assert folds.eq(1).all()


def test_a_bundle_of_folds_has_no_rows_to_be_measured_on(make: Make) -> None:
    bundle = make("loop=folds", "dataset=wine", *SMALL).bundle()
    with pytest.raises(UsageError, match="every row of the training table was learnt by some"):
        bundle.evaluate(None)


# -- blend -----------------------------------------------------------------------------------------


def test_a_blend_is_better_than_its_parts_and_predicts_after_a_round_trip(
    train: Train, tmp_path: Path
) -> None:
    items = ("loop=blend", "dataset=diabetes", "blend.trees=histogram", "epochs=8", *SMALL)
    loop, values = train(tmp_path / "run", *items)
    alone = [value for name, value in values.items() if name.startswith("loss_")]
    assert len(alone) == 2
    assert values["loss"] <= min(alone) + 1e-9
    assert sum(loop.weights(loop.told()).values()) == pytest.approx(1)
    bundle = loop.bundle()
    bundle.save(tmp_path / "bundle")
    frame, _, _ = embedded("diabetes")
    again = TabularBundle.load(tmp_path / "bundle").predict(frame)
    pd.testing.assert_frame_equal(bundle.predict(frame), again)


def test_a_blend_resumed_after_its_last_evaluation_is_the_same(make: Make, tmp_path: Path) -> None:
    items = ("loop=blend", "dataset=wine", "blend.trees=histogram", "blend.rounds=3", "epochs=2")

    def run(folder: str, **options: Any) -> tuple[dict[str, float], int]:
        loop = make(*items, *SMALL)
        with Run(tmp_path / folder, settings=loop.config.run, **options) as running:
            loop.train(running)
        return loop.bundle().facts["weights"], running.step

    weights, end = run("straight")
    with pytest.raises(Interrupted):
        run("cut", stop_at=end)
    assert run("cut", resume=True) == (weights, end)


def test_a_blend_of_quantiles_is_refused(make: Make) -> None:
    with pytest.raises(ConfigError, match="trees say one class or the mean of one number"):
        make("loop=blend", "dataset=diabetes", "head=quantiles", "blend.trees=histogram")


# -- several targets -------------------------------------------------------------------------------


@pytest.fixture
def several(frame: pd.DataFrame) -> pd.DataFrame:
    frame["price"] = frame["age"].fillna(40) * 2
    frame.loc[::3, "price"] = None
    frame.loc[::5, "bought"] = None
    return frame


def test_several_targets_are_learnt_from_the_rows_that_have_them(
    train: Train, tmp_path: Path, several: pd.DataFrame
) -> None:
    items = ("targets=bought,price", "epochs=20", "head_weights.price=0.5", *SMALL)
    loop, values = train(tmp_path / "run", *items, frame=several)
    assert type(loop).__name__ == "MultiHead"
    base = loop.baseline.values
    assert values["bought.accuracy"] > base["bought.accuracy"] + 0.2
    assert values["price.rmse"] < 0.5 * base["price.rmse"]
    said = loop.bundle().predict(several)
    assert {"bought", "price", "bought_probability_often"} <= set(said)


def test_a_missing_target_has_no_part_in_the_gradient(make: Make, several: pd.DataFrame) -> None:
    loop = make("targets=bought,price", "network.dropout=0", *SMALL, frame=several)
    part = loop.dataset.train
    gone = part.values.clone()
    gone[:, 1] = float("nan")
    loop.loss(part.numbers, part.levels, gone, part.weights).sum.backward()
    outputs = loop.model.heads.weight.grad
    assert outputs[..., :2].abs().sum() > 0
    assert outputs[..., 2].abs().sum() == 0


def test_one_target_is_no_several(make: Make) -> None:
    with pytest.raises(ConfigError, match="predicts several columns, and 'diagnosis' is one"):
        make("loop=multihead")


def test_a_weight_of_no_target_is_refused(make: Make, several: pd.DataFrame) -> None:
    with pytest.raises(ConfigError, match="there is no target 'prize'"):
        make("targets=bought,price", "head_weights.prize=2", frame=several)


# -- two phases ------------------------------------------------------------------------------------


def test_rows_without_a_target_take_part_in_the_first_phase(
    train: Train, tmp_path: Path, frame: pd.DataFrame
) -> None:
    frame.loc[::2, "bought"] = None
    more = tmp_path / "more.csv"
    frame.drop(columns="bought").to_csv(more, index=False)
    items = ("loop=pretrain_then_finetune", "target=bought", "pretraining.epochs=2", "epochs=10")
    loop, values = train(
        tmp_path / "run", *items, f"pretraining.unlabelled={more}", *SMALL, frame=frame
    )
    assert len(loop.pool[0]) == loop.dataset.train.rows + 120 + 240
    assert values["loss"] < loop.baseline.values["loss"]


def test_whole_cells_are_replaced_by_those_of_one_other_row(frame: pd.DataFrame) -> None:
    kinds = {"age": "number", "since": "datetime", "colour": "category"}
    schema = Schema.fit(frame, kinds)
    numbers, levels = schema.encode(frame)
    swap = Swap(schema, numbers, levels, 0.5)
    replaced, donors = swap.draw(len(frame), torch.Generator().manual_seed(0))
    assert 0.4 < replaced.float().mean() < 0.6
    changed, other = swap(numbers, levels, replaced, donors)
    width = len(schema.columns[0].parts) + 1  # age and whether it is missing
    for place, columns in enumerate((slice(0, width), slice(width, None))):
        expected = torch.where(
            replaced[:, place, None], numbers[donors[:, place], columns], numbers[:, columns]
        )
        torch.testing.assert_close(changed[:, columns], expected)
    torch.testing.assert_close(
        other[:, 0], torch.where(replaced[:, 2], levels[donors[:, 2], 0], levels[:, 0])
    )


def test_a_missing_number_is_not_restored(frame: pd.DataFrame) -> None:
    schema = Schema.fit(frame, {"age": "number", "colour": "category"})
    assert indicators(schema).tolist() == [1, -1]
    restorer = Restorer(schema, 8)
    hidden, levels = torch.randn(2, 8), torch.zeros(2, 1, dtype=torch.int32)
    there, gone = torch.tensor([[0.5, 0.0]] * 2), torch.tensor([[0.5, 1.0]] * 2)
    moved = gone + torch.tensor([[1.0, 0.0]])
    assert not torch.allclose(restorer(hidden, there, levels), restorer(hidden, there + 1, levels))
    torch.testing.assert_close(restorer(hidden, gone, levels), restorer(hidden, moved, levels))


def test_the_contrast_is_the_cross_entropy_of_finding_oneself() -> None:
    one = torch.nn.functional.normalize(torch.randn(5, 4, dtype=torch.float64), dim=1)
    other = torch.nn.functional.normalize(torch.randn(5, 4, dtype=torch.float64), dim=1)
    for row, found in enumerate(contrast(one, other, 0.5)):
        cosines = torch.stack([one[row] @ each for each in other]) / 0.5
        assert float(found) == pytest.approx(float(cosines.logsumexp(0) - cosines[row]))


def test_scarf_in_micro_batches_is_refused(make: Make) -> None:
    items = ("loop=pretrain_then_finetune", "pretraining.kind=scarf")
    with pytest.raises(ConfigError, match="compares all rows of a batch"):
        make(*items, "pretraining.update.micro_batches=2")


def test_scarf_learns(train: Train, tmp_path: Path) -> None:
    items = ("loop=pretrain_then_finetune", "pretraining.kind=scarf", "dataset=wine")
    loop, values = train(tmp_path / "run", *items, "pretraining.epochs=2", "epochs=6", *SMALL)
    assert values["accuracy"] > loop.baseline.values["accuracy"] + 0.4
