"""Which settings of a student and of who teaches it fit together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

import torch

from rondel import keyed
from rondel.errors import ConfigError
from rondel_text.config import TextConfig
from rondel_text.loop_config import DistilConfig
from rondel_text.loops.material import Material
from rondel_text.models.text_model import TextModel
from rondel_text.soft_targets import SOFTENED
from rondel_text.tasks import Task
from rondel_text.teacher import KEY

if TYPE_CHECKING:
    from rondel_text.models.layers import Matching
    from rondel_text.models.transformer import TransformerModel

Settings = Mapping[str, float | None]
TEMPERATURES: Settings = {"frozen": 2.0, "ema": None, "mutual": 1.0}
"""Default of ``distil.temperature`` by kind; None where there is none."""
ALPHAS: Settings = {"frozen": 0.5, "ema": None, "mutual": None}
"""The same of ``distil.alpha``."""
WEIGHTS: Settings = {"frozen": None, "ema": 1.0, "mutual": 1.0}
"""The same of ``distil.weight``."""
DECAY = 0.99
"""Of the average that teaches, where ``update.ema`` names none."""


def setting_of(name: str, given: float | None, usual: Settings, distil: DistilConfig) -> float:
    """Return a setting, or its default for the kind of teacher.

    Raises:
        ConfigError: It was given, and the kind has none.
    """
    default = usual[distil.kind]
    if default is None and given is not None:
        raise ConfigError(
            f"kind={distil.kind} has no {name}", where=f"distil.{name}", hint="Leave it out."
        )
    return given if given is not None else default or 0.0


def check_settings(config: TextConfig, task: Task) -> None:
    """Refuse tasks that nobody teaches, and settings that would do nothing.

    Raises:
        ConfigError: Names the key.
    """
    distil = config.distil
    if task.kind not in SOFTENED:
        raise ConfigError(
            f"the loop 'distil' does not fit the task {task.kind!r}",
            where="loop",
            hint=f"It is for task={', '.join(SOFTENED)}.",
        )
    idle: dict[str, bool] = {}
    if distil.kind != "frozen":
        idle = {
            KEY: distil.teacher is not None,
            "distil.start": distil.start == "layers",
            "distil.hidden_weight": distil.hidden_weight > 0,
            "distil.keep_answers": distil.keep_answers,
        }
    for key in (key for key, is_set in idle.items() if is_set):
        raise ConfigError(
            f"only a frozen teacher has it, not kind={distil.kind}",
            where=key,
            hint="Leave it out, or leave distil.kind out.",
        )
    if distil.hidden_weight and distil.keep_answers:
        raise ConfigError(
            "answers are remembered, hidden states are not",
            where="distil.keep_answers",
            hint="Leave it out, or leave distil.hidden_weight out.",
        )
    if distil.hidden_weight and config.update.compile:
        raise ConfigError(
            "hidden states are collected beside the loss, which is not compiled then",
            where="update.compile",
            hint="Leave it out, or leave distil.hidden_weight out.",
        )
    if task.kind == "regression" and distil.temperature is not None:
        raise ConfigError(
            "numbers have no temperature", where="distil.temperature", hint="Leave it out."
        )


def matching_of(
    config: TextConfig, student: TextModel, teacher: TextModel, material: Material
) -> Matching | None:
    """Return what compares hidden states, if that is asked for.

    Raises:
        ConfigError: One of the models has none that could be compared.
    """
    if not config.distil.hidden_weight:
        return None
    told_apart = material.tokenizer.kind == "subwords"
    if told_apart:
        from rondel_text.models.layers import Matching, has_states

        models = [cast("TransformerModel", model) for model in (student, teacher)]
        first, *_ = material.train.batch_of(torch.arange(1))
        with keyed.apart(torch.device("cpu")):  # to run a model draws dropout
            told_apart = all(has_states(model, first) for model in models)
    if not told_apart:
        raise ConfigError(
            "one of the models has no layers that follow each other, whose states could be compared",
            where="distil.hidden_weight",
            hint="Leave it out, or choose a student and a teacher that are transformers.",
        )
    return Matching(*models)
