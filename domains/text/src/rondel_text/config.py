"""The config keys of the domain 'text'; imports neither torch nor transformers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from rondel.config import Config, setting
from rondel.settings import DomainConfig, OptimizerConfig, ScheduleConfig, UpdateConfig

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
SharedTaskName = Literal["classification", "multilabel", "regression", "tokens"]
"""The tasks that can share a model with others."""
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


class SharingConfig(Config):
    """One of several tasks that share a model."""

    data: Path | None = setting(None, help="Its data.")
    task: Literal["auto"] | SharedTaskName = setting(
        "auto", help="What is learnt; 'auto' looks at the columns."
    )
    text: str = setting("text", help="Column of the text.")
    pair: str | None = setting(None, help="Column of the second text of a pair.")
    label: str = setting("label", help="Column of the class, labels or number.")
    ratio: float | None = setting(
        None,
        help="Share of the batches, beside the other tasks; by default that of its texts.",
        gt=0,
    )
    weight: float = setting(1.0, help="What its loss is multiplied by.", gt=0)


class MultitaskConfig(Config):
    """Several tasks on one model (Liu et al., 2019: MT-DNN)."""

    tasks: dict[str, SharingConfig] = setting(
        {},
        help="The tasks by name: multitask.tasks.NAME.data, and there also task, text, pair, label, "
        "ratio and weight.",
    )
    temperature: float = setting(
        1.0,
        help="Above 1 it brings the shares of the tasks closer together (Raffel et al., 2020, "
        "section 3.5.2).",
        ge=1,
    )
    watch: str | None = setting(
        None, help="The task whose metric decides which state is best; by default their mean."
    )


class PretrainingConfig(Config):
    """The first phase of pretrain_then_finetune, on the texts without their labels."""

    epochs: int = setting(4, help="Passes over the texts.", ge=1)
    update: UpdateConfig = setting(
        UpdateConfig(
            optimizer=OptimizerConfig(name="muon", lr=2e-3, weight_decay=0.01),
            schedule=ScheduleConfig(name="one_cycle", peak=0.1),
            clip_norm=1.0,
        ),
        help="How the model is updated in it.",
    )


class GradualConfig(Config):
    """Gradual unfreezing (Howard and Ruder, 2018: ULMFiT, section 3.3)."""

    decay: float = setting(
        2.6, help="The learning rate of each layer over that of the layer below.", ge=1
    )
    epochs: int = setting(1, help="Passes over the texts per stage, before the last.", ge=1)


class AnswersConfig(Config):
    """What task=answers takes for an answer."""

    longest: int = setting(30, help="Most tokens of an answer that is predicted.", ge=1)
    threshold: float = setting(
        0.0,
        help="What a span must score above 'no answer'; only where some questions have none.",
    )


class AdversaryConfig(Config):
    """What the loop 'adversarial' fits labels against."""

    kind: Literal["fgm", "awp", "r_drop"] = setting(
        "fgm",
        help="Moves each text (Miyato et al., 2017) or the weights (Wu et al., 2020) where the loss "
        "rises most; or draws dropout twice (Liang et al., 2021).",
    )
    size: float | None = setting(
        None,
        help="How far: the norm in a text's vectors (fgm, by default 1), or the share of the norm "
        "of a matrix (awp, by default 0.01).",
        gt=0,
    )
    weight: float | None = setting(
        None,
        help="Of the loss of the moved texts (fgm), or of the divergence (r_drop); by default 1.",
        ge=0,
    )
    start_epoch: int = setting(0, help="Epochs without it, at first.", ge=0)


class ContrastiveConfig(Config):
    """Negatives of the batch (Henderson et al., 2017, section 4.4), for task=pairs."""

    temperature: float = setting(0.05, help="What cosines are divided by.", gt=0)
    symmetric: bool = setting(False, help="Find the first text by the second one as well.")


class DistilConfig(Config):
    """Who teaches the model in the loop 'distil', and what."""

    kind: Literal["frozen", "ema", "mutual"] = setting(
        "frozen",
        help="The teacher is trained already (Hinton et al., 2015), the average of the student "
        "(Tarvainen and Valpola, 2017; update.ema, by default 0.99), or a peer that learns as well "
        "(Zhang et al., 2018).",
    )
    teacher: str | None = setting(
        None,
        help="Of kind=frozen: the bundle of a run, a local folder of transformers with the head of "
        "the task, or an installed model.",
    )
    start: Literal["model", "layers"] = setting(
        "model",
        help="'model' starts as model.name says, 'layers' from every k-th layer of the teacher, "
        "model.layers of them (Sanh et al., 2019).",
    )
    temperature: float | None = setting(
        None,
        help="What logits are divided by before they are compared; by default 2 (frozen) or 1 "
        "(mutual).",
        gt=0,
    )
    alpha: float | None = setting(
        None,
        help="Share of the teacher in the loss, the rest is that of the labels (frozen); by "
        "default 0.5.",
        ge=0,
        le=1,
    )
    weight: float | None = setting(
        None,
        help="Of what the average or the peer says, beside the labels (ema, mutual); by default 1.",
        ge=0,
    )
    hidden_weight: float = setting(
        0.0,
        help="Of the distance between states of evenly chosen layers (frozen transformers; Jiao et "
        "al., 2020).",
        ge=0,
    )
    keep_answers: bool = setting(
        False, help="Ask a frozen teacher once for each text, and remember what it says."
    )


def text_update() -> UpdateConfig:
    """Return the default of all loops."""
    return UpdateConfig(
        optimizer=OptimizerConfig(name="adamw", lr=1e-3, weight_decay=0.01),
        schedule=ScheduleConfig(name="one_cycle", peak=0.1),
        clip_norm=1.0,
    )


def recipe(
    lr: float, *, weight_decay: float = 0.01, ema: float | None = None, **settings: Any
) -> dict[str, Any]:
    """Return settings with AdamW at a learning rate and a shorter memory of squares."""
    optimizer = {"lr": lr, "weight_decay": weight_decay, "betas": (0.9, 0.99)}
    return {"update": {"optimizer": optimizer, "ema": ema}, **settings}


RECIPES: Mapping[str, Mapping[str, Any]] = {
    "classification": recipe(1e-2, weight_decay=0.1, epochs=6),
    "tokens": recipe(1e-2, epochs=2, batching="buckets"),
    "causal": recipe(1e-2, ema=0.98, epochs=3, batch_size=16, max_length=129, context=64),
    "seq2seq": recipe(
        6e-3,
        epochs=16,
        evaluate_every=8,
        batching="buckets",
        smoothing=0.1,
        model={"width": 64, "vocabulary": 1000},
    ),
    "pairs": recipe(
        1e-2, weight_decay=0.1, epochs=5, batch_size=64, contrastive={"symmetric": True}
    ),
}
"""Measured settings of the small model of each task."""
LARGE: Mapping[str, Any] = {"update": {"optimizer": {"lr": 1e-4}}}
"""Settings of models that were trained before."""


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
    epochs: int = setting(10, help="Passes over the training texts.", ge=0, resumable=True)
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
        """Return the measured settings of the task's small model, or those of a trained model."""
        model, distil = values.get("model"), values.get("distil")
        if isinstance(distil, Mapping) and distil.get("start") == "layers":
            return LARGE
        name = model.get("name", "auto") if isinstance(model, Mapping) else "auto"
        if name == "auto" and (values.get("loop") == "multitask" or values.get("multitask")):
            return {}
        if name in ("bert", "gpt2", "bart", "t5"):
            return {}
        if name not in ("auto", "small"):
            return LARGE
        return RECIPES.get(task_in(values), {})


def task_in(values: Mapping[str, Any]) -> str:
    """Return the task that config values ask for, if they say it."""
    task, dataset = values.get("task", "auto"), values.get("dataset", "auto")
    if task != "auto":
        return str(task)
    if dataset != "auto":
        return str(TASKS.get(str(dataset), "auto"))
    return "auto" if values.get("data") is not None else "classification"
