"""rondel: a slim core for training loops.

The loop says when. The update says how. The loss says what. Public names are loaded on first use,
so that ``import rondel`` is light.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rondel.bundle import Bundle as Bundle
    from rondel.callback import Callback as Callback
    from rondel.config import Config as Config
    from rondel.config import setting as setting
    from rondel.data_manifest import DataManifest as DataManifest
    from rondel.domain import PLUGIN_API as PLUGIN_API
    from rondel.domain import Domain as Domain
    from rondel.loop import Baseline as Baseline
    from rondel.loop import Loop as Loop
    from rondel.loop import Section as Section
    from rondel.loop import Table as Table
    from rondel.loop import Watch as Watch
    from rondel.loss import Loss as Loss
    from rondel.loss import counted as counted
    from rondel.metric import Metric as Metric
    from rondel.ownership import training_only as training_only
    from rondel.run import Run as Run
    from rondel.session import Result as Result
    from rondel.session import load as load
    from rondel.session import train as train
    from rondel.settings import DomainConfig as DomainConfig
    from rondel.settings import OptimizerConfig as OptimizerConfig
    from rondel.settings import RunConfig as RunConfig
    from rondel.settings import ScheduleConfig as ScheduleConfig
    from rondel.settings import UpdateConfig as UpdateConfig
    from rondel.stream import Stream as Stream
    from rondel.update import Update as Update
    from rondel.values import Values as Values

__version__ = "0.1.0"

_HOMES = {
    "Baseline": "loop",
    "Bundle": "bundle",
    "Callback": "callback",
    "Config": "config",
    "DataManifest": "data_manifest",
    "Domain": "domain",
    "DomainConfig": "settings",
    "Loop": "loop",
    "Loss": "loss",
    "Metric": "metric",
    "OptimizerConfig": "settings",
    "PLUGIN_API": "domain",
    "Result": "session",
    "Run": "run",
    "RunConfig": "settings",
    "ScheduleConfig": "settings",
    "Section": "loop",
    "Stream": "stream",
    "Table": "loop",
    "Update": "update",
    "UpdateConfig": "settings",
    "Values": "values",
    "Watch": "loop",
    "counted": "loss",
    "load": "session",
    "setting": "config",
    "train": "session",
    "training_only": "ownership",
}
__all__ = ["__version__", *_HOMES]  # noqa: PLE0604 - the table is the list


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"rondel.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'rondel' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
