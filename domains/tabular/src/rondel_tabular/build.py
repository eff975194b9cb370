"""From a config to a loop: the table, the network and the loop that fits."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from rondel import Baseline, DataManifest
from rondel.errors import ConfigError
from rondel_tabular.config import TabularConfig
from rondel_tabular.data.dataset import Dataset
from rondel_tabular.data.target import Target
from rondel_tabular.gathering import gathered
from rondel_tabular.loops.blend import Blend
from rondel_tabular.loops.ensemble import Ensemble
from rondel_tabular.loops.folds import Folds
from rondel_tabular.loops.multihead import MultiHead
from rondel_tabular.loops.pretrain_then_finetune import PretrainThenFinetune
from rondel_tabular.loops.supervised import Supervised
from rondel_tabular.loops.table_loop import TableLoop
from rondel_tabular.losses import scales_of
from rondel_tabular.metrics import measure, watchable
from rondel_tabular.models.catalogue import make_network

LOOPS: dict[str, type[TableLoop]] = {
    "supervised": Supervised,
    "ensemble": Ensemble,
    "folds": Folds,
    "blend": Blend,
    "multihead": MultiHead,
    "pretrain_then_finetune": PretrainThenFinetune,
}


def build(config: TabularConfig, data: Any = None) -> TableLoop:
    """Make the loop for a table in memory, for the config's file, or for its embedded set.

    Args:
        config: ``config.target`` names the column to predict; embedded sets have their own.
        data: A table in memory (pandas, polars, Arrow), instead of ``config.data``.

    Raises:
        DataError: The table cannot be read or learnt from.
        ConfigError: A key does not fit the table.
    """
    return build_loop(*gathered(config, data), config)


def build_loop(dataset: Dataset, manifest: DataManifest, config: TabularConfig) -> TableLoop:
    """Make the loop for a table."""
    baseline = guess_baseline(dataset, config)
    if config.watch not in watchable(baseline.values):
        owner = "several targets have" if len(dataset.targets) > 1 else "it has"
        raise ConfigError(
            f"{owner} no metric {config.watch!r} of which more or less is better",
            where="watch",
            hint=f"Watch one of {', '.join(watchable(baseline.values))}.",
        )
    model = make_network(dataset.schema, dataset.outputs, config)
    loop = LOOPS[loop_name(config)]
    return loop(model, dataset, config, data=manifest, baseline=baseline)


def loop_name(config: TabularConfig) -> str:
    """Return the loop: as asked for, or the one that fits the network and the targets."""
    if config.loop != "auto":
        return config.loop
    if len(config.targets) > 1:
        return "multihead"
    return "ensemble" if config.members > 1 else "supervised"


def guess_baseline(dataset: Dataset, config: TabularConfig) -> Baseline:
    """Measure what guessing achieves: the shares of the classes, or the mean, of training."""
    targets, valid = dataset.targets, dataset.valid
    guesses = [
        guess_of(target, dataset.train.values[:, place]) for place, target in enumerate(targets)
    ]
    said = [guess.expand(valid.rows, -1) for guess in guesses]
    if len(targets) > 1:
        name = "majority classes and means"
    else:
        name = "majority class" if targets[0].labels else f"mean of {targets[0].name}"
    return Baseline(name, measure(targets, said, valid, scales_of(dataset, config)))


def guess_of(target: Target, values: torch.Tensor) -> torch.Tensor:  # (N,) -> (1, O)
    """Return what a head says that knows the training values and no row."""
    known = values[~values.isnan()]
    if target.head == "classes":
        counts = torch.bincount(known.long(), minlength=target.outputs)
        return (counts / counts.sum()).log()[None]
    if target.head == "quantiles":
        # torch's own takes no more than 16 million
        return torch.from_numpy(np.quantile(known.numpy(), target.quantiles)).float()[None]
    return torch.zeros(1, target.outputs)  # the standardised mean is 0, the deviation 1
