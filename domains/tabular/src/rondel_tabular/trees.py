"""Boosted trees beside the networks: grown by the library that is installed, kept as plain bytes.

Shapes: N rows, P numbers, K categories, O outputs: log-probabilities, or one standardised number.
"""

from __future__ import annotations

import importlib.util
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rondel.errors import ConfigError, UsageError
from rondel_tabular.data.target import Target

Table: TypeAlias = NDArray[np.float64]
STOP_AFTER = 50
"""Rounds without a lower loss on the held-out rows."""


@dataclass(frozen=True)
class Rows:
    """What trees are grown from, or asked about.

    Args:
        table: (N, P + K) numbers, then levels.
        categories: K, how many of the columns are levels.
        values: (N,) class indices or standardised values.
        weights: (N,) how much each row counts.
    """

    table: Table
    categories: int
    values: NDArray[np.float64]
    weights: NDArray[np.float64]


def table_of(numbers: Tensor, levels: Tensor) -> Table:
    """Return numbers (N, P) and levels (N, K) side by side."""
    return np.concatenate([numbers.double().numpy(), levels.double().numpy()], axis=1)


@dataclass(frozen=True)
class Growth:
    """How trees are grown.

    Args:
        rounds: At most.
        threads: Of the library.
        seed: Of the library.
    """

    rounds: int
    threads: int
    seed: int


# -- LightGBM --------------------------------------------------------------------------------------


def grow_lightgbm(train: Rows, held: Rows, target: Target, growth: Growth) -> dict[str, Any]:
    """Grow trees by LightGBM (Ke et al., 2017); the state is its own text format."""
    import lightgbm

    columns = train.table.shape[1]
    objectives = {1: "regression", 2: "binary"}
    classes = target.outputs
    settings: dict[str, Any] = {
        "objective": objectives.get(classes, "multiclass"),
        "learning_rate": 0.05,
        "num_threads": growth.threads,
        "seed": growth.seed,
        "deterministic": True,
        "verbosity": -1,
    }
    if classes > 2:
        settings["num_class"] = classes
    levels = list(range(columns - train.categories, columns))

    def data(rows: Rows, reference: Any = None) -> Any:
        return lightgbm.Dataset(
            rows.table,
            rows.values,
            weight=rows.weights,
            categorical_feature=levels,
            reference=reference,
            params={"verbosity": -1},
        )

    grown = data(train)
    booster = lightgbm.train(
        settings,
        grown,
        growth.rounds,
        valid_sets=[data(held, grown)],
        callbacks=[lightgbm.early_stopping(STOP_AFTER, verbose=False)],
    )
    text = booster.model_to_string(num_iteration=booster.best_iteration)
    return {"model": as_tensor(text.encode()), "rounds": booster.best_iteration}


def ask_lightgbm(state: Mapping[str, Any], table: Table, target: Target) -> Table:
    """Return what the trees say: probabilities (N, C), or standardised numbers (N, 1)."""
    import lightgbm

    said = lightgbm.Booster(model_str=as_bytes(state["model"]).decode()).predict(table)
    return in_columns(np.asarray(said), target)


# -- CatBoost --------------------------------------------------------------------------------------


def grow_catboost(train: Rows, held: Rows, target: Target, growth: Growth) -> dict[str, Any]:
    """Grow trees by CatBoost (Prokhorenkova et al., 2018); the state is its own binary format."""
    import catboost

    losses = {1: "RMSE", 2: "Logloss"}
    model = catboost.CatBoost(
        {
            "loss_function": losses.get(target.outputs, "MultiClass"),
            "iterations": growth.rounds,
            "learning_rate": 0.08,
            "thread_count": growth.threads,
            "random_seed": growth.seed,
            "allow_writing_files": False,
            "logging_level": "Silent",
        }
    )
    model.fit(catboost_pool(train), eval_set=catboost_pool(held), early_stopping_rounds=STOP_AFTER)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.cbm"
        model.save_model(str(path), format="cbm")
        return {"model": as_tensor(path.read_bytes()), "rounds": int(model.tree_count_)}


