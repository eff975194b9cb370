"""The config keys of single loops of the domain 'text'; imports neither torch nor transformers."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from rondel.config import Config, setting
from rondel.settings import OptimizerConfig, ScheduleConfig, UpdateConfig

SharedTaskName = Literal["classification", "multilabel", "regression", "tokens"]
"""The tasks that can share a model with others."""


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
