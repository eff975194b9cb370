"""Where a table comes from: files, memory or the embedded sets, with a hash of its content."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rondel.data_manifest import DataManifest, hash_arrays, hash_files
from rondel.errors import ConfigError
from rondel_tabular import demo
from rondel_tabular.config import TabularConfig
from rondel_tabular.data import cells
from rondel_tabular.data.frames import as_frame
from rondel_tabular.data.readers import read_table

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
        return Source(
            as_frame(frame, where=config.dataset), config.dataset, target=target
        ), manifest
    frame = read_table(config.data)
    valid = None if config.valid is None else read_table(config.valid)
    rows = len(frame) + (0 if valid is None else len(valid))
    return Source(frame, str(config.data), valid=valid), manifest_of(
        config.data, config.valid, rows
    )


def manifest_of(data: Path, valid: Path | None, rows: int) -> DataManifest:
    """Hash the file of a table, and that of the rows that validate, if there is one."""
    paths = [path.absolute() for path in (data, valid) if path is not None]
    root = Path(os.path.commonpath([path.parent for path in paths]))
    return hash_files(paths, root, name=data.name, samples=rows)


def in_memory(data: Any, config: TabularConfig) -> tuple[Source, DataManifest]:
    """Take a table in memory, of pandas, polars or Arrow, and hash its columns.

    Raises:
        DataError: It has no columns or no rows, or a column name twice.
        UsageError: It is no table.
    """
    source = Source(
        as_frame(data, where=IN_MEMORY),
        IN_MEMORY,
        valid=None if config.valid is None else read_table(config.valid),
    )
    columns = {str(name): hashable(column) for name, column in source.frame.items()}
    return source, hash_arrays(columns, name=IN_MEMORY)


def hashable(column: pd.Series[Any]) -> NDArray[Any]:
    """Return the cells of a column as plain numbers: themselves, or a hash of the text of each."""
    if isinstance(column.dtype, np.dtype) and column.dtype.kind in "biufmM":
        return column.to_numpy()
    # cells of lists or of mixed types have no hash of their own
    return np.asarray(pd.util.hash_pandas_object(cells.texts(column), index=False))
