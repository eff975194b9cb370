"""The config keys of the domain 'text'; imports neither torch nor transformers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from rondel.config import Config, setting
from rondel.errors import ConfigError
from rondel.settings import DomainConfig, OptimizerConfig, ScheduleConfig, UpdateConfig
from rondel_text.loop_config import (
    AdversaryConfig,
    ContrastiveConfig,
    DistilConfig,
    GradualConfig,
    MultitaskConfig,
    PretrainingConfig,
)

TaskName = Literal[
    "classification",
    "multilabel",
    "regression",
    "tokens",
    "causal",
    "masked",
    "pairs",
    "answers",
    "seq2seq",
]
LoopName = Literal[
    "finetune",
    "pretrain",
    "gradual",
    "pretrain_then_finetune",
    "adversarial",
    "contrastive",
    "seq2seq",
    "multitask",
    "distil",
]
DatasetName = Literal["docstrings", "code", "topics", "titles", "names"]

DATASETS: Mapping[str, DatasetName] = {
    "tokens": "code",
    "causal": "topics",
    "masked": "topics",
    "classification": "docstrings",
    "pairs": "titles",
    "seq2seq": "names",
}
"""The embedded set of a task that is asked for without data."""
TASKS: Mapping[str, TaskName] = {
    "docstrings": "classification",
    "code": "tokens",
    "topics": "causal",
    "titles": "pairs",
    "names": "seq2seq",
}
"""The task of an embedded set that is asked for without one."""


class LoraConfig(Config):
    """Low-rank adapters beside frozen weights (Hu et al., 2022: LoRA)."""

    rank: int = setting(0, help="Rank of the adapters; 0 trains all of the model.", ge=0)
    alpha: float = setting(16.0, help="What the adapters add is scaled by alpha / rank.", gt=0)
    dropout: float = setting(0.0, help="Share of an adapter's input left out.", ge=0, lt=1)
    targets: tuple[str, ...] = setting(
        (),
        help="Names of the layers that get adapters, or all-linear; by default the attention "
        "projections that peft knows for the model.",
    )


class ModelConfig(Config):
    """Which model, and how large one from scratch is."""

    name: str = setting(
        "auto",
        help="'auto' and 'small' are the task's own small model; 'bert', 'gpt2', and 'bart' and 't5' "
        "for task=seq2seq, are made from scratch; 'minilm' is the installed package; or a local "
        "folder of transformers.",
    )
    width: int | None = setting(None, help="Width of a model from scratch.", ge=4)
    layers: int = setting(2, help="Layers of a transformer from scratch.", ge=1)
    heads: int = setting(4, help="Attention heads of a transformer from scratch.", ge=1)
    vocabulary: int = setting(4000, help="Subwords learnt for a transformer from scratch.", ge=300)
    buckets: int = setting(1 << 16, help="Numbers that pieces of words are hashed into.", ge=2)
    dropout: float | None = setting(
        None, help="Share left out in training, everywhere; by default the model's own.", ge=0, lt=1
    )
    padding: Literal["auto", "padded", "measured"] = setting(
        "auto",
        help="'auto' computes no padding where that is exact, 'padded' always does; 'measured' "
        "takes the faster of both on this device, so that two runs may differ in the last bits.",
    )
    lora: LoraConfig = setting(
        LoraConfig(), help="Adapters that are trained instead of the model (transformers only)."
    )


class Seq2SeqConfig(Config):
    """How texts are written: at evaluation, and by the trained model."""

    beams: int = setting(1, help="Beams of the search; 1 takes the likeliest token.", ge=1)
    longest: int | None = setting(
        None, help="Most tokens of a target, and of a text that is written; max_length.", ge=2
    )
    generated: int | None = setting(
        None, help="Texts to write at an evaluation, the first ones; by default all.", ge=1
    )


class AnswersConfig(Config):
    """What task=answers takes for an answer."""

    longest: int = setting(30, help="Most tokens of an answer that is predicted.", ge=1)
    threshold: float = setting(
        0.0,
        help="What a span must score above 'no answer'; only where some questions have none.",
    )


def text_update() -> UpdateConfig:
    """Return the default of all loops."""
    return UpdateConfig(
        optimizer=OptimizerConfig(name="adamw", lr=1e-3, weight_decay=0.01),
        schedule=ScheduleConfig(name="one_cycle", peak=0.1),
        clip_norm=1.0,
    )


class TextConfig(DomainConfig):
    """A model, the texts it learns from, and the loop that trains it."""

    dataset: Literal["auto"] | DatasetName = setting(
        "auto", help="The embedded set, without DATA; 'auto' is that of the task."
    )
    task: Literal["auto"] | TaskName = setting(
        "auto", help="What is learnt; 'auto' looks at the columns."
    )
    loop: Literal["auto"] | LoopName = setting("auto", help="The training loop.")
    format: str | None = setting(None, help="Format of the files; by default recognised.")
    documents: Literal["file", "line", "blank"] = setting(
        "file", help="What a document of plain text is."
    )
    text: str = setting("text", help="Column of the text.")
    pair: str | None = setting(
        None, help="Column of the second text of a pair; of task=answers that of the question."
    )
    label: str = setting("label", help="Column of the class, labels, number, target or answers.")
    validation: Path | None = setting(None, help="Files to evaluate on, beside DATA.")
    held_out: float = setting(
        0.2, help="Share held out for evaluation where the data has no split.", gt=0, lt=1
    )
    bad_rows: Literal["stop", "drop"] = setting("stop", help="What an unusable row does.")
    streaming: bool = setting(
        False, help="Read DATA some rows at a time; it may be larger than the memory."
    )
    cache: str | None = setting(
        None,
        help="Where encoded texts are kept: a folder, or 'auto' for the user's own; by default "
        "nowhere, with streaming 'auto'.",
    )
    max_length: int | None = setting(None, help="Most tokens of a text.", ge=4)
    context: int | None = setting(
        None,
        help="Tokens that a window to evaluate on repeats from the one before; by default 0. Of "
        "task=answers every window repeats them, by default a third of max_length.",
        ge=0,
    )
    batching: Literal["random", "buckets", "budget", "packed"] = setting(
        "random",
        help="Batches of any texts, of similar length, of at most 'tokens' tokens with padding, or "
        "of any texts that fit into 'tokens' without it.",
    )
    batch_size: int = setting(32, help="Texts per update.", ge=1)
    tokens: int = setting(4096, help="Tokens per update of 'budget' and 'packed'.", ge=1)
    smoothing: float = setting(
        0.0, help="Share of a class's target that is given to all classes.", ge=0, lt=1
    )
    epochs: int = setting(
        10,
        help="Passes over the training texts; by default more over a small table.",
        ge=0,
        resumable=True,
    )
    evaluate_every: int = setting(1, help="Epochs between evaluations.", ge=1)
    model: ModelConfig = setting(ModelConfig(), help="The model.")
    update: UpdateConfig = setting(text_update(), help="How the model is updated.")
    answers: AnswersConfig = setting(AnswersConfig(), help="Extractive question answering.")
    gradual: GradualConfig = setting(GradualConfig(), help="The loop of gradual unfreezing.")
    seq2seq: Seq2SeqConfig = setting(Seq2SeqConfig(), help="How texts are written.")
    adversary: AdversaryConfig = setting(AdversaryConfig(), help="The loop 'adversarial'.")
    contrastive: ContrastiveConfig = setting(
        ContrastiveConfig(), help="The loop of pairs of texts."
    )
    multitask: MultitaskConfig = setting(
        MultitaskConfig(), help="Several tasks on one model, loop=multitask."
    )
    pretraining: PretrainingConfig = setting(
        PretrainingConfig(), help="The first phase of pretrain_then_finetune."
    )
    distil: DistilConfig = setting(DistilConfig(), help="The loop 'distil'.")

    def of_task(self, name: str) -> TextConfig:
        """Return the config of one of several tasks, as if it were learnt alone."""
        mine = self.multitask.tasks[name]
        values = {key: getattr(mine, key) for key in ("data", "task", "text", "pair", "label")}
        alone = {"loop": "auto", "multitask": MultitaskConfig()}
        return self.model_copy(update={**values, **alone})

    @classmethod
    def suiting(cls, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the measured settings that suit the task, the model and the size of the data."""
        from rondel_text.recipes import suiting  # which imports this module

        return suiting(values)


def dataset_of(config: TextConfig) -> DatasetName:
    """Return the embedded set of a config without data.

    Raises:
        ConfigError: No embedded set has the task.
    """
    if config.dataset != "auto":
        return config.dataset
    if config.task == "auto":
        return "docstrings"
    if config.task not in DATASETS:
        raise ConfigError(
            f"no embedded set has the task {config.task!r}",
            where="task",
            hint=f"Name data of your own, or choose one of {', '.join(DATASETS)}.",
        )
    return DATASETS[config.task]
