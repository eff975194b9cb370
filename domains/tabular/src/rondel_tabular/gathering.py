"""From a config to a data set: of a table in memory, or of a file that is read some rows at a time."""

from __future__ import annotations

from typing import Any

from rondel import DataManifest
from rondel.errors import ConfigError
from rondel_tabular.config import TabularConfig
from rondel_tabular.data.dataset import Dataset, examined, prepare
from rondel_tabular.data.frames import release_unused
from rondel_tabular.data.source import in_memory, load_source
from rondel_tabular.streaming.table import streamed


def gathered(config: TabularConfig, data: Any = None) -> tuple[Dataset, DataManifest]:
    """Make the data set of a table in memory, of the config's file, or of its embedded set.

    Args:
        config: Says what is to be made of it.
        data: A table in memory, instead of ``config.data``.

    Raises:
        DataError: The table cannot be read or learnt from.
        ConfigError: A key does not fit the table.
    """
    if config.streaming and data is None:
        return streamed(config)
    if config.streaming:
        raise ConfigError(
            "the table is in memory",
            where="streaming",
            hint="Give the path of a file, or leave it out.",
        )
    source, manifest = load_source(config) if data is None else in_memory(data, config)
    dataset = prepare(source, config)
    del source  # it takes as much as all that was made of it
    release_unused()
    dataset = examined(dataset, config)
    release_unused()
    return dataset, manifest
