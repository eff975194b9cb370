"""From a config of several tasks to their loop: one tokenizer, one encoder, a head for each."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast, get_args

from rondel.errors import ConfigError, DataError, RondelError
from rondel_text.config import ModelConfig, TextConfig
from rondel_text.data.source import Parts, gather
from rondel_text.data.tagged import WORDS
from rondel_text.lesson import Lesson, learnt_texts, lesson_of, texts_of, told
from rondel_text.loop_config import SharedTaskName
from rondel_text.loops.finetune import Finetune
from rondel_text.loops.material import Material
from rondel_text.loops.multitask import Multitask
from rondel_text.models.catalogue import make_model, make_tokenizer
from rondel_text.tokenizers import Tokenizer

ALLOWED = get_args(SharedTaskName)
KEY = "multitask.tasks"


def build_multitask(config: TextConfig) -> Multitask:
    """Read the texts of all tasks, make tokenizer, encoder and heads, and the loop.

    Raises:
        DataError: The texts of a task cannot be used; its name stands in front.
        ConfigError: A setting does not fit, or a task cannot share a model.
    """
    from rondel_text.models.shared import DROPOUT, Head, OneHead, SharedModel  # need transformers
    from rondel_text.models.transformer import TransformerModel

    check_settings(config)
    configs = {name: config.of_task(name) for name in config.multitask.tasks}
    found = {name: read(name, own) for name, own in configs.items()}
    model_config = encoder_config(config.model)
    tokenizer = make_tokenizer(
        model_config, "embedding", texts_of_all(found), max_length=config.max_length
    )
    materials = {name: material_of(name, configs[name], tokenizer, *found[name]) for name in found}
    heads = [Head(name, m.task.head, m.task.outputs) for name, m in materials.items()]
    encoder = make_model(model_config, "embedding", tokenizer, outputs=0)
    dropout = DROPOUT if config.model.dropout is None else config.model.dropout
    model = SharedModel(cast(TransformerModel, encoder), heads, dropout=dropout)
    lessons = {
        name: Finetune(configs[name], OneHead(model, name), material)
        for name, material in materials.items()
    }
    return Multitask(config, model, lessons)


def read(name: str, config: TextConfig) -> tuple[Parts, Lesson]:
    """Read the rows of a task, and find what is to be learnt of them."""
    with naming(name):
        parts = gather(config)
        lesson = lesson_of(config, parts)
    if lesson.task.kind not in ALLOWED:
        raise ConfigError(
            f"the task {lesson.task.kind!r} cannot share a model with others",
            where=f"{KEY}.{name}.task",
            hint=f"Choose one of {', '.join(ALLOWED)}.",
        )
    return parts, lesson


def texts_of_all(found: Mapping[str, tuple[Parts, Lesson]]) -> list[Any]:
    """Return the training texts of all tasks; lists of words for taggers."""
    texts: list[Any] = []
    for _, lesson in found.values():
        task, rows = lesson.task, lesson.train
        texts += rows[WORDS] if task.kind == "tokens" else texts_of(task, rows)
    return texts


def material_of(
    name: str, config: TextConfig, tokenizer: Tokenizer, parts: Parts, lesson: Lesson
) -> Material:
    """Encode the texts of a task."""
    task = told(lesson.task, tokenizer, config)
    with naming(name):
        train = learnt_texts(task, lesson.train, tokenizer)
        return Material(
            config=config,
            task=task,
            tokenizer=tokenizer,
            train=train,
            valid=task.encode(lesson.valid, tokenizer),
            manifest=parts.manifest,
            notes=(*lesson.notes, *train.notes),
            baselines=tuple(task.baselines(lesson.train, lesson.valid)),
        )


def encoder_config(config: ModelConfig) -> ModelConfig:
    """Return which encoder is meant; by default a BERT from scratch."""
    return config.model_copy(update={"name": "bert"}) if config.name == "auto" else config


@contextmanager
def naming(name: str) -> Iterator[None]:
    """Let errors say which task they are about."""
    try:
        yield
    except (ConfigError, DataError) as error:
        where = f"{KEY}.{name}{f': {error.where}' if error.where else ''}"
        raise type(error)(error.what, where=where, hint=error.hint) from error


def check_settings(config: TextConfig) -> None:
    """Refuse settings that do not fit several tasks, all of them at once.

    Raises:
        ConfigError: Names each key.
    """
    problems: list[RondelError] = [*wrong_tasks(config), *wrong_keys(config)]
    if problems:
        raise ConfigError.collect(problems)


def wrong_tasks(config: TextConfig) -> Iterator[ConfigError]:
    """Yield what is wrong with the tasks."""
    tasks = config.multitask.tasks
    if not tasks:
        yield ConfigError(
            "there is no task",
            where=KEY,
            hint=f"Name each with its data: {KEY}.topic.data=news.csv {KEY}.stars.data=reviews.csv",
        )
    for name, task in tasks.items():
        if not re.fullmatch(r"[\w-]+", name):
            yield ConfigError(
                f"{name!r} is no name of a task",
                where=KEY,
                hint="Take letters, digits, _ and -.",
            )
        elif task.data is None:
            yield ConfigError(
                "the task has no data", where=f"{KEY}.{name}.data", hint="Name a file or a folder."
            )
    given = [name for name, task in tasks.items() if task.ratio is not None]
    if given and len(given) < len(tasks):
        lacking = ", ".join(repr(name) for name in tasks if name not in given)
        yield ConfigError(
            f"of {len(tasks)} tasks {len(given)} have a ratio, {lacking} not",
            where=KEY,
            hint="Give all of them one, or none: then every text comes once in a pass.",
        )
    watch = config.multitask.watch
    if watch is not None and watch not in tasks:
        yield ConfigError(
            f"{watch!r} is no task",
            where="multitask.watch",
            hint=f"Choose one of {', '.join(tasks) or 'those that you name'}.",
        )


def wrong_keys(config: TextConfig) -> Iterator[ConfigError]:
    """Yield the keys that are those of one task, and cannot be set for all."""
    alone: dict[str, object] = {
        "data": config.data,
        "validation": config.validation,
        "task": None if config.task == "auto" else config.task,
        "dataset": None if config.dataset == "auto" else config.dataset,
    }
    for key, value in alone.items():
        if value is not None:
            yield ConfigError(
                f"got {str(value)!r}, but several tasks are learnt",
                where=key,
                hint=f"Leave it out; the data of each task stands in {KEY}.NAME.data.",
            )
    if config.streaming:
        yield ConfigError(
            "several tasks are learnt of texts in memory",
            where="streaming",
            hint="Leave it out.",
        )
    if config.model.name == "small":
        yield ConfigError(
            "the small models have one head",
            where="model.name",
            hint="Choose model.name=bert, or a folder of transformers.",
        )
