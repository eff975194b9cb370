"""What there is to know of data that does not fit in memory: found in two readings, and kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from rondel import DataManifest
from rondel.array_cache import Cache, Draft, key_of
from rondel.errors import ConfigError
from rondel.notice import notice
from rondel_text.data.chunks import Sample
from rondel_text.data.columns import Columns
from rondel_text.data.faults import Tally
from rondel_text.data.rows import Rows
from rondel_text.data.source import check_sides, columns_of, share_of, task_of_rows
from rondel_text.streaming.learners import learner_of
from rondel_text.streaming.origin import Origin, Overview, overview_of
from rondel_text.tasks import TASKS, Task, task_of

VERSION = 1
"""Raised when a survey finds other things, so that older ones are not read."""
STREAMED = ("classification", "multilabel", "regression", "causal", "masked")
"""The tasks whose texts can be encoded some at a time."""
SAMPLE_CHARACTERS = 1 << 23
"""The most of either side that is kept in memory, for learning subwords and for simple models."""


@dataclass(frozen=True)
class Survey:
    """What was found.

    Args:
        overview: The columns, and how the rows are divided.
        task: What is to be learnt.
        manifest: Hashes of all files.
        train: A sample of the sound rows to learn from.
        valid: A sample of those to evaluate on.
        is_whole: The samples are all rows.
        stamps: What the files were like.
    """

    overview: Overview
    task: Task
    manifest: DataManifest
    train: Rows
    valid: Rows
    is_whole: bool
    stamps: list[Any]


def survey(origin: Origin, cache: Cache) -> Survey:
    """Read data twice, unless its survey is in the cache.

    Raises:
        DataError: It cannot be read or used.
        ConfigError: What is to be learnt cannot be streamed.
    """
    stamps, config = origin.stamps(), origin.config
    asked = {key: getattr(config, key) for key in ("task", "text", "pair", "label")}
    settings = {**origin.reading(), **asked, "sample": SAMPLE_CHARACTERS}
    key = key_of(survey=VERSION, stamps=stamps, settings=settings)
    facts = cache.entry(key, partial(explore, origin, stamps)).facts
    found = facts["overview"]
    return Survey(
        overview=Overview(tuple(found["columns"]), tuple(found["others"]), found["chosen"]),
        task=task_of(facts["task"]),
        manifest=DataManifest.from_json(facts["manifest"]),
        train=rows_of(facts["train"], origin.names),
        valid=rows_of(facts["valid"], origin.names),
        is_whole=facts["is_whole"],
        stamps=stamps,
    )


def explore(origin: Origin, stamps: list[Any], draft: Draft) -> None:
    """Read data twice, and write down what is to be known of it."""
    notice(f"{origin.path.name} is read for its columns, labels and faults ...")
    overview, example = overview_of(origin)
    kind = task_of_rows(origin.config, example)
    check_streamed(kind)
    columns = columns_of(origin.config, kind, example)
    learner = learner_of(kind, columns)
    train, valid = Side(), Side()
    for file, *sides in origin.divided(overview):
        for side, rows in zip((train, valid), sides, strict=True):
            kept = side.tally.kept(rows, TASKS[kind].faults(rows, columns)) if len(rows) else rows
            side.add(file, kept, columns)
            if side is train:
                learner.add(kept)
    sizes = (train.tally.rows, valid.tally.rows)
    check_sides(origin.path, *sizes, whole=sum(sizes))
    for side in (train, valid):
        side.tally.notes(origin.config.bad_rows)
    draft.facts = {
        "overview": vars(overview),
        "task": learner.task(origin.names[0]).to_facts(),
        "manifest": origin.manifest(sum(sizes)).to_json(),
        "train": train.sample.rows(),
        "valid": valid.sample.rows(),
        "is_whole": train.sample.is_whole and valid.sample.is_whole,
    }
    origin.check_unchanged(stamps)


def check_streamed(kind: str) -> None:
    """Refuse a task that looks at all of its rows at once.

    Raises:
        ConfigError: It does.
    """
    if kind not in STREAMED:
        raise ConfigError(
            f"the task {kind!r} needs its rows in memory",
            where="streaming",
            hint=f"Leave streaming out; it is there for task={', '.join(STREAMED)}.",
        )


class Side:
    """The rows to learn from, or those to evaluate on: their faults, and a sample."""

    def __init__(self) -> None:
        self.tally = Tally()
        self.sample = Sample(SAMPLE_CHARACTERS)

    def add(self, file: int, rows: Rows, columns: Columns) -> None:
        """Take sound rows into account."""
        texts = [name for name in (columns.text, columns.pair) if name is not None]
        names = [name for name in (*texts, columns.label) if name in rows.columns]
        for number, row in zip(rows.numbers, rows, strict=True):
            kept = {"file": file, "number": number, "cells": {name: row[name] for name in names}}
            characters = sum(len(row[name]) for name in texts)
            self.sample.add(share_of(row, columns.text), kept, characters=characters)


def rows_of(sample: list[Mapping[str, Any]], files: list[str]) -> Rows:
    """Return the rows of a sample that was kept as plain values."""
    names = sample[0]["cells"] if sample else ()
    return Rows(
        {name: [row["cells"][name] for row in sample] for name in names},
        files,
        [row["file"] for row in sample],
        [row["number"] for row in sample],
    )
