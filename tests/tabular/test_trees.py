"""Trees say after a round trip what their library says, and blends are weighed as they should."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine
from sklearn.metrics import log_loss

from rondel.errors import ConfigError
from rondel_tabular import trees
from rondel_tabular.data.target import Target
from rondel_tabular.mixture import climb, mixed, outputs_of

SETS = {
    "two classes": (load_breast_cancer, Target("y", "classification", (0, 1), head="classes")),
    "classes": (load_wine, Target("y", "classification", (0, 1, 2), head="classes")),
    "number": (load_diabetes, Target("y", "regression")),
}
GROWTH = trees.Growth(rounds=20, threads=1, seed=0)


def parts(name: str) -> tuple[trees.Rows, trees.Rows, Target]:
    load, target = SETS[name]
    table, values = load(return_X_y=True)
    if target.task == "regression":
        values = (values - values.mean()) / values.std()
    level = (table[:, :1] > np.median(table[:, :1])).astype(float)  # a category beside numbers
    table = np.concatenate([table, level], axis=1)
    held = np.arange(len(table)) % 4 == 0
    made = [
        trees.Rows(table[some], 1, values[some].astype(float), np.ones(some.sum()))
        for some in (~held, held)
    ]
    return made[0], made[1], target


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("library", trees.LIBRARIES)
def test_trees_learn_and_say_the_same_after_a_round_trip(library: str, name: str) -> None:
    pytest.importorskip(trees.LIBRARIES[library][0])
    train, held, target = parts(name)
    state = trees.grow(library, train, held, target, GROWTH)
    said = trees.ask(library, state, held.table, target)
    assert said.shape == (len(held.table), target.outputs)
    assert all(isinstance(v, torch.Tensor | int) for v in state.values())  # no class, no pickle
    values = torch.from_numpy(held.values)
    if target.labels:
        np.testing.assert_allclose(said.exp().sum(1), 1, atol=1e-5)
        guess = np.bincount(train.values.astype(int)) / len(train.values)
        lost = log_loss(held.values, said.double().softmax(1).numpy())
        assert lost < 0.6 * log_loss(held.values, np.tile(guess, (len(values), 1)))
    else:
        assert (said[:, 0] - values).square().mean() < 0.8 * values.var()


@pytest.mark.parametrize("name", SETS)
def test_nodes_of_histogram_trees_say_what_scikit_learn_says(name: str) -> None:
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    train, held, target = parts(name)
    table = held.table.copy()
    table[::3, 1] = np.nan
    train.table[::3, 1] = np.nan
    kind = HistGradientBoostingClassifier if target.labels else HistGradientBoostingRegressor
    model = kind(max_iter=15, early_stopping=False, random_state=0)
    model.fit(train.table, train.values)
    nodes = [[tree.nodes for tree in each] for each in model._predictors]
    state = trees.arrays_of(nodes, np.asarray(model._baseline_prediction).ravel())
    found = trees.ask_histogram(state, table, target)
    if target.labels:
        np.testing.assert_allclose(found, model.predict_proba(table), atol=1e-9)
    else:
        np.testing.assert_allclose(found[:, 0], model.predict(table), atol=1e-9)


def test_a_library_that_is_not_installed_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trees, "is_installed", lambda name: name == "histogram")
    assert trees.libraries_of(None) == ["histogram"]
    with pytest.raises(ConfigError, match=r"'lightgbm' is not installed.*pip install lightgbm"):
        trees.libraries_of(["lightgbm"])


def test_hill_climbing_finds_weights_as_good_as_a_search_of_all() -> None:
    draw = torch.Generator().manual_seed(0)
    values = torch.randn(400, generator=draw)
    said = {
        name: (values + spread * torch.randn(400, generator=draw))[:, None]
        for name, spread in {"good": 0.5, "fair": 0.7, "poor": 3.0}.items()
    }
    target, ones = Target("y", "regression"), torch.ones(400)
    weights = climb(target, said, values, ones, steps=50)
    assert sum(weights.values()) == pytest.approx(1)

    def loss(of: dict[str, float]) -> float:
        return float((mixed(target, said, of)[:, 0] - values).square().mean())

    grid = np.linspace(0, 1, 21)
    best = min(
        loss({"good": a, "fair": b, "poor": 1 - a - b}) for a in grid for b in grid if a + b <= 1
    )
    assert loss(weights) < best + 1e-3
    assert loss(weights) < loss({"good": 1.0})


def test_a_blend_of_probabilities_is_their_mean() -> None:
    target = Target("y", "classification", ("a", "b"), head="classes")
    one = torch.tensor([[0.9, 0.1]]).log()
    other = torch.tensor([[0.2, 0.8]]).log()
    found = mixed(target, {"one": one, "other": other}, {"one": 0.25, "other": 0.75})
    torch.testing.assert_close(found.exp(), torch.tensor([[0.375, 0.625]], dtype=torch.float64))
    assert outputs_of(target, torch.zeros(1, 2)).isfinite().all()
