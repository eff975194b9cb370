"""From a config to a loop: rows, task, tokenizer, model, and the loop that fits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rondel.errors import ConfigError
from rondel_text.config import TextConfig
from rondel_text.data.columns import cells
from rondel_text.data.faults import sound
from rondel_text.data.rows import Rows
from rondel_text.data.source import Parts, columns_of, gather, task_of_rows, with_sound_words
from rondel_text.data.tagged import WORDS
from rondel_text.loops.finetune import Finetune
from rondel_text.loops.gradual import Gradual
from rondel_text.loops.material import Material
from rondel_text.loops.pretrain import Pretrain
from rondel_text.loops.pretrain_then_finetune import PretrainThenFinetune
from rondel_text.loops.text_loop import TextLoop
from rondel_text.models.catalogue import make_model, make_tokenizer
from rondel_text.tasks import TASKS, Causal, Classification, Masked, Task
from rondel_text.tokenizers import Tokenizer

LOOPS: dict[str, type[TextLoop]] = {
    "finetune": Finetune,
    "pretrain": Pretrain,
    "gradual": Gradual,
    "pretrain_then_finetune": PretrainThenFinetune,
}
UNLABELLED = ("causal", "masked")


@dataclass(frozen=True)
class Lesson:
    """What is learnt, of which rows."""

    task: Task
    train: Rows
    valid: Rows
    notes: tuple[str, ...]


def build(config: TextConfig) -> TextLoop:
    """Read the texts, find the task, make tokenizer, model and loop.

    Raises:
        DataError: The texts cannot be used.
        ConfigError: A setting does not fit the task or the model.
    """
    parts = gather(config)
    lesson = lesson_of(config, parts)
    task = lesson.task
    texts = lesson.train[WORDS] if task.kind == "tokens" else texts_of(lesson)
    tokenizer = make_tokenizer(
        config.model,
        task.head,
        texts,
        max_length=config.max_length,
        pairs=task.columns.pair is not None,
    )
    task = told(task, tokenizer, config)
    check_context(config, tokenizer)
    material = Material(
        config=config,
        task=task,
        tokenizer=tokenizer,
        train=(Causal(task.columns) if isinstance(task, Causal) else task).encode(
            lesson.train, tokenizer
        ),
        valid=task.encode(lesson.valid, tokenizer),
        manifest=parts.manifest,
        notes=lesson.notes,
        baselines=tuple(task.baselines(lesson.train, lesson.valid)),
    )
    names = getattr(getattr(task, "labels", None), "names", ())
    model = make_model(config.model, task.head, tokenizer, outputs=task.outputs, names=names)
    loop = LOOPS[loop_name(config, task)](config, model, material)
    loop.baseline = next(iter(material.baselines), None)
    return loop


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


def texts_of(lesson: Lesson) -> Sequence[Any]:
    """Return the training texts, those of pairs one after the other."""
    columns = lesson.task.columns
    texts = cells(lesson.train, columns.text, "text")
    if columns.pair is None:
        return texts
    return [*texts, *cells(lesson.train, columns.pair, "pair")]


def told(task: Task, tokenizer: Tokenizer, config: TextConfig) -> Task:
    """Tell a task what it learns from the config, and of the tokens that there are.

    Raises:
        ConfigError: The tokenizer has none that hides others.
    """
    if isinstance(task, Classification):
        return Classification(task.labels, task.columns, smoothing=config.smoothing)
    if isinstance(task, Causal):
        return Causal(task.columns, config.context)
    if not isinstance(task, Masked):
        return task
    if tokenizer.mask is None:
        raise ConfigError(
            "the tokenizer has no token that hides others",
            where="task",
            hint="Choose task=causal, or a model that was trained on hidden tokens.",
        )
    return task.with_tokens(mask=tokenizer.mask, size=tokenizer.size, special=tokenizer.special)


def check_context(config: TextConfig, tokenizer: Tokenizer) -> None:
    """Refuse windows that tell nothing new.

    Raises:
        ConfigError: The context fills them.
    """
    if config.context >= tokenizer.longest:
        raise ConfigError(
            f"windows of {tokenizer.longest} tokens that repeat {config.context} tell nothing new",
            where="context",
            hint="Lower it to half of max_length or less.",
        )


def loop_name(config: TextConfig, task: Task) -> str:
    """Return the loop: as asked for, or the one that fits the task.

    Raises:
        ConfigError: The loop needs labels, or none.
    """
    if config.loop == "auto":
        return "pretrain" if task.kind in UNLABELLED else "finetune"
    if (config.loop == "pretrain") != (task.kind in UNLABELLED):
        raise ConfigError(
            f"the loop {config.loop!r} does not fit the task {task.kind!r}",
            where="loop",
            hint="pretrain is for task=causal and masked, all others are for tasks with labels.",
        )
    return config.loop
