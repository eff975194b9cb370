"""Weights that torchvision offers for download: the one place that may reach for the network."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from torch import Tensor
from torchvision.models import get_model_weights, list_models

from rondel.errors import DataError, UsageError

HUB = "hub:"
"""What a source of weights begins with if it may be fetched."""


def hub_tensors(source: str) -> Mapping[str, Tensor]:
    """Fetch weights of torchvision, or find them in its cache.

    Args:
        source: ``hub:NAME`` for the default weights of a model of torchvision, such as
            ``hub:fasterrcnn_resnet50_fpn`` or the backbone ``hub:resnet50``; ``hub:NAME/VERSION``
            for others, such as ``hub:resnet50/IMAGENET1K_V1``.

    Raises:
        UsageError: torchvision has no such weights.
        DataError: They cannot be fetched.
    """
    entry = find_weights(source)
    try:
        tensors: Mapping[str, Tensor] = entry.get_state_dict(
            progress=False, check_hash=True, weights_only=True
        )
    except (OSError, RuntimeError) as error:  # no network, no space, another hash
        raise DataError(
            f"cannot be fetched ({error})",
            where=f"model.weights={source}",
            hint="Fetch it on a machine with a connection, convert it to .safetensors, "
            "and name that file.",
        ) from error
    return tensors


def find_weights(source: str) -> Any:
    """Return torchvision's entry for a source, without fetching it."""
    name, _, version = source.removeprefix(HUB).partition("/")
    where = f"model.weights={source}"
    try:
        offered = get_model_weights(name)
    except ValueError as error:
        close = difflib.get_close_matches(name, list_models(), n=1)
        raise UsageError(
            f"torchvision has no model {name!r}",
            where=where,
            hint=f"Did you mean {HUB + close[0]!r}?" if close else "torchvision.models lists them.",
        ) from error
    version = version or "DEFAULT"
    if version not in offered.__members__:
        raise UsageError(
            f"{name!r} has no weights {version!r}",
            where=where,
            hint=f"There are {', '.join(offered.__members__)}.",
        )
    return offered[version]
