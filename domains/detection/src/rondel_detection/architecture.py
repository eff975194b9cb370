"""The shape of a network that came from a folder, so that its bundle needs the folder no more.

The config of this package says how wide a detector is; a folder of transformers says everything
else, and is not there where the bundle is used.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from typing import Any

from torch import nn
from torchvision.ops.misc import FrozenBatchNorm2d

from rondel_detection.config import ModelConfig
from rondel_detection.models.catalogue import make_detector, without_weights
from rondel_detection.models.detector import Detector


def architecture_of(detector: Detector) -> dict[str, Any] | None:
    """Return the shape of a network of transformers as plain values; None if the config says all."""
    network = getattr(detector, "network", None)
    if network is None or importlib.util.find_spec("transformers") is None:
        return None
    frozen = any(isinstance(module, FrozenBatchNorm2d) for module in network.modules())
    # only a network from a folder keeps statistics of batches; all others are made of the config
    return {"network": network.config.to_dict()} if frozen else None


def build_detector(
    config: ModelConfig,
    classes: int,
    canvas: tuple[int, int],
    architecture: Mapping[str, Any] | None,
) -> Detector:
    """Make a detector with any weights, as it was when its bundle was made.

    Args:
        config: The detector; its weights are left alone.
        classes: K.
        canvas: Height and width.
        architecture: What `architecture_of` returned.
    """
    unweighted = without_weights(config)
    if architecture is None:
        return make_detector(unweighted, classes, canvas)
    import transformers

    from rondel_detection.models.transformers_detr import KINDS, DetrDetector, frozen, with_norm

    kind = getattr(transformers, KINDS[config.name][0])
    network: nn.Module = kind(kind.config_class.from_dict(dict(architecture["network"])))
    return DetrDetector(with_norm(network, frozen), classes, unweighted)
