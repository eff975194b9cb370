"""From a config to a loop: rows, task, tokenizer, model, and the loop that fits."""

from __future__ import annotations

from rondel import DataManifest
from rondel.array_cache import cache_in, key_of
from rondel.errors import ConfigError
from rondel_text.config import TextConfig
from rondel_text.data.rows import Rows
from rondel_text.data.source import gather
from rondel_text.data.stored import ENCODING, kept
from rondel_text.data.tagged import WORDS
from rondel_text.data.text_set import TextSet
from rondel_text.lesson import (
    Lesson,
    check_context,
    learnt_texts,
    lesson_of,
    texts_of,
    told,
    writable,
)
from rondel_text.loops.adversarial import Adversarial
from rondel_text.loops.contrastive import Contrastive
from rondel_text.loops.distil import Distil
from rondel_text.loops.finetune import Finetune
from rondel_text.loops.gradual import Gradual
from rondel_text.loops.material import Material
from rondel_text.loops.pretrain import Pretrain
from rondel_text.loops.pretrain_then_finetune import PretrainThenFinetune
from rondel_text.loops.seq2seq import Seq2Seq
from rondel_text.loops.text_loop import TextLoop
from rondel_text.models.catalogue import make_model, make_tokenizer
from rondel_text.multitask import build_multitask
from rondel_text.readership import check_read
from rondel_text.streaming.material import streamed
from rondel_text.streaming.survey import STREAMED
from rondel_text.tasks import Task
from rondel_text.teacher import is_taught, shared_tokenizer, student_of
from rondel_text.tokenizers import Tokenizer

LOOPS: dict[str, type[TextLoop]] = {
    "finetune": Finetune,
    "pretrain": Pretrain,
    "gradual": Gradual,
    "pretrain_then_finetune": PretrainThenFinetune,
    "seq2seq": Seq2Seq,
    "adversarial": Adversarial,
    "contrastive": Contrastive,
    "distil": Distil,
}
UNLABELLED = ("causal", "masked")
KEPT = (*STREAMED, "tokens")
"""The tasks whose encoded texts may lie in a cache."""
USUAL_LOOPS = {
    "seq2seq": "seq2seq",
    "causal": "pretrain",
    "masked": "pretrain",
    "pairs": "contrastive",
}
"""The loop of a task, where it is not finetune."""
ALONE = {"contrastive": "pairs", "seq2seq": "seq2seq"}
"""Loops for one task alone, which has no other."""


def build(config: TextConfig) -> TextLoop:
    """Read the texts, find the task, make tokenizer, model and loop.

    Raises:
        DataError: The texts cannot be used.
        ConfigError: A setting does not fit the task or the model.
    """
    if is_shared(config):
        check_read(config, loop="multitask", task="")
        return build_multitask(config)
    material = streamed(config, prepared) if config.streaming else gathered(config)
    task, tokenizer = material.task, material.tokenizer
    names = getattr(getattr(task, "labels", None), "names", ())
    if is_taught(config) and config.distil.start == "layers":
        model = student_of(config, task)
    else:
        model = make_model(config.model, task.head, tokenizer, outputs=task.outputs, names=names)
    loop = LOOPS[loop_name(config, task)](config, model, material)
    loop.baseline = next(iter(material.baselines), None)
    return loop


def is_shared(config: TextConfig) -> bool:
    """Tell whether several tasks share a model.

    Raises:
        ConfigError: There are several, and the loop is for one.
    """
    if config.multitask.tasks and config.loop not in ("auto", "multitask"):
        raise ConfigError(
            f"the loop {config.loop!r} learns one task, and multitask.tasks names "
            f"{len(config.multitask.tasks)}",
            where="loop",
            hint="Choose loop=multitask, or leave multitask.tasks out.",
        )
    return config.loop == "multitask" or bool(config.multitask.tasks)


def gathered(config: TextConfig) -> Material:
    """Bring together what the loops need, of rows in memory."""
    parts = gather(config)
    lesson = lesson_of(config, parts)
    task, tokenizer = prepared(config, lesson.task, lesson.train)
    lesson = writable(lesson, task, config)
    train, valid, remarks = encoded(config, lesson, task, tokenizer, parts.manifest)
    return Material(
        config=config,
        task=task,
        tokenizer=tokenizer,
        train=train,
        valid=valid,
        manifest=parts.manifest,
        notes=(*lesson.notes, *train.notes),
        baselines=tuple(task.baselines(lesson.train, lesson.valid)),
        remarks=remarks,
    )


def prepared(config: TextConfig, task: Task, train: Rows) -> tuple[Task, Tokenizer]:
    """Make the tokenizer, of rows to learn from, and tell the task what it learns.

    Raises:
        ConfigError: A setting does not fit the task or the model.
    """
    check_read(config, loop=loop_name(config, task), task=task.kind)
    texts = train[WORDS] if task.kind == "tokens" else texts_of(task, train)
    tokenizer = (
        shared_tokenizer(config)
        if is_taught(config)
        else make_tokenizer(
            config.model,
            task.head,
            texts,
            max_length=config.max_length,
            pairs=task.columns.pair is not None and task.head != "embedding",
        )
    )
    task = told(task, tokenizer, config)
    check_context(config, tokenizer)
    return task, tokenizer


def encoded(
    config: TextConfig, lesson: Lesson, task: Task, tokenizer: Tokenizer, data: DataManifest
) -> tuple[TextSet, TextSet, tuple[str, ...]]:
    """Encode both sides, or find them in the cache; return them with what is to be said of it.

    Raises:
        ConfigError: There is a cache, and the texts of the task are not kept.
    """
    cache = None if config.cache is None else cache_in(config.cache, "text")
    rows = {"train": lesson.train, "valid": lesson.valid}

    def encode(side: str) -> TextSet:
        if side == "train":
            return learnt_texts(task, lesson.train, tokenizer)
        return task.encode(lesson.valid, tokenizer)

    if cache is None:
        return encode("train"), encode("valid"), ()
    if task.kind not in KEPT:
        raise ConfigError(
            f"the texts of the task {task.kind!r} are encoded anew in every run",
            where="cache",
            hint=f"Leave it out; it is there for task={', '.join(KEPT)}.",
        )
    key = key_of(
        encoding=ENCODING,
        data=data.hash,
        places=[[list(mine.file), list(mine.numbers)] for mine in rows.values()],
        task=task.to_facts(),
        tokenizer=tokenizer.to_facts(),
    )
    entry, sets = kept(cache, key, rows, encode)
    return sets["train"], sets["valid"], (cache.remark(entry),)


def loop_name(config: TextConfig, task: Task) -> str:
    """Return the loop: as asked for, or the one that fits the task.

    Raises:
        ConfigError: The loop needs labels, or none.
    """
    if config.loop == "auto":
        return USUAL_LOOPS.get(task.kind, "finetune")
    for loop, kind in ALONE.items():
        if (config.loop == loop) != (task.kind == kind):
            raise ConfigError(
                f"the loop {config.loop!r} does not fit the task {task.kind!r}",
                where="loop",
                hint=f"{loop} is for task={kind}, and nothing else is.",
            )
    if (config.loop == "pretrain") != (task.kind in UNLABELLED):
        raise ConfigError(
            f"the loop {config.loop!r} does not fit the task {task.kind!r}",
            where="loop",
            hint="pretrain is for task=causal and masked, all others are for tasks with labels.",
        )
    return config.loop
