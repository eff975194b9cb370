"""torchvision's backbones with a feature pyramid, normalised without the rest of the batch.

Statistics of a batch would depend on how it is cut into pieces and shared over processes, and are
poor for the few images that detectors see at once. So a model that starts from nothing normalises
groups of channels of one image, and one that starts from weights keeps their statistics fixed.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from functools import partial
from typing import Any

from torch import nn
from torchvision.models import list_models
from torchvision.models.detection.backbone_utils import mobilenet_backbone, resnet_fpn_backbone
from torchvision.ops import FrozenBatchNorm2d
from torchvision.ops.feature_pyramid_network import LastLevelP6P7

from rondel.errors import UsageError
from rondel_detection.config import ModelConfig

Norm = Callable[[int], nn.Module]
MOST_GROUPS = 32
SMALLEST_GROUP = 8
"""Channels; maps of deep layers may be a single pixel, whose mean over one channel is itself."""
MOBILENET = "mobilenet_v3_large"
MODULES = ("torchvision.models.resnet", "torchvision.models.mobilenetv3")


def group_norm(channels: int, *, eps: float = 1e-5) -> nn.GroupNorm:
    """Return a normalisation over groups of at least 8 channels, at most 32 groups."""
    wanted = min(MOST_GROUPS, max(1, channels // SMALLEST_GROUP))
    groups = next(count for count in range(wanted, 0, -1) if channels % count == 0)
    return nn.GroupNorm(groups, channels, eps=eps)


def is_frozen(config: ModelConfig) -> bool:
    """Tell whether a model keeps the statistics of its weights: `ModelConfig.norm`, or a guess.

    The guess looks at the name only, not at the file: a file or ``hub:`` has frozen statistics, a
    folder is a bundle of ours.
    """
    if config.norm is not None:
        return config.norm == "frozen"
    source = config.weights or ""
    return source.startswith("hub:") or source.endswith(".safetensors")


def norm_layer(config: ModelConfig, *, eps: float = 1e-5) -> Norm:
    """Return the maker of normalisation layers of a model."""
    return partial(FrozenBatchNorm2d if is_frozen(config) else group_norm, eps=eps)


def pyramid_backbone(config: ModelConfig, *, dense: bool) -> Any:
    """Return torchvision's ``BackboneWithFPN`` of 256 channels.

    Args:
        config: Names the backbone; ResNet-50 by default.
        dense: For a one-stage detector: strides 8 to 128 instead of 4 to 64.

    Raises:
        UsageError: There is no such backbone.
    """
    name = config.backbone or "resnet50"
    check_backbone(name)
    extra = LastLevelP6P7(256, 256) if dense else None
    norm = norm_layer(config)
    if name == MOBILENET:
        # stages of stride 8, 16 and 32; two-stage models take torchvision's own choice
        levels = [2, 3, 5] if dense else None
        return mobilenet_backbone(
            backbone_name=name,
            weights=None,
            fpn=True,
            norm_layer=norm,
            trainable_layers=6,
            returned_layers=levels,
            extra_blocks=extra,
        )
    return resnet_fpn_backbone(
        backbone_name=name,
        weights=None,
        norm_layer=norm,
        trainable_layers=5,
        returned_layers=[2, 3, 4] if dense else None,
        extra_blocks=extra,
    )


def backbones() -> list[str]:
    """Return the names of the backbones that have a pyramid."""
    resnets = [
        name
        for name in list_models(exclude=("*quantized*",))
        if name.startswith(("resnet", "resnext", "wide_resnet"))
    ]
    return [*resnets, MOBILENET]


def check_backbone(name: str) -> None:
    """Raise if there is no backbone of that name."""
    known = backbones()
    if name in known:
        return
    close = difflib.get_close_matches(name, known, n=1)
    raise UsageError(
        f"there is no backbone {name!r}",
        where="model.backbone",
        hint=f"Did you mean {close[0]!r}?" if close else f"Known are {', '.join(known)}.",
    )


def backbone_stages(backbone: Any, prefix: str) -> tuple[tuple[str, ...], ...]:
    """Return name prefixes of a backbone with a pyramid, from the output to the input."""
    if hasattr(backbone, "depths"):  # a pyramid of ours tells them itself
        return tuple(tuple(prefix + name for name in stage) for stage in backbone.depths())
    body = f"{prefix}body."
    stages: list[list[str]] = [[]]
    for name, layer in backbone.body.named_children():
        if name.startswith("layer") or getattr(layer, "_is_cn", False):
            stages.append([])
        if any(True for _ in layer.parameters()):
            stages[-1].append(f"{body}{name}.")
    return ((f"{prefix}fpn.",), *(tuple(stage) for stage in reversed(stages)))
