"""The estimators pass scikit-learn's own contract, and do what its users expect."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.model_selection import cross_val_score
from sklearn.utils.estimator_checks import parametrize_with_checks

from rondel_tabular.estimators import EXEMPT, RondelClassifier, RondelRegressor

SMALL = {"network.width": 32, "network.number_width": 4, "network.members": 2, "batch_size": 16}


@pytest.mark.filterwarnings("ignore")
@parametrize_with_checks(
    [RondelClassifier(epochs=30, settings=SMALL), RondelRegressor(epochs=30, settings=SMALL)],
    expected_failed_checks=lambda _: EXEMPT,
)
def test_the_contract_of_scikit_learn(estimator: Any, check: Any) -> None:
    check(estimator)


def test_a_frame_of_any_columns_is_learnt(frame: pd.DataFrame) -> None:
    labels = frame.pop("bought")
    classifier = RondelClassifier(epochs=20, settings=SMALL).fit(frame, labels)
    assert (classifier.predict(frame) == labels).mean() > 0.85
    shares = classifier.predict_proba(frame)
    np.testing.assert_allclose(shares.sum(axis=1), 1, atol=1e-6)
    assert list(classifier.classes_) == ["never", "often"]
    assert classifier.metrics_["accuracy"] > 0.7


def test_it_is_cloned_pickled_and_cross_validated() -> None:
    table, labels = load_iris(return_X_y=True, as_frame=True)
    settings = {name: value for name, value in SMALL.items() if name != "batch_size"}
    classifier = RondelClassifier(epochs=8, settings=settings)
    assert cross_val_score(classifier, table, labels, cv=2).mean() > 0.85
    fitted = clone(classifier).fit(table, labels)
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(again.predict_proba(table), fitted.predict_proba(table))


def test_the_same_seed_gives_the_same_model_and_leaves_the_generators_alone() -> None:
    table, labels = load_iris(return_X_y=True)
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    first, second = (
        RondelClassifier(epochs=2, settings=SMALL).fit(table, labels).predict_proba(table)
        for _ in range(2)
    )
    np.testing.assert_array_equal(first, second)
    assert torch.equal(before, torch.random.get_rng_state())


def test_weights_change_what_is_learnt() -> None:
    table, labels = load_iris(return_X_y=True)
    weights = np.where(labels == 2, 50.0, 1.0)
    plain, weighted = (
        RondelClassifier(epochs=3, settings=SMALL).fit(table, labels, sample_weight=some)
        for some in (None, weights)
    )
    assert weighted.predict_proba(table)[:, 2].mean() > plain.predict_proba(table)[:, 2].mean()


def test_what_cannot_be_learnt_is_a_value_error_that_says_why() -> None:
    with pytest.raises(ValueError, match="epochz"):
        RondelClassifier(settings={"epochz": 3}).fit(*load_iris(return_X_y=True))
    with pytest.raises(ValueError, match="one class only"):
        RondelClassifier().fit([[1.0], [2.0], [3.0]], ["a", "a", "a"])
