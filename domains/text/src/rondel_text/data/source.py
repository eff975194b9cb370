"""From a config to rows: read and split, or the embedded set."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from rondel import DataManifest
from rondel.data_manifest import hash_arrays
from rondel.errors import ConfigError, DataError
from rondel_text.config import TASKS, TaskName, TextConfig, dataset_of
from rondel_text.data.columns import Columns, cells, name_of, number_of
from rondel_text.data.faults import Fault, Policy, sound
from rondel_text.data.questions import ANSWERS, CONTEXT, QUESTION
from rondel_text.data.reading import read_rows, split_of
from rondel_text.data.rows import Rows
from rondel_text.data.spans import check_spans, tags_of_spans
from rondel_text.data.tagged import TAGS, WORD, WORDS
from rondel_text.demo import code_tokens, docstrings, names, titles, topics

EMBEDDED: Mapping[str, Any] = {
    "docstrings": docstrings,
    "code": code_tokens,
    "topics": topics,
    "titles": titles,
    "names": names,
}
SPLIT, PAIR = "split", "pair"
MOST_CLASSES = 30
"""Distinct numbers of a column up to which it is taken for classes."""


@dataclass(frozen=True)
class Parts:
    """Rows to learn from and rows to evaluate on, and what both were."""

    name: str
    train: Rows
    valid: Rows
    manifest: DataManifest


def gather(config: TextConfig) -> Parts:
    """Read the texts that a config names, and tell training from validation.

    Raises:
        DataError: They cannot be read, or nothing is left on one side.
    """
    if config.data is None:
        dataset = dataset_of(config)
        made = EMBEDDED[dataset]
        train, valid = made.split(made.load())
        return Parts(dataset, train, valid, manifest_of(dataset, train, valid))
    rows = read(config, config.data)
    if config.validation is not None:
        train, valid = rows, read(config, config.validation)
    else:
        train, valid = divided(rows, config.held_out, column=config.text)
    name = config.data.name
    check_sides(config.data, len(train), len(valid), whole=len(rows))
    return Parts(name, train, valid, manifest_of(name, train, valid))


def check_sides(data: Path, train: int, valid: int, *, whole: int) -> None:
    """Refuse data of which nothing is left on one side.

    Raises:
        DataError: There is nothing to learn from, or to evaluate on.
    """
    for size, what in ((train, "learn from"), (valid, "evaluate on")):
        if not size:
            raise DataError(
                f"none of {whole} rows is left to {what}",
                where=str(data),
                hint="Give more rows, or name rows to evaluate on: validation=FILE.",
            )


def read(config: TextConfig, path: Path) -> Rows:
    """Read a file or folder as the config says."""
    return read_rows(path, format=config.format, documents=config.documents)


def divided(rows: Rows, held_out: float, *, column: str) -> tuple[Rows, Rows]:
    """Divide rows: by a column 'split', by the names of their files, or by what they say.

    The share that is held out is a function of the content, so that equal texts stay together.
    """
    chosen = chosen_split(named_splits(rows))
    return divided_by(rows, chosen, held_out=held_out, column=column)


def chosen_split(splits: Collection[str | None]) -> str | None:
    """Return the named split to evaluate on; None if there is none, so that some is held out."""
    return next((split for split in ("valid", "test") if split in splits), None)


def divided_by(
    rows: Rows, chosen: str | None, *, held_out: float, column: str
) -> tuple[Rows, Rows]:
    """Divide rows, which may be some of many, by the split that was chosen for all of them."""
    if chosen is not None:
        splits = named_splits(rows)
        held = [split == chosen for split in splits]
        train = [split in ("train", None) for split in splits]
    else:
        held = [share_of(row, column) < held_out for row in rows]
        train = [not each for each in held]
    return (
        rows.take([row for row, each in enumerate(train) if each]),
        rows.take([row for row, each in enumerate(held) if each]),
    )


def named_splits(rows: Rows) -> list[str | None]:
    """Return the split of each row, by a column 'split' or by the name of its file."""
    by_file = [split_of(Path(file)) for file in rows.files]
    named = rows.columns.get(SPLIT)
    if named is None:
        return [by_file[file] for file in rows.file]
    return [split_of(Path(str(cell))) if cell else None for cell in named]


def share_of(row: Mapping[str, Any], column: str) -> float:
    """Return a number in [0, 1) that is a function of what a row says, labels aside."""
    text = row.get("words") or row.get(column) or row.get(CONTEXT) or list(row.values())
    digest = hashlib.blake2b(json.dumps(text, default=str).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") / 2**64


def with_words(rows: Rows, columns: Columns) -> Rows:
    """Return rows of a tagger as words and tags, if they are texts, with or without spans.

    Raises:
        DataError: There is neither; or a span is malformed, outside of its text, or overlaps.
    """
    if WORDS in rows.columns:
        return with_names(rows)
    texts = cells(rows, columns.text, "text")
    places = [[found.span() for found in WORD.finditer(str(text))] for text in texts]
    made: dict[str, Any] = dict(rows.columns)
    made[WORDS] = [
        [str(text)[start:end] for start, end in row]
        for text, row in zip(texts, places, strict=True)
    ]
    spans = rows.columns.get("spans")
    if spans is not None:
        made[TAGS] = [
            None
            if spans[row] is None
            else tags_of_spans(places[row], check_spans(str(text), spans[row], rows.where(row)))
            for row, text in enumerate(texts)
        ]
    return replace(rows, columns=made)


def with_names(rows: Rows) -> Rows:
    """Return rows whose tags are names; many files have numbers."""
    found = rows.columns.get(TAGS)
    if found is None or all(isinstance(tag, str) for tags in found for tag in tags or ()):
        return rows
    named = [None if tags is None else [name_of(tag) for tag in tags] for tags in found]
    return replace(rows, columns={**rows.columns, TAGS: named})


def with_sound_words(rows: Rows, columns: Columns, policy: Policy) -> tuple[Rows, list[str]]:
    """Return rows of a tagger as words and tags, and a note on those that were dropped.

    Raises:
        DataError: There is neither; or spans do not fit their text, and the policy is to stop.
    """
    rows, notes = sound(rows, span_faults(rows, columns), policy)
    return with_words(rows, columns), notes


def span_faults(rows: Rows, columns: Columns) -> Iterator[Fault]:
    """Yield the rows with a span that is malformed, outside of its text, or overlaps."""
    if WORDS in rows.columns or "spans" not in rows.columns:
        return
    texts = cells(rows, columns.text, "text")
    for row, (text, spans) in enumerate(zip(texts, rows["spans"], strict=True)):
        try:
            check_spans(str(text), spans or (), "")
        except DataError as error:
            yield Fault(row, "spans", str(error))


def manifest_of(name: str, train: Rows, valid: Rows) -> DataManifest:
    """Describe the data by a hash over all that was read."""
    columns = {
        f"{part} {column}": np.frombuffer(json.dumps(list(cells), default=str).encode(), np.uint8)
        for part, rows in (("train", train), ("valid", valid))
        for column, cells in rows.columns.items()
    }
    parts = list(hash_arrays(columns).files)
    return DataManifest.of(name, parts, samples=len(train) + len(valid))


def task_of_rows(config: TextConfig, rows: Rows) -> TaskName:
    """Return what is to be learnt: as asked for, or by what the rows have.

    Raises:
        ConfigError: They have nothing that tells.
    """
    if config.task != "auto":
        return config.task
    if config.data is None:
        return TASKS[dataset_of(config)]
    names = set(rows.columns)
    fitting: Mapping[TaskName, bool] = {
        "tokens": {WORDS, TAGS} <= names or "spans" in names,
        "answers": {CONTEXT, QUESTION} <= names and bool(names & set(ANSWERS)),
        "multilabel": "labels" in names and config.label not in names,
        "causal": names == {config.text},
        "pairs": names == {config.text, config.pair or PAIR},
    }
    found = next((kind for kind, fits in fitting.items() if fits), None)
    if found is not None:
        return found
    if config.label in names:
        return task_of_labels(rows[config.label])
    raise ConfigError(
        f"what is to be learnt? The columns are {', '.join(map(repr, rows.columns))}",
        where="task",
        hint="Say which column holds the label: label=..., or task=causal for the text itself.",
    )


def columns_of(config: TextConfig, kind: str, rows: Rows) -> Columns:
    """Return the columns of a task; a reader of labels calls theirs 'labels'."""
    label = config.label
    if kind == "answers":
        return columns_of_questions(config, rows)
    if kind == "multilabel" and label not in rows.columns and "labels" in rows.columns:
        label = "labels"
    pair = PAIR if kind == "pairs" else None
    return Columns(config.text, config.pair or pair, label)


def columns_of_questions(config: TextConfig, rows: Rows) -> Columns:
    """Return the columns of questions: as the config says, or with the names that readers give."""
    there = rows.columns
    text = config.text if config.text in there or CONTEXT not in there else CONTEXT
    label = next((name for name in (config.label, *ANSWERS) if name in there), config.label)
    return Columns(text, config.pair or QUESTION, label)


def task_of_labels(cells: Any) -> TaskName:
    """Return the task that a column of labels is for."""
    if any(isinstance(cell, list | tuple) for cell in cells):
        return "multilabel"
    filled = [cell for cell in cells if cell not in (None, "")]
    numbers = [number_of(cell) for cell in filled]
    many = len({str(cell) for cell in filled}) > MOST_CLASSES
    if many and filled and None not in numbers:
        return "regression"
    return "classification"
