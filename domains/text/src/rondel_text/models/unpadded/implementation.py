"""Which attention implementation a model uses: selected here, and put back after a trial."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from transformers import PreTrainedModel

from rondel.errors import UsageError
from rondel_text.models.unpadded.attention import NAME, register


def configs_of(model: PreTrainedModel) -> tuple[Any, ...]:
    """Return the configs that a model and its parts read."""
    parts = [model, *(m for m in model.modules() if isinstance(m, PreTrainedModel))]
    return tuple({id(part.config): part.config for part in parts}.values())


def select(model: PreTrainedModel) -> None:
    """Let a model attend within each text when it is called with a layout, else as with SDPA.

    Raises:
        UsageError: The model's attention cannot be exchanged.
    """
    register()
    # set_attn_implementation would only log a warning
    exchangeable = getattr(model.base_model, "_can_set_attn_implementation", None)
    if exchangeable is not None and not exchangeable():
        raise UsageError("its attention does not go through transformers' AttentionInterface")
    model.set_attn_implementation(NAME)
    if any(config._attn_implementation != NAME for config in configs_of(model)):
        raise UsageError("its attention implementation cannot be set")


@contextmanager
def restored(model: PreTrainedModel) -> Iterator[None]:
    """Put back the attention implementations of a model."""
    before = [(config, config._attn_implementation) for config in configs_of(model)]
    try:
        yield
    finally:
        for config, name in before:
            config._attn_implementation = name
