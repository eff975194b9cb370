"""What a glance at data tells before it is learnt: the task, and how long a pass over it is."""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

from rondel_text.config import TASKS, TextConfig, dataset_of

READ_BYTES = 1 << 24
"""Data of up to this size is read; of more, the first rows tell the task."""


class Glance(NamedTuple):
    """What was seen."""

    task: str
    updates: int | None
    """In a pass over the rows to learn from, faulty ones among them; None if not counted."""


def glance(config: TextConfig) -> Glance:
    """Tell the task of a config, and how many updates a pass over its data has.

    Raises:
        DataError: The data cannot be read.
        ConfigError: It does not tell what is to be learnt.
    """
    if config.task != "auto" and (config.data is None or "epochs" in config.model_fields_set):
        return Glance(config.task, None)
    if config.data is None:
        return Glance(TASKS[dataset_of(config)], None)
    from rondel_text.data.chunks import Files
    from rondel_text.data.source import gather, task_of_rows  # which needs numpy

    if size_bytes(config.data) > READ_BYTES:
        first = next(Files.of(config, config.data).chunks())
        return Glance(task_of_rows(config, first.rows), None)
    train = gather(config).train
    by_texts = config.batching in ("random", "buckets")
    updates = math.ceil(len(train) / config.batch_size) if by_texts else None
    return Glance(task_of_rows(config, train), updates)


def size_bytes(path: Path) -> int:
    """Return the size of a file, or of all files below a folder."""
    files = path.rglob("*") if path.is_dir() else (path,)
    return sum(file.stat().st_size for file in files if file.is_file())
