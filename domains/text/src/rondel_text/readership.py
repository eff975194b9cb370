"""Which loop or task reads which group of config keys; a key that nobody reads is refused."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pydantic import BaseModel

from rondel.errors import ConfigError, RondelError
from rondel_text.config import TextConfig

READERS: Mapping[str, tuple[str, str]] = {
    "adversary": ("loop", "adversarial"),
    "answers": ("task", "answers"),
    "contrastive": ("loop", "contrastive"),
    "distil": ("loop", "distil"),
    "gradual": ("loop", "gradual"),
    "multitask": ("loop", "multitask"),
    "pretraining": ("loop", "pretrain_then_finetune"),
    "seq2seq": ("loop", "seq2seq"),
}
"""The key by which a group is chosen, and its value."""


def check_read(config: TextConfig, *, loop: str, task: str) -> None:
    """Refuse keys that differ from their defaults and change nothing, all of them at once.

    Raises:
        ConfigError: Names each key, and who would read it.
    """
    chosen, usual = {"loop": loop, "task": task}, TextConfig()
    problems: list[RondelError] = [
        ConfigError(
            f"the loop {loop!r} does not read it"
            f"{f' for the task {task!r}' if key == 'task' and task else ''}",
            where=name,
            hint=f"Choose {key}={reader}, or leave it out.",
        )
        for group, (key, reader) in READERS.items()
        if chosen[key] != reader
        for name in differing(getattr(config, group), getattr(usual, group), group)
    ]
    if problems:
        raise ConfigError.collect(problems)


def differing(config: BaseModel, default: BaseModel, name: str) -> Iterator[str]:
    """Yield the keys in which a group differs from its default, with its name in front."""
    for key in type(config).model_fields:
        value, usual = getattr(config, key), getattr(default, key)
        if isinstance(value, BaseModel) and type(value) is type(usual):
            yield from differing(value, usual, f"{name}.{key}")
        elif value != usual:
            yield f"{name}.{key}"
