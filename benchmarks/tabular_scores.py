"""Claim: our default network reaches boosted trees on tables, and a blend of both passes them.

Test scores on adult (accuracy, ROC-AUC), diamonds (RMSE of the log price) and letter (accuracy). A
fifth of the rows, the same for all rows of the table and all seeds, is the test part; a fifth of
the others decides when to stop (the folds of a blend have no such part). One thread, CPU seconds of
a fresh process from the table in memory to predictions.

The network and the blend are `rondel.train` with the settings of `SETTINGS` and nothing else. Trees
get the settings of their documentation with a learning rate of 0.05 (CatBoost 0.08), up to 2,000
rounds, and stop after 50 without gain; scikit-learn's MLP its defaults on one-hot categories.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import mean
from typing import Any

from ratios import print_table, write_json
from workers import run_worker

SCRIPT = Path(__file__).resolve()
SEEDS = (0, 1, 2)
SETTINGS: dict[str, dict[str, Any]] = {
    "adult": {},
    "diamonds": {},
    "letter": {"epochs": 64},
}
"""What differs from the defaults of the domain."""


@dataclass
class Row:
    """The measurements of one system on one table, seed by seed."""

    table: str
    system: str
    scores: list[dict[str, float]] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)
    failure: str = ""


def main() -> None:
    """Measure all systems on all tables, print a table, store it if asked."""
    options = parse_options()
    if options.worker:
        table, system, seed = options.worker.split("|")
        options.answer.write_text(json.dumps(measured(table, system, int(seed))))
        return
    rows = []
    for table in options.tables:
        for system in options.systems:
            row = Row(table, system)
            rows.append(row)
            for seed in options.seeds:
                answer = run_worker(SCRIPT, [f"{table}|{system}|{seed}"], timeout_s=7200)
                if answer.content is None:
                    row.failure = answer.reason
                    break
                row.cpu_s.append(answer.content.pop("cpu_s"))
                row.scores.append(answer.content)
                print(table, system, seed, row.scores[-1], f"{row.cpu_s[-1]:.0f} CPU-s", flush=True)
            settings = {"seeds": options.seeds, "settings": SETTINGS}
            write_json(options.json, settings=settings, rows=[asdict(row) for row in rows])
    report(rows)


def parse_options() -> argparse.Namespace:
    """Read the command line; --worker and --answer are for the processes that we start."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--tables", nargs="+", default=list(SETTINGS), choices=list(SETTINGS))
    parser.add_argument("--systems", nargs="+", default=list(SYSTEMS), choices=list(SYSTEMS))
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS), help="(0 1 2)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="store the measurements")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--answer", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def measured(table: str, system: str, seed: int) -> dict[str, float]:
    """Train a system on a table; return its scores on the test part, and the CPU seconds."""
    from sklearn.model_selection import train_test_split
    from tabular_sets import SETS

    frame, target = SETS[table]()
    classes = frame[target] if table != "diamonds" else None
    train, test = train_test_split(frame, test_size=0.2, random_state=0, stratify=classes)
    start = time.process_time()
    said = SYSTEMS[system](train, test.drop(columns=target), target, table, seed)
    cpu_s = time.process_time() - start
    return {**scores(said, test[target], table), "cpu_s": cpu_s}


def scores(said: Any, true: Any, table: str) -> dict[str, float]:
    """Score predictions: numbers, or a frame of probabilities with the classes as columns."""
    import numpy as np
    from sklearn.metrics import accuracy_score, log_loss, roc_auc_score

    if table == "diamonds":
        return {"rmse": float(np.sqrt(np.mean((np.asarray(said) - true.to_numpy()) ** 2)))}
    labels = said.columns[said.to_numpy().argmax(1)]
    found = {
        "accuracy": float(accuracy_score(true, labels)),
        "log_loss": float(log_loss(true, said.to_numpy(), labels=list(said.columns))),
    }
    if said.shape[1] == 2:
        found["roc_auc"] = float(roc_auc_score(true == said.columns[1], said.iloc[:, 1]))
    return found


