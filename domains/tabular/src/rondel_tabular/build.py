"""From a config to a loop: the table, the network and the loop that fits."""

from __future__ import annotations

import pandas as pd
import torch

from rondel import Baseline, DataManifest
from rondel.errors import ConfigError
from rondel.metric import merged
from rondel_tabular.config import TabularConfig
from rondel_tabular.data.dataset import Dataset, prepare
from rondel_tabular.data.source import Source, in_memory, load_source
from rondel_tabular.loops.supervised import Supervised
from rondel_tabular.metrics import metrics_of
from rondel_tabular.models.mlp import make_network


def build(config: TabularConfig, data: pd.DataFrame | None = None) -> Supervised:
    """Make the loop for a table in memory, for the config's file, or for its embedded set.

    Args:
        config: ``config.target`` names the column to predict; embedded sets have their own.
        data: A table in memory, instead of ``config.data``.

    Raises:
        DataError: The table cannot be read or learnt from.
        ConfigError: A key does not fit the table.
    """
    source, manifest = load_source(config) if data is None else in_memory(data, config)
    return build_loop(source, manifest, config)


def build_loop(source: Source, manifest: DataManifest, config: TabularConfig) -> Supervised:
    """Make the loop for a table."""
    dataset = prepare(source, config)
    baseline = guess_baseline(dataset)
    if config.watch not in baseline.values:
        raise ConfigError(
            f"a {dataset.target.task} has no {config.watch!r}",
            where="watch",
            hint=f"Watch one of {', '.join(baseline.values)}.",
        )
    model = make_network(dataset.schema, dataset.target, config)
    return Supervised(model, dataset, config, data=manifest, baseline=baseline)


def guess_baseline(dataset: Dataset) -> Baseline:
    """Measure what guessing achieves: the shares of the classes, or the mean, of training."""
    target, valid = dataset.target, dataset.valid.targets
    if target.task == "classification":
        counts = torch.bincount(dataset.train.targets, minlength=target.outputs)
        outputs, name = (counts / counts.sum()).log(), "majority class"
    else:
        outputs, name = torch.zeros(1), f"mean of {target.name}"  # 0 is the standardised mean
    metrics = metrics_of(target).update(outputs.expand(len(valid), -1), valid)
    return Baseline(name, merged(metrics.by_name, []))