def ask_catboost(state: Mapping[str, Any], table: Table, target: Target) -> Table:
    """Return what the trees say: probabilities (N, C), or standardised numbers (N, 1)."""
    import catboost

    model = catboost.CatBoost()
    model.load_model(blob=as_bytes(state["model"]), format="cbm")
    kind = "Probability" if target.labels else "RawFormulaVal"
    rows = Rows(table, int(state["categories"]), np.empty(0), np.empty(0))
    return in_columns(np.asarray(model.predict(catboost_pool(rows), prediction_type=kind)), target)


def catboost_pool(rows: Rows) -> Any:
    """Return rows as CatBoost wants them: levels as whole numbers beside real ones."""
    import catboost
    import pandas as pd

    frame = pd.DataFrame(rows.table)
    levels = list(range(rows.table.shape[1] - rows.categories, rows.table.shape[1]))
    frame = frame.astype(dict.fromkeys(levels, "int64"))
    known = len(rows.values) > 0
    return catboost.Pool(
        frame,
        label=rows.values if known else None,
        weight=rows.weights if known else None,
        cat_features=levels,
    )


# -- scikit-learn's histogram trees ----------------------------------------------------------------


def grow_histogram(train: Rows, held: Rows, target: Target, growth: Growth) -> dict[str, Any]:
    """Grow scikit-learn's histogram trees; the state is the arrays of their nodes.

    Levels count as numbers here, which needs no table of categories beside the nodes.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    kind = HistGradientBoostingClassifier if target.labels else HistGradientBoostingRegressor
    model = kind(
        learning_rate=0.05,
        max_iter=growth.rounds,
        early_stopping=True,
        n_iter_no_change=STOP_AFTER,
        random_state=growth.seed,
    )
    held_out = {"X_val": held.table, "y_val": held.values, "sample_weight_val": held.weights}
    model.fit(train.table, train.values, sample_weight=train.weights, **held_out)
    best = int(np.argmax(model.validation_score_))  # entry 0 is before the first round
    nodes = [[tree.nodes for tree in trees] for trees in model._predictors[:best]]
    state = arrays_of(nodes, np.asarray(model._baseline_prediction).ravel())
    return {**state, "rounds": best}


NODE_FIELDS = ("value", "feature_idx", "num_threshold", "missing_go_to_left", "left", "right")


def arrays_of(rounds: Sequence[Sequence[Any]], baseline: NDArray[Any]) -> dict[str, Any]:
    """Return all nodes of all trees end to end, the root of each, and where boosting begins."""
    trees = [nodes for each in rounds for nodes in each]
    starts = np.cumsum([0, *map(len, trees)])[:-1]
    joined = np.concatenate(trees) if trees else np.zeros(0, dtype=[(n, "f8") for n in NODE_FIELDS])
    leaf = joined["is_leaf"].astype(bool) if trees else np.zeros(0, dtype=bool)
    owner = np.repeat(starts, list(map(len, trees))) if trees else np.zeros(0)
    state = {name: torch.from_numpy(joined[name].astype("float64")) for name in NODE_FIELDS}
    for side in ("left", "right"):  # children counted over all trees; a leaf is its own child
        places = np.where(leaf, np.arange(len(joined)), joined[side] + owner)
        state[side] = torch.from_numpy(places.astype("int64"))
    state["feature_idx"] = torch.from_numpy(
        np.where(leaf, 0, joined["feature_idx"]).astype("int64")
    )
    return {
        **state,
        "roots": torch.from_numpy(starts.astype("int64")),
        "baseline": torch.from_numpy(baseline.astype("float64")),
    }


def ask_histogram(state: Mapping[str, Any], table: Table, target: Target) -> Table:
    """Return what the trees say: probabilities (N, C), or standardised numbers (N, 1)."""
    nodes = {name: state[name].numpy() for name in NODE_FIELDS}
    baseline = state["baseline"].numpy()
    raw = np.tile(baseline, (len(table), 1))
    row = np.arange(len(table))
    for number, root in enumerate(state["roots"].tolist()):
        place = np.full(len(table), root)
        while True:
            cell = table[row, nodes["feature_idx"][place]]
            left = np.where(
                np.isnan(cell),
                nodes["missing_go_to_left"][place] > 0,
                cell <= nodes["num_threshold"][place],
            )
            following = np.where(left, nodes["left"][place], nodes["right"][place])
            if np.array_equal(following, place):
                break
            place = following
        raw[:, number % len(baseline)] += nodes["value"][place]
    if not target.labels:
        return raw
    if target.outputs == 2:
        return in_columns(1 / (1 + np.exp(-raw[:, 0])), target)
    shares: Table = torch.from_numpy(raw).softmax(1).numpy()
    return shares


# -- by name ---------------------------------------------------------------------------------------

Grow: TypeAlias = Callable[[Rows, Rows, Target, Growth], dict[str, Any]]
Ask: TypeAlias = Callable[[Mapping[str, Any], Table, Target], Table]
LIBRARIES: Mapping[str, tuple[str, Grow, Ask]] = {
    "lightgbm": ("lightgbm", grow_lightgbm, ask_lightgbm),
    "catboost": ("catboost", grow_catboost, ask_catboost),
    "histogram": ("sklearn", grow_histogram, ask_histogram),
}
"""The package of each library, and how its trees are grown and asked."""


def is_installed(library: str) -> bool:
    """Tell whether the package of a library is there."""
    return importlib.util.find_spec(LIBRARIES[library][0]) is not None


def libraries_of(wanted: Sequence[str] | None) -> list[str]:
    """Return the libraries to grow trees with.

    Raises:
        ConfigError: One was asked for and is not installed.
    """
    if wanted is None:
        found = [name for name in ("lightgbm", "catboost") if is_installed(name)]
        return found or ["histogram"]
    for name in wanted:
        if not is_installed(name):
            raise ConfigError(
                f"{name!r} is not installed",
                where="blend.trees",
                hint=f"pip install {LIBRARIES[name][0]}, or leave it out.",
            )
    return list(wanted)


def grow(library: str, train: Rows, held: Rows, target: Target, growth: Growth) -> dict[str, Any]:
    """Grow trees from rows, until they say held-out rows no better.

    Returns plain values and tensors, which `ask` reads; no pickle, no class.
    """
    _, function, _ = LIBRARIES[library]
    return {**function(train, held, target, growth), "categories": train.categories}


def ask(library: str, state: Mapping[str, Any], table: Table, target: Target) -> Tensor:
    """Return what trees say of rows: log-probabilities (N, C), or standardised numbers (N, 1).

    Raises:
        UsageError: The library that grew them is not installed.
    """
    package, _, function = LIBRARIES[library]
    if not is_installed(library):
        raise UsageError(
            f"some of the model's trees were grown by {library!r}, which is not installed",
            where="predict",
            hint=f"pip install {package}",
        )
    said = torch.from_numpy(function(state, table, target)).float()
    return said.clamp(min=1e-15).log() if target.labels else said


def in_columns(said: Table, target: Target) -> Table:
    """Return one column for each output, from one number a row or already so many."""
    if said.ndim == 2:
        return said
    return np.stack([1 - said, said], axis=1) if target.labels else said[:, None]


def as_tensor(content: bytes) -> Tensor:
    """Return bytes as a tensor, which a checkpoint keeps and hashes."""
    return torch.frombuffer(bytearray(content), dtype=torch.uint8)


def as_bytes(tensor: Tensor) -> bytes:
    """Return the bytes that `as_tensor` was given."""
    return tensor.numpy().tobytes()