# -- ours ------------------------------------------------------------------------------------------


def network(train: Any, test: Any, target: str, table: str, seed: int) -> Any:
    """The default network of the domain."""
    return trained(train, test, target, SETTINGS[table], seed)


def blend(train: Any, test: Any, target: str, table: str, seed: int) -> Any:
    """Networks and trees on five folds."""
    return trained(train, test, target, {"loop": "blend", **SETTINGS[table]}, seed)


def trained(train: Any, test: Any, target: str, settings: dict[str, Any], seed: int) -> Any:
    """Train by the domain; return numbers, or probabilities by class."""
    import rondel

    run = {"seed": seed, "threads": 1, "checkpoint_every_s": 600.0}
    with tempfile.TemporaryDirectory() as folder:
        result = rondel.train(
            "tabular",
            data=train,
            target=target,
            out=Path(folder) / "run",
            quiet=True,
            run=run,
            **settings,
        )
        said = result.bundle.predict(test)
    mine = [name for name in said if name.startswith("probability_")]
    if not mine:
        return said[target].to_numpy()
    return said[mine].rename(columns=lambda name: name.removeprefix("probability_"))


# -- peers -----------------------------------------------------------------------------------------


def prepared(train: Any, test: Any, target: str, seed: int) -> tuple[Any, ...]:
    """Return training and held-out rows and labels, test rows, and the names of categories."""
    from sklearn.model_selection import train_test_split

    known = train[target] if train[target].dtype.kind not in "if" else None
    mine, held = train_test_split(train, test_size=0.2, random_state=seed, stratify=known)
    names = [n for n in test if test[n].dtype.kind not in "if"]
    mine, held, test = (f.astype(dict.fromkeys(names, "category")) for f in (mine, held, test))
    for name in names:
        levels = train[name].dropna().unique()
        for part in (mine, held, test):
            part[name] = part[name].cat.set_categories(levels)
    inputs = [n for n in mine if n != target]
    return mine[inputs], mine[target], held[inputs], held[target], test[inputs], names


def lightgbm(train: Any, test: Any, target: str, table: str, seed: int) -> Any:
    """LightGBM through its scikit-learn interface."""
    import lightgbm as lgb

    x, y, held_x, held_y, test, _ = prepared(train, test, target, seed)
    kind = lgb.LGBMRegressor if table == "diamonds" else lgb.LGBMClassifier
    model = kind(n_estimators=2000, learning_rate=0.05, n_jobs=1, random_state=seed, verbosity=-1)
    stop = lgb.early_stopping(50, verbose=False)
    model.fit(x, y, eval_set=[(held_x, held_y)], callbacks=[stop])
    return answer(model, test)


def catboost(train: Any, test: Any, target: str, table: str, seed: int) -> Any:
    """CatBoost through its scikit-learn interface."""
    import catboost as cb

    x, y, held_x, held_y, test, names = prepared(train, test, target, seed)
    x, held_x, test = (
        f.assign(**{n: f[n].astype(object).where(f[n].notna(), "missing") for n in names})
        for f in (x, held_x, test)
    )
    kind = cb.CatBoostRegressor if table == "diamonds" else cb.CatBoostClassifier
    model = kind(
        iterations=2000,
        learning_rate=0.08,
        thread_count=1,
        random_seed=seed,
        verbose=False,
        allow_writing_files=False,
        cat_features=names,
    )
    model.fit(x, y, eval_set=(held_x, held_y), early_stopping_rounds=50)
    return answer(model, test)


def histogram(train: Any, test: Any, target: str, table: str, seed: int) -> Any:
    """scikit-learn's histogram trees."""
    from sklearn import ensemble

    x, y, held_x, held_y, test, _ = prepared(train, test, target, seed)
    name = "Regressor" if table == "diamonds" else "Classifier"
    model = getattr(ensemble, f"HistGradientBoosting{name}")(
        learning_rate=0.05,
        max_iter=2000,
        early_stopping=True,
        n_iter_no_change=50,
        random_state=seed,
        categorical_features="from_dtype",
    )
    model.fit(x, y, X_val=held_x, y_val=held_y)
    return answer(model, test)


