"""Low-rank adapters in a model of transformers (Hu et al., 2022: LoRA, section 4.1).

A layer of frozen weights W computes ``W x + (alpha / rank) B A x``; A is random at the start, and B
is zero. The layers are peft's; trained weights leave a run merged, so that nothing else needs it.
"""

from __future__ import annotations

import copy
import warnings
from typing import TYPE_CHECKING, Any, TypeVar, cast

from torch import nn

from rondel.errors import ConfigError
from rondel_text.config import LoraConfig

if TYPE_CHECKING:
    from transformers import PreTrainedModel

ModelT = TypeVar("ModelT", bound=nn.Module)
POOLER = r"(.*\.)?pooler(\..*)?"
"""Part of the head, so trained as it is; written for peft."""


def add_adapters(model: PreTrainedModel, config: LoraConfig) -> str:
    """Freeze a model all but its head, and put adapters beside its layers.

    Args:
        model: Of transformers, with a head; changed in place.
        config: Rank, scale, dropout, and which layers.

    Returns:
        What is trained, a sentence for the user.

    Raises:
        ConfigError: peft is not installed, knows no layers of the model, or finds none.
    """
    try:
        import peft
    except ImportError as error:
        raise ConfigError(
            "LoRA needs peft, which is not installed",
            where="model.lora.rank",
            hint='pip install "rondel-text[lora]"',
        ) from error
    base, targets = model.base_model, list(config.targets) or None
    pooler = getattr(base, "pooler", None)
    settings = peft.LoraConfig(
        r=config.rank,
        lora_alpha=cast(int, config.alpha),  # any number, whatever its annotation says
        lora_dropout=config.dropout,
        target_modules="all-linear" if targets == ["all-linear"] else targets,
        exclude_modules=None if pooler is None else POOLER,
    )
    with warnings.catch_warnings():
        # of layers that keep their weights transposed (GPT-2); peft sets it right by itself
        warnings.filterwarnings("ignore", message="fan_in_fan_out is set to")
        try:
            peft.inject_adapter_in_model(settings, base)
        except ValueError as error:
            raise without_layers(base, config) from error
    if pooler is not None:
        pooler.requires_grad_(True)
    return trained_share(model, config.rank)


def without_layers(base: PreTrainedModel, config: LoraConfig) -> ConfigError:
    """Describe a model that has none of the layers that were asked for, or none that peft knows."""
    names = {
        name.rpartition(".")[2]
        for name, part in base.named_modules()
        if type(part).__name__ in ("Linear", "Conv1D") and "pooler" not in name
    }
    what = (
        f"the model has no layers {', '.join(map(repr, config.targets))}"
        if config.targets
        else f"peft does not know which layers of a {base.config.model_type!r} are its attention"
    )
    return ConfigError(
        what,
        where="model.lora.targets",
        hint=f"Name some of its own: {', '.join(sorted(names))}; or all-linear.",
    )


def trained_share(model: nn.Module, rank: int) -> str:
    """Say how much of a model is trained."""
    counts = [(p.numel(), p.requires_grad) for p in model.parameters()]
    total, trained = sum(n for n, _ in counts), sum(n for n, needed in counts if needed)
    share = 100 * trained / total
    return f"LoRA of rank {rank}: {share:.2g} % of {total:,} parameters are trained"


def merged(model: ModelT) -> ModelT:
    """Return a copy of a model in which the adapters are part of the weights."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    twin = copy.deepcopy(model)
    adapted = [(name, m) for name, m in twin.named_modules() if isinstance(m, BaseTunerLayer)]
    for name, layer in adapted:
        layer.merge()
        parent, _, child = name.rpartition(".")
        setattr(twin.get_submodule(parent), child, layer.get_base_layer())
    for module in twin.modules():
        cast(Any, module).__dict__.pop("peft_config", None)
    return twin.requires_grad_(True)
