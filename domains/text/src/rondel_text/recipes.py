"""Measured settings of the models, as they suit a task and the data that there is."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from rondel.errors import RondelError

if TYPE_CHECKING:
    from rondel_text.glance import Glance

LEAST_UPDATES, MOST_EPOCHS = 150, 40
"""A small table is passed over until the model was updated so often, but not more often."""
SCRATCH = ("bert", "gpt2", "bart", "t5")
READ = (
    *("data", "dataset", "task", "text", "pair", "label", "format", "documents"),
    *("validation", "held_out", "batch_size", "batching", "epochs"),
)
"""The keys that say what is read and how, and how long a pass over it is."""


def recipe(
    lr: float, *, weight_decay: float = 0.01, ema: float | None = None, **settings: Any
) -> dict[str, Any]:
    """Return settings with AdamW at a learning rate and a shorter memory of squares."""
    optimizer = {"lr": lr, "weight_decay": weight_decay, "betas": (0.9, 0.99)}
    return {"update": {"optimizer": optimizer, "ema": ema}, **settings}


OF_TEXTS = recipe(1e-2, weight_decay=0.1, epochs=6)
RECIPES: Mapping[str, Mapping[str, Any]] = {
    "classification": OF_TEXTS,
    "multilabel": OF_TEXTS,
    "regression": OF_TEXTS,
    "tokens": recipe(1e-2, epochs=2, batching="buckets"),
    "causal": recipe(
        1e-2,
        ema=0.98,
        epochs=2,
        batching="budget",
        tokens=2052,
        batch_size=4,
        max_length=513,
        context=256,
    ),
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
PATIENT = ("classification", "multilabel", "regression", "tokens")
"""The tasks of which a small table is passed over more often."""
LARGE: Mapping[str, Any] = {"update": {"optimizer": {"lr": 1e-4}}}
"""Settings of models that were trained before."""


def suiting(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the measured settings of the task's small model, or those of a trained model.

    The task is that of the data where the values do not say it. What is wrong with either is no
    matter here: it is told when the data is read to be learnt.

    Args:
        values: What the layers of a config set, nested and unchecked.
    """
    model = group(values, "model")
    name = model.get("name", "auto")
    if group(values, "distil").get("start") == "layers":
        return LARGE
    if name in SCRATCH or (name == "auto" and is_shared(values)):
        return {}
    if name not in ("auto", "small"):
        return LARGE
    found = glance_at(values)
    if found is None or (values.get("pair") is not None and found.task != "pairs"):
        return {}  # pairs of texts are read by a transformer
    made = dict(RECIPES.get(found.task, {}))
    if found.updates is not None and found.task in PATIENT:
        made["epochs"] = max(made["epochs"], epochs_for(found.updates))
    if found.task == "causal":
        made |= windows(values, made)
    if group(group(values, "update"), "optimizer").get("name", "adamw") != "adamw":
        made.pop("update", None)  # rate and decay are those of AdamW
    return made


def windows(values: Mapping[str, Any], made: Mapping[str, Any]) -> dict[str, Any]:
    """Return how windows of another length, or so many of them, are put into batches."""
    fitted: dict[str, Any] = {}
    longest = values.get("max_length")
    if isinstance(longest, int):
        fitted["context"] = min(made["context"], longest // 2)
        fitted["tokens"] = max(made["tokens"], longest)
    if "batch_size" in values:
        fitted["batching"] = "random"
    return fitted


def epochs_for(updates: int) -> int:
    """Return how often data is passed over of which a pass has so many updates."""
    return min(MOST_EPOCHS, math.ceil(LEAST_UPDATES / updates))


def glance_at(values: Mapping[str, Any]) -> Glance | None:
    """Glance at the data that some values name; return None if it cannot be used like that."""
    from rondel_text.config import TextConfig  # which imports this module
    from rondel_text.glance import glance

    try:
        asked = {key: values[key] for key in READ if key in values}
        return glance(TextConfig.model_validate(asked))
    except (RondelError, ValidationError):
        return None


def is_shared(values: Mapping[str, Any]) -> bool:
    """Tell whether values ask for several tasks on one model."""
    return values.get("loop") == "multitask" or bool(values.get("multitask"))


def group(values: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return a group of values, which may be missing."""
    found = values.get(name)
    return found if isinstance(found, Mapping) else {}