def sklearn_mlp(train: Any, test: Any, target: str, table: str, seed: int) -> Any:
    """scikit-learn's MLP on standardised numbers and one-hot categories."""
    from sklearn.compose import make_column_selector, make_column_transformer
    from sklearn.neural_network import MLPClassifier, MLPRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    columns = make_column_transformer(
        (StandardScaler(), make_column_selector(dtype_include="number")),
        (OneHotEncoder(handle_unknown="ignore"), make_column_selector(dtype_exclude="number")),
    )
    kind = MLPRegressor if table == "diamonds" else MLPClassifier
    model = make_pipeline(columns, kind(early_stopping=True, random_state=seed))
    model.fit(train.drop(columns=target), train[target])
    return answer(model, test)


def pytorch_tabular(train: Any, test: Any, target: str, table: str, seed: int) -> Any:
    """pytorch-tabular with its defaults."""
    import torch
    from pytorch_tabular import TabularModel
    from pytorch_tabular.config import DataConfig, OptimizerConfig, TrainerConfig
    from pytorch_tabular.models import CategoryEmbeddingModelConfig

    torch.set_num_threads(1)
    task = "regression" if table == "diamonds" else "classification"
    names = [n for n in test if test[n].dtype.kind not in "if"]
    # it writes scaled numbers into the columns that it was given, which integers do not take
    floats = {n: float for n in test if n not in names}
    train, test = (
        f.astype(floats).assign(
            **{n: f[n].astype(object).where(f[n].notna(), "missing") for n in names}
        )
        for f in (train, test)
    )
    model = TabularModel(
        data_config=DataConfig(
            target=[target],
            continuous_cols=[n for n in test if n not in names],
            categorical_cols=names,
        ),
        model_config=CategoryEmbeddingModelConfig(task=task),
        optimizer_config=OptimizerConfig(),
        trainer_config=TrainerConfig(accelerator="cpu", progress_bar="none", checkpoints=None),
        verbose=False,
    )
    model.fit(train=train, seed=seed)
    said = model.predict(test)
    if table == "diamonds":
        return said[f"{target}_prediction"].to_numpy()
    names = [f"{target}_{label}_probability" for label in sorted(train[target].unique())]
    return said[names].set_axis(sorted(train[target].unique()), axis=1)


def answer(model: Any, test: Any) -> Any:
    """Return numbers, or probabilities by class."""
    import pandas as pd

    if not hasattr(model, "predict_proba"):
        return model.predict(test)
    return pd.DataFrame(model.predict_proba(test), columns=[str(c) for c in model.classes_])


SYSTEMS: dict[str, Callable[..., Any]] = {
    "rondel network": network,
    "rondel blend": blend,
    "LightGBM": lightgbm,
    "CatBoost": catboost,
    "HistGradientBoosting": histogram,
    "scikit-learn MLP": sklearn_mlp,
    "pytorch-tabular": pytorch_tabular,
}


def report(rows: list[Row]) -> None:
    """Print means over the seeds, with their span."""
    header = ["table", "system", "scores: mean (span) over the seeds", "CPU-s"]
    cells = []
    for row in rows:
        if not row.scores:
            cells.append([row.table, row.system, f"failed: {row.failure}"[:90], ""])
            continue
        parts = []
        for name in row.scores[0]:
            values = [score[name] for score in row.scores]
            parts.append(f"{name} {mean(values):.4f} ({min(values):.4f}..{max(values):.4f})")
        cells.append([row.table, row.system, ", ".join(parts), f"{mean(row.cpu_s):.0f}"])
    print_table(header, cells)


if __name__ == "__main__":
    main()
