"""Where a table comes from: files, memory or the embedded sets, with a hash of its content."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from rondel.data_manifest import DataManifest, hash_arrays, hash_files
from rondel.errors import ConfigError
from rondel_tabular import demo
from rondel_tabular.config import TabularConfig
from rondel_tabular.data.readers import checked, read_table

IN_MEMORY = "the table"
"""What a table in memory is called."""


@dataclass(frozen=True)
class Source:
    """A table and where it came from.

    Args:
        frame: All rows, or those that train if there are others to validate.
        valid: The rows that validate, if they are given apart.
        name: Of the file or the embedded set, for messages.
        target: The column to predict, if the source knows.
    """

    frame: pd.DataFrame
    name: str
    valid: pd.DataFrame | None = None
    target: str | None = None


def load_source(config: TabularConfig) -> tuple[Source, DataManifest]:
    """Read the config's files, or take its embedded set."""
    if config.data is None:
        if config.valid is not None:
            raise ConfigError(
                "a validation file needs training data beside it",
                where="valid",
                hint="Give data=FILE too.",
            )
        frame, target, manifest = demo.embedded(config.dataset)
        return Source(frame, config.dataset, target=target), manifest
    frame = read_table(config.data)
    valid = None if config.valid is None else read_table(config.valid)
    paths = [path.absolute() for path in (config.data, config.valid) if path is not None]
    root = Path(os.path.commonpath([path.parent for path in paths]))
    rows = len(frame) + (0 if valid is None else len(valid))
    manifest = hash_files(paths, root, name=config.data.name, samples=rows)
    return Source(frame, str(config.data), valid=valid), manifest


def in_memory(frame: pd.DataFrame, config: TabularConfig) -> tuple[Source, DataManifest]:
    """Take a table in memory, and hash its columns."""
    source = Source(
        checked(frame, where=IN_MEMORY),
        IN_MEMORY,
        valid=None if config.valid is None else read_table(config.valid),
    )
    texts = source.frame.astype("string")  # cells of lists or of mixed types have no hash
    rows = {
        column: pd.util.hash_pandas_object(texts[column], index=False).to_numpy()
        for column in texts
    }
    return source, hash_arrays({str(k): v for k, v in rows.items()}, name=IN_MEMORY)
