"""The loops of this package as scikit-learn estimators.

>>> from rondel_tabular.estimators import RondelClassifier
>>> classifier = RondelClassifier(epochs=20).fit(frame, labels)  # doctest: +SKIP
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self, TypeAlias

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from rondel import Callback, Run, keyed
from rondel.callbacks import Best, EarlyStopping
from rondel.config import Layer, resolve
from rondel.errors import RondelError
from rondel.record import read_best
from rondel.session import nested
from rondel_tabular.build import build
from rondel_tabular.bundle import TabularBundle
from rondel_tabular.config import TabularConfig

Table: TypeAlias = Any
"""A data frame, or an array (N, P) of numbers."""
TARGET, WEIGHT = "the target", "the weight"


class RondelEstimator(BaseEstimator):  # type: ignore[misc]
    """What both estimators share: a table in, a bundle out.

    Args:
        loop: Of the domain: 'auto', 'supervised', 'ensemble', 'folds', 'blend' ...
        epochs: Passes over the rows; by default the domain's.
        settings: Any other keys of the domain's config, ``{"network.width": 128}``.
        random_state: Seed, generator or None, as everywhere in scikit-learn.

    Attributes:
        bundle_: The trained model; ``bundle_.save(folder)`` keeps it without pickle.
        metrics_: Of the best state, on the rows that validated.
        n_features_in_: Columns of the table.
        feature_names_in_: Their names, if it had some.
    """

    task = ""

    def __init__(
        self,
        *,
        loop: str = "auto",
        epochs: int | None = None,
        settings: Mapping[str, Any] | None = None,
        random_state: Any = 0,
    ) -> None:
        self.loop = loop
        self.epochs = epochs
        self.settings = settings
        self.random_state = random_state

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.categorical = True
        tags.input_tags.string = True
        tags.non_deterministic = False
        return tags

    def _fit(self, X: Table, y: NDArray[Any], sample_weight: ArrayLike | None) -> None:
        """Train on a checked table and its target."""
        frame = self._frame(X)
        frame[TARGET] = y
        values: dict[str, Any] = {
            "target": TARGET,
            "task": self.task,
            "loop": self.loop,
            "run.seed": seed_of(self.random_state),
            **(self.settings or {}),
        }
        if self.epochs is not None:
            values["epochs"] = self.epochs
        if not hasattr(X, "columns"):  # an array says nothing that a kind could be guessed from
            values |= {f"kinds.{name}": "number" for name in frame if name != TARGET}
        if sample_weight is not None:
            frame[WEIGHT] = _check_sample_weight(sample_weight, X)
            values["weight"] = WEIGHT
        try:
            config = resolve(TabularConfig, [Layer("settings", nested(values))]).config
            self.bundle_, self.metrics_ = trained(config, frame)
        except RondelError as error:  # what scikit-learn expects of bad input
            raise ValueError(str(error)) from error

    def _frame(self, X: Table, *, reset: bool = True) -> pd.DataFrame:
        """Return a table with text for column names, after the checks of scikit-learn."""
        if hasattr(X, "columns"):
            validate_data(self, X, reset=reset, skip_check_array=True)
            frame = X if isinstance(X, pd.DataFrame) else pd.DataFrame(X)
            return frame.set_axis([str(name) for name in frame.columns], axis=1).copy()
        array = validate_data(
            self,
            X,
            reset=reset,
            dtype="numeric",
            ensure_all_finite="allow-nan",
            ensure_min_samples=2 if reset else 1,
        )
        return pd.DataFrame(array, columns=[f"x{place}" for place in range(array.shape[1])])

    def _say(self, X: Table) -> pd.DataFrame:
        """Return what the bundle predicts for a table."""
        check_is_fitted(self, "bundle_")
        frame = self._frame(X, reset=False)
        try:
            return self.bundle_.predict(frame)
        except RondelError as error:
            raise ValueError(str(error)) from error


class RondelClassifier(ClassifierMixin, RondelEstimator):  # type: ignore[misc]
    """Tell classes by a network; see `RondelEstimator` for its settings.

    Attributes:
        classes_: The labels, sorted.
    """

    task = "classification"

    def fit(self, X: Table, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Train on the rows of a table (N, P) and their labels (N,).

        Raises:
            ValueError: They cannot be learnt from; the message says why.
        """
        labels = checked_target(self, X, y)
        check_classification_targets(labels)
        self.classes_, codes = np.unique(labels, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(
                f"there is one class only, {self.classes_[0]!r}: nothing can be learnt"
            )
        self._fit(X, codes, sample_weight)
        return self

    def predict_proba(self, X: Table) -> NDArray[np.float64]:
        """Return the calibrated probability of each class, (N, C) in the order of ``classes_``."""
        said = self._say(X)
        names = [f"probability_{code}" for code in range(len(self.classes_))]
        shares: NDArray[np.float64] = said[names].to_numpy(dtype="float64")
        return shares

    def predict(self, X: Table) -> NDArray[Any]:
        """Return the likeliest label of each row, (N,)."""
        likeliest = self.predict_proba(X).argmax(axis=1)
        labels: NDArray[Any] = self.classes_[likeliest]
        return labels


class RondelRegressor(RegressorMixin, RondelEstimator):  # type: ignore[misc]
    """Predict a number by a network; see `RondelEstimator` for its settings."""

    task = "regression"

    def fit(self, X: Table, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Train on the rows of a table (N, P) and their numbers (N,).

        Raises:
            ValueError: They cannot be learnt from; the message says why.
        """
        values = checked_target(self, X, y).astype("float64")
        self._fit(X, values, sample_weight)
        return self

    def predict(self, X: Table) -> NDArray[np.float64]:
        """Return the predicted number of each row, (N,)."""
        said: NDArray[np.float64] = self._say(X)[TARGET].to_numpy(dtype="float64")
        return said


def checked_target(estimator: RondelEstimator, X: Table, y: ArrayLike | None) -> NDArray[Any]:
    """Return a target of one column, after the checks of scikit-learn.

    Raises:
        ValueError: There is none, or it does not have one value for each row.
    """
    if y is None:
        raise ValueError(
            f"requires y to be passed, but the target y is None: {type(estimator).__name__} learns it"
        )
    if hasattr(X, "columns"):
        from sklearn.utils.validation import check_consistent_length, column_or_1d

        check_consistent_length(X, y)
        found: NDArray[Any] = column_or_1d(y, warn=True)
        return found
    _, found = validate_data(
        estimator,
        X,
        y,
        dtype="numeric",
        ensure_all_finite="allow-nan",
        ensure_min_samples=2,
        y_numeric=estimator.task == "regression",
    )
    return found


def trained(config: TabularConfig, frame: pd.DataFrame) -> tuple[TabularBundle, dict[str, float]]:
    """Train a loop in a folder that is gone afterwards; return its best state, and its metrics."""
    threads = torch.get_num_threads()
    with tempfile.TemporaryDirectory() as folder, keyed.apart(torch.device("cpu"), config.run.seed):
        loop = build(config, frame)
        assert loop.watch is not None
        callbacks: list[Callback] = [Best(loop.watch)]
        if config.patience is not None:
            callbacks.append(EarlyStopping(loop.watch, config.patience))
        with Run(Path(folder) / "run", settings=config.run, callbacks=callbacks) as run:
            run.print_with(lambda _: None)
            loop.train(run)
            best = read_best(run.directory / "checkpoints")
            if best is not None:
                run.load_weights(best["step"])
            bundle = loop.bundle()
            metrics = dict(run.best or {})
    torch.set_num_threads(threads)
    return bundle, metrics


def seed_of(random_state: Any) -> int:
    """Return the seed that a ``random_state`` of scikit-learn stands for."""
    if isinstance(random_state, int | np.integer) and not isinstance(random_state, bool):
        return int(random_state)
    return int(check_random_state(random_state).randint(2**31 - 1))


EXEMPT = {
    "check_sample_weight_equivalence_on_dense_data": "which rows validate, and in which order the "
    "others train, depends on how many there are",
    "check_methods_subset_invariance": "float32 products of one row and of many differ in the last "
    "digit",
}
"""Checks of scikit-learn that do not hold, and why."""
__all__: Sequence[str] = ("RondelClassifier", "RondelRegressor")
