"""From files that do not fit in memory to material: surveyed, encoded once, read by memory map."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from rondel import Baseline, DataManifest
from rondel.array_cache import Cache, Draft, Entry, cache_in, key_of
from rondel.errors import ConfigError
from rondel.notice import notice
from rondel_text.config import TextConfig
from rondel_text.data.faults import Tally, sound
from rondel_text.data.rows import Rows
from rondel_text.data.stored import ENCODING, read, write
from rondel_text.data.text_set import TextSet
from rondel_text.loops.material import Material
from rondel_text.streaming.origin import Origin
from rondel_text.streaming.survey import SAMPLE_CHARACTERS, Survey, check_streamed, survey
from rondel_text.tasks import Causal, Task
from rondel_text.tokenizers import Tokenizer

Prepare = Callable[[TextConfig, Task, Rows], tuple[Task, Tokenizer]]
"""Tells a task what the config says of it, and makes the tokenizer, of rows to learn from."""
LOOPS = ("auto", "finetune", "pretrain", "gradual", "pretrain_then_finetune")
"""The loops that ask for nothing but encoded texts."""


def streamed(config: TextConfig, prepare: Prepare) -> Material:
    """Bring together what the loops need, with no more than a few rows in memory.

    The files are read three times: for their columns, for labels and faults, and to be encoded. All
    that was found lies in the cache, so that the next run on the same files reads none of them.

    Raises:
        ConfigError: A setting needs the rows in memory.
        DataError: The files cannot be read or used.
    """
    cache = check(config)
    origin = Origin.of(config)
    found = survey(origin, cache)
    task, tokenizer = prepare(config, found.task, found.train)
    entry = encoded(origin, found, task, tokenizer, cache)
    return Material(
        config=config,
        task=task,
        tokenizer=tokenizer,
        train=read(entry, "train", origin.names),
        valid=valid_of(entry, origin, task),
        manifest=found.manifest,
        notes=tuple(entry.facts["notes"]),
        baselines=tuple(baselines(found, task)),
        remarks=(*sampled(found), cache.remark(entry)),
    )


def validation(
    config: TextConfig, task: Task, tokenizer: Tokenizer
) -> tuple[DataManifest, TextSet]:
    """Return the texts that a model is evaluated on in training, and what the data is."""
    cache = check(config)
    origin = Origin.of(config)
    found = survey(origin, cache)
    entry = encoded(origin, found, task, tokenizer, cache)
    return found.manifest, valid_of(entry, origin, task)


def check(config: TextConfig) -> Cache:
    """Refuse what cannot be streamed before anything is read; return where texts are kept.

    Raises:
        ConfigError: A setting needs the rows in memory.
    """
    if config.task != "auto":
        check_streamed(config.task)
    if config.loop not in LOOPS:
        raise ConfigError(
            f"the loop {config.loop!r} needs its rows in memory",
            where="streaming",
            hint=f"Leave streaming out; it is there for loop={', '.join(LOOPS[1:])}.",
        )
    return cache_in(config.cache or "auto", "text")


def encoded(origin: Origin, found: Survey, task: Task, tokenizer: Tokenizer, cache: Cache) -> Entry:
    """Return the encoded texts of both sides, which are made unless they are in the cache."""
    key = key_of(
        encoding=ENCODING,
        data=found.manifest.hash,
        reading=origin.reading(),
        task=task.to_facts(),
        tokenizer=tokenizer.to_facts(),
    )
    return cache.entry(key, partial(encode, origin, found, task, tokenizer))


def encode(origin: Origin, found: Survey, task: Task, tokenizer: Tokenizer, draft: Draft) -> None:
    """Read all rows, and encode them some at a time.

    Raises:
        DataError: A label to evaluate on was never learnt, and the policy is to stop.
    """
    policy = origin.config.bad_rows
    notice(f"{found.manifest.name} is encoded into {draft.folder.parent} ...")
    learnt, valid = Tally(), Tally()
    for file, *sides in origin.divided(found.overview):
        for rows, name, tally in zip(sides, ("train", "valid"), (learnt, valid), strict=True):
            if not len(rows):
                continue
            strangers = task.strangers(rows) if tally is valid else ()
            kept = tally.kept(rows, (*task.faults(rows, task.columns), *strangers))
            if policy == "stop":
                tally.notes(policy)
            if len(kept):
                made = encoder(task, name).encode(kept, tokenizer)
                write(draft, name, made, file=file, column=column_of(task, name))
    draft.facts = {"notes": [*learnt.notes(policy), *valid.notes(policy)]}
    origin.check_unchanged(found.stamps)


def encoder(task: Task, side: str) -> Task:
    """Return the task that encodes a side: windows to learn from repeat nothing."""
    return Causal(task.columns) if isinstance(task, Causal) and side == "train" else task


def column_of(task: Task, side: str) -> str | None:
    """Return the column of texts that is kept: a report shows those that were mistaken."""
    return task.columns.text if side == "valid" and task.head == "sequence" else None


def valid_of(entry: Entry, origin: Origin, task: Task) -> TextSet:
    """Return the texts to evaluate on."""
    return read(entry, "valid", origin.names, column=task.columns.text)


def baselines(found: Survey, task: Task) -> list[Baseline]:
    """Measure simple models on the samples, and say so where these are not all rows."""
    valid, _ = sound(found.valid, task.strangers(found.valid), "drop")
    made = task.baselines(found.train, valid)
    if found.is_whole:
        return list(made)
    return [replace(each, name=f"{each.name} (on a sample)") for each in made]


def sampled(found: Survey) -> list[str]:
    """Say what was looked at in part."""
    if found.is_whole:
        return []
    most = f"at most {SAMPLE_CHARACTERS / 1e6:.1f} million characters of either side"
    sizes = f"{len(found.train):,} rows to learn from, {len(found.valid):,} to evaluate on"
    return [f"A learnt tokenizer and the simple models saw a sample, {most}: {sizes}."]
