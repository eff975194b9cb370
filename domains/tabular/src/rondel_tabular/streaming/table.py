"""From a file that does not fit in memory to a data set: surveyed, encoded once, read by memory map."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from rondel import DataManifest, keyed
from rondel.array_cache import Draft, Entry, cache_in, key_of
from rondel.errors import ConfigError, DataError
from rondel.notice import notice
from rondel_tabular.config import TabularConfig
from rondel_tabular.data.dataset import Dataset, Findings, find
from rondel_tabular.data.division import Division, check_split_column, divide
from rondel_tabular.data.leaks import Hashes, row_hashes, suspicions, twins
from rondel_tabular.data.part import Part, encode, values_of
from rondel_tabular.data.readers import reader_of, refusing_absence
from rondel_tabular.data.schema import Schema
from rondel_tabular.data.source import Source, manifest_of
from rondel_tabular.data.split import Rows
from rondel_tabular.data.target import Target, target_column
from rondel_tabular.data.weights import balanced, check_weight, row_weights
from rondel_tabular.streaming.chunks import Chunks
from rondel_tabular.streaming.stored import StoredRows

ENCODING = 1
"""Raised when rows are encoded or kept in another way, so that older entries are not read."""
LOOPS = ("auto", "supervised", "ensemble", "multihead")
"""The loops that ask for nothing but batches."""
SAMPLE_ROWS = 100_000
SAMPLE_CELLS = 20_000_000
SETTINGS = (
    *("target", "targets", "task", "tasks", "head", "quantiles", "kinds", "weight"),
    *("class_weights", "valid_fraction", "split", "split_column"),
)
"""The config keys that say what is made of a table, beside the seed and the bins."""
SIDES = ("train", "valid")


def streamed(config: TabularConfig) -> tuple[Dataset, DataManifest]:
    """Make a data set of a file of any size, with no more than some of its rows in memory.

    Rows are divided as those of a table in memory are. What the columns are is learnt from a sample
    of them, which are all rows of a small table; targets and missing cells are those of all rows.

    Raises:
        ConfigError: A setting needs the table in memory, or does not fit it.
        DataError: The file cannot be read or learnt from.
        DirectoryError: The encoded rows cannot be written.
    """
    data = checked_data(config)
    before = stamps_of(config)
    manifest = manifest_of(data, config.valid, 0)
    key = key_of(
        encoding=ENCODING,
        data=manifest.hash,
        names=[str(path) for path in (data, config.valid)],  # messages have them
        settings={name: getattr(config, name) for name in SETTINGS},
        seed=config.run.seed,
        bins=config.network.bins,
    )
    cache = cache_in(config.cache or "auto", "tabular")
    entry = cache.entry(key, partial(write_table, config, before))
    return dataset_of(entry), replace(manifest, samples=entry.facts["rows"])


def checked_data(config: TabularConfig) -> Path:
    """Return the file to read, after checking that there is one and that it can be streamed.

    Raises:
        ConfigError: There is none, or the loop needs its rows in memory.
        DataError: A file is missing, empty or of an unknown type.
    """
    if config.data is None:
        raise ConfigError(
            "the embedded sets are in memory",
            where="streaming",
            hint="Name data of your own, or leave streaming out.",
        )
    if config.loop not in LOOPS:
        raise ConfigError(
            f"the loop {config.loop!r} needs its rows in memory",
            where="streaming",
            hint=f"Leave streaming out; it is there for loop={', '.join(LOOPS[1:])}.",
        )
    for path in (config.data, config.valid):
        if path is not None:
            with refusing_absence(path):
                reader_of(path)
    return config.data


def stamps_of(config: TabularConfig) -> list[tuple[int, int]]:
    """Return what tells that a file was written to: its size and its time."""
    about = [path.stat() for path in (config.data, config.valid) if path is not None]
    return [(found.st_size, found.st_mtime_ns) for found in about]


def dataset_of(entry: Entry) -> Dataset:
    """Return the data set of an entry of the cache."""
    train, valid = (
        StoredRows(*(entry.arrays[f"{side}.{name}"] for name in Part._fields)) for side in SIDES
    )
    facts = entry.facts
    kept = f"Encoded: {entry.size_bytes / 1e6:,.1f} MB in {entry.folder}"
    return Dataset(
        Schema.from_facts(facts["schema"]),
        tuple(map(Target.from_facts, facts["targets"])),
        train=train.part,
        valid=valid.part,
        dropped=facts["dropped"],
        notes=(*facts["notes"], kept),
        missing=facts["missing"],
        train_rows=entry.arrays["train_rows"],
        associations=facts["associations"],
        stored=(train, valid),
    )


@dataclass(frozen=True)
class Table:
    """A table in a file, and how its rows are divided.

    Args:
        chunks: The file.
        others: That of the rows to validate on, if they are given apart.
        division: Of narrow tables, that have the targets and little else.
    """

    chunks: Chunks
    others: Chunks | None
    division: Division

    @classmethod
    def of(cls, config: TabularConfig) -> Table:
        """Read targets, weights and what rows are divided by."""
        assert config.data is not None
        chunks = Chunks.of(config.data)
        others = None if config.valid is None else Chunks.of(config.valid)
        names = columns_apart(chunks, config)
        source = Source(
            chunks.narrow(names),
            str(config.data),
            valid=None if others is None else narrowed(others, names, config),
        )
        return cls(chunks, others, divide(source, config))

    def rows(self, side: str) -> Rows:
        """Return the positions of the rows of a side in its file."""
        return self.division.train_rows if side == "train" else self.division.valid_rows

    def file(self, side: str) -> Chunks:
        """Return the file of the rows of a side."""
        return self.others if side == "valid" and self.others is not None else self.chunks

    def narrow(self, side: str) -> pd.DataFrame:
        """Return targets and weights of the file of a side."""
        others = self.division.others
        return others if side == "valid" and others is not None else self.division.frame


def columns_apart(chunks: Chunks, config: TabularConfig) -> list[str]:
    """Return the columns that must be known of all rows before any of them is encoded.

    Raises:
        ConfigError: A key names a column that is not there, or no target is set.
        DataError: A target is not there.
    """
    where, heads = str(chunks.path), chunks.heads
    names = [target_column(heads, name, where=where) for name in config.targets or (config.target,)]
    if config.weight is not None:
        names.append(check_weight(heads, config.weight))
    if config.split in ("group", "time"):
        names.append(check_split_column(heads, config.split_column, config.split))
    return list(dict.fromkeys(names))


def narrowed(chunks: Chunks, names: list[str], config: TabularConfig) -> pd.DataFrame:
    """Return those of the columns that a file of validation rows has, the targets at least."""
    for name in config.targets or (config.target,):
        target_column(chunks.heads, name, where=str(chunks.path))
    if config.weight is not None:
        check_weight(chunks.heads, config.weight)
    return chunks.narrow([name for name in names if name in chunks.columns])


def write_table(config: TabularConfig, before: list[tuple[int, int]], draft: Draft) -> None:
    """Find out what a table is, and write its encoded rows and what else is to be known.

    Raises:
        DataError: A file cannot be learnt from, or is no longer what it was before.
    """
    notice(f"{config.data} is encoded into {draft.folder.parent} ...")
    table = Table.of(config)
    where, frame = str(config.data), table.division.frame
    chosen = drawn(np.arange(len(frame)), table.chunks, config)
    sample, missing = table.chunks.sample(chosen)
    learns = np.flatnonzero(np.isin(chosen, table.division.train_rows))
    found = find(sample, learns, table.division, config, where=where)
    hashes = {side: write_side(draft, table, side, found, config) for side in SIDES}
    draft.append("train_rows", table.rows("train"))
    train = encode(found.schema, found.targets, sample, rows=learns, where=where)
    if table.others is None:
        held = np.flatnonzero(np.isin(chosen, table.division.valid_rows))
        valid = encode(found.schema, found.targets, sample, rows=held, where=where)
    else:
        others, _ = table.others.sample(drawn(table.rows("valid"), table.others, config))
        valid = encode(found.schema, found.targets, others, where=str(config.valid))
    checked = suspicions(found.schema, found.targets, train, valid, config)
    if stamps_of(config) != before:
        raise DataError(
            "was changed while it was read", where=where, hint="Start again when it is written."
        )
    notes = (*table.division.notes, *found.notes, *sampled(len(sample), len(frame)))
    draft.facts = {
        "schema": found.schema.to_facts(),
        "targets": [target.to_facts() for target in found.targets],
        "dropped": dict(found.dropped),
        "notes": [*notes, *checked.notes, *twins(hashes["train"], hashes["valid"])],
        "missing": {name: count / len(frame) for name, count in missing.items()},
        "associations": dict(checked.associations),
        "rows": sum(map(len, (frame, *([] if table.others is None else [table.narrow("valid")])))),
    }


def drawn(rows: Rows, chunks: Chunks, config: TabularConfig) -> Rows:
    """Return some of the rows, ascending: the same ones for the same seed."""
    draw = keyed.generator(config.run.seed, "tabular", "sample")
    most = min(SAMPLE_ROWS, SAMPLE_CELLS // len(chunks.columns))
    some: Rows = rows[torch.randperm(len(rows), generator=draw)[:most].sort().values.numpy()]
    return some


def sampled(rows: int, whole: int) -> tuple[str, ...]:
    """Say what was looked at in part."""
    if rows == whole:
        return ()
    return (f"What the columns are was learnt from a sample, {rows:,} of {whole:,} rows",)


def write_side(
    draft: Draft, table: Table, side: str, found: Findings, config: TabularConfig
) -> Hashes:
    """Encode the rows of a side, some at a time; return the hash of each of them."""
    rows, narrow, file = table.rows(side), table.narrow(side), table.file(side)
    where = str(file.path)
    values = values_of(found.targets, narrow, rows=rows, where=where)
    weights = row_weights(narrow, config.weight, rows=rows, where=where)
    hashes: list[NDArray[np.uint64]] = []
    start = 0
    for chunk in file.read():
        first, last = np.searchsorted(rows, (start, start + len(chunk))).tolist()
        mine = rows[first:last] - start
        numbers, levels = found.schema.encode(chunk, rows=mine, where=where, partial=True)
        draft.append(f"{side}.numbers", numbers.numpy())
        draft.append(f"{side}.levels", levels.numpy())
        hashes.append(row_hashes(Part(numbers, levels, values[first:last], weights[first:last])))
        start += len(chunk)
    if side == "train" and config.class_weights == "balanced":
        weights = balanced(values, weights, found.targets)
    draft.append(f"{side}.values", values.numpy())
    draft.append(f"{side}.weights", weights.numpy())
    return np.concatenate(hashes)
