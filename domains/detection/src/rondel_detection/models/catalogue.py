"""The table of detectors: what a name in the config makes."""

from __future__ import annotations

import difflib
import importlib
from typing import Protocol, cast

from rondel.errors import PluginError, UsageError
from rondel_detection.config import ModelConfig
from rondel_detection.models.detector import Detector

DETECTORS = {
    "centre": "rondel_detection.models.centre:make_centre",
    "fasterrcnn_slim": "rondel_detection.models.slim:make_fasterrcnn_slim",
    "fasterrcnn": "rondel_detection.models.torchvision_models:make_fasterrcnn",
    "maskrcnn": "rondel_detection.models.torchvision_models:make_maskrcnn",
    "retinanet": "rondel_detection.models.torchvision_models:make_retinanet",
    "fcos": "rondel_detection.models.torchvision_models:make_fcos",
    "ssdlite": "rondel_detection.models.torchvision_models:make_ssdlite",
    "detr": "rondel_detection.models.transformers_detr:make_detr",
    "rt_detr": "rondel_detection.models.transformers_detr:make_detr",
    "d_fine": "rondel_detection.models.transformers_detr:make_detr",
}


def without_weights(config: ModelConfig) -> ModelConfig:
    """Return the config of the same layers, without the weights that they once started from.

    A bundle is built from it: its weights are its own, and those of the start may be gone.
    """
    from rondel_detection.models.torchvision_backbone import is_frozen

    norm = "frozen" if is_frozen(config) else "group"
    return config.model_copy(update={"weights": None, "norm": norm})


class Maker(Protocol):
    """A function of the table."""

    def __call__(self, config: ModelConfig, classes: int, canvas: tuple[int, int]) -> Detector:
        """Make a detector of so many classes for a canvas of that height and width."""


def make_detector(config: ModelConfig, classes: int, canvas: tuple[int, int]) -> Detector:
    """Make the detector that the config names, with random weights; nothing is fetched.

    Raises:
        UsageError: There is no such detector, or no such backbone.
        PluginError: It needs a library that is not installed.
    """
    return maker(config.name)(config, classes, canvas)


def maker(name: str) -> Maker:
    """Return the function that makes a detector; only now is its library imported.

    Raises:
        UsageError: There is no detector of that name.
        PluginError: It needs a library that is not installed.
    """
    if name not in DETECTORS:
        close = difflib.get_close_matches(name, DETECTORS, n=1)
        raise UsageError(
            f"there is no detector {name!r}",
            where="model.name",
            hint=f"Did you mean {close[0]!r}?" if close else f"Known are {', '.join(DETECTORS)}.",
        )
    module, _, function = DETECTORS[name].partition(":")
    try:
        return cast(Maker, getattr(importlib.import_module(module), function))
    except ModuleNotFoundError as error:
        raise PluginError(
            f"detector {name!r} needs {error.name!r}, which is not installed",
            where="model.name",
            hint="Install rondel-detection[transformers], or choose another detector.",
        ) from error
