"""What is learnt of which rows: the task, as the columns, the config and the tokenizer say it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rondel.errors import ConfigError
from rondel_text.config import TextConfig
from rondel_text.contrast import Contrast
from rondel_text.data.columns import cells
from rondel_text.data.faults import sound
from rondel_text.data.rows import Rows
from rondel_text.data.source import Parts, columns_of, task_of_rows, with_sound_words
from rondel_text.data.text_set import TextSet
from rondel_text.tasks import (
    TASKS,
    Answers,
    Causal,
    Classification,
    Masked,
    Pairs,
    Task,
    TextToText,
)
from rondel_text.tokenizers import Tokenizer


@dataclass(frozen=True)
class Lesson:
    """What is learnt, of which rows."""

    task: Task
    train: Rows
    valid: Rows
    notes: tuple[str, ...]


def lesson_of(config: TextConfig, parts: Parts) -> Lesson:
    """Find the task of the rows, and leave out what nothing can be learnt from."""
    kind = task_of_rows(config, parts.train)
    columns = columns_of(config, kind, parts.train)
    task: type[Task] = TASKS[kind]
    train, valid = parts.train, parts.valid
    notes = list(train.notes)
    if kind == "tokens":
        (train, more), (valid, others) = (
            with_sound_words(rows, columns, config.bad_rows) for rows in (train, valid)
        )
        notes += [*more, *others]
    train, more = sound(train, task.faults(train, columns), config.bad_rows)
    learnt = task.learnt(train, columns)
    found = (*task.faults(valid, columns), *learnt.strangers(valid))
    valid, others = sound(valid, found, config.bad_rows)
    return Lesson(learnt, train, valid, (*notes, *more, *others))


def texts_of(task: Task, rows: Rows) -> Sequence[Any]:
    """Return the texts of rows, those of pairs and targets one after the other."""
    columns = task.columns
    texts = cells(rows, columns.text, "text")
    if isinstance(task, TextToText):
        texts = [*texts, *cells(rows, columns.label, "label")]
    if columns.pair is None:
        return texts
    return [*texts, *cells(rows, columns.pair, "pair")]


def told(task: Task, tokenizer: Tokenizer, config: TextConfig) -> Task:
    """Tell a task what it learns from the config, and of the tokens that there are.

    Raises:
        ConfigError: The tokenizer has none that hides others.
    """
    if isinstance(task, Classification):
        return Classification(task.labels, task.columns, smoothing=config.smoothing)
    if isinstance(task, TextToText):
        return TextToText(
            task.columns,
            tokenizer=tokenizer,
            smoothing=config.smoothing,
            beams=config.seq2seq.beams,
            longest=config.seq2seq.longest or tokenizer.longest,
            generated=config.seq2seq.generated,
        )
    if isinstance(task, Causal):
        return Causal(task.columns, config.context or 0)
    if isinstance(task, Pairs):
        contrastive = config.contrastive
        return Pairs(task.columns, Contrast(contrastive.temperature, contrastive.symmetric))
    if isinstance(task, Answers):
        return task.with_rules(config, tokenizer.longest)
    return hiding(task, tokenizer) if isinstance(task, Masked) else task


def hiding(task: Masked, tokenizer: Tokenizer) -> Masked:
    """Tell a task of hidden tokens which token hides the others.

    Raises:
        ConfigError: The tokenizer has none.
    """
    if tokenizer.mask is None:
        raise ConfigError(
            "the tokenizer has no token that hides others",
            where="task",
            hint="Choose task=causal, or a model that was trained on hidden tokens.",
        )
    return task.with_tokens(mask=tokenizer.mask, size=tokenizer.size, special=tokenizer.special)


def learnt_texts(task: Task, rows: Rows, tokenizer: Tokenizer) -> TextSet:
    """Encode the rows to learn from.

    Raises:
        DataError: Nothing of what is to be learnt stands whole in a window.
    """
    if isinstance(task, Causal):  # windows to learn from repeat nothing
        return Causal(task.columns).encode(rows, tokenizer)
    made = task.encode(rows, tokenizer)
    if isinstance(task, Answers):
        task.check(made)
    return made


def writable(lesson: Lesson, task: Task, config: TextConfig) -> Lesson:
    """Leave out the rows whose target has more tokens than are written.

    Raises:
        DataError: There are some, and the policy is to stop.
    """
    if not isinstance(task, TextToText):
        return lesson
    train, notes = sound(lesson.train, task.strangers(lesson.train), config.bad_rows)
    valid, others = sound(lesson.valid, task.strangers(lesson.valid), config.bad_rows)
    return Lesson(task, train, valid, (*lesson.notes, *notes, *others))


def check_context(config: TextConfig, tokenizer: Tokenizer) -> None:
    """Refuse windows that tell nothing new.

    Raises:
        ConfigError: The context fills them.
    """
    if config.context is not None and config.context >= tokenizer.longest:
        raise ConfigError(
            f"windows of {tokenizer.longest} tokens that repeat {config.context} tell nothing new",
            where="context",
            hint="Lower it to half of max_length or less.",
        )
