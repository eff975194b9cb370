"""The frozen network whose features measure samples, whichever it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from rondel_gan.models.proxy import make_proxy

if TYPE_CHECKING:
    from rondel_gan.config import EvaluationConfig


class Extractor(Protocol):
    """Turns images into features, and features into classes if it knows any.

    Shapes: images (N, C, H, W) in [-1, 1], features (N, F).
    """

    @property
    def protocol(self) -> str:
        """The name that stands beside every number made with these features."""

    @property
    def distance(self) -> str:
        """What the Frechet distance of these features is called."""

    @property
    def resize(self) -> str:
        """What happens to the size of images."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes of the data, none if it does not know them."""

    def features(self, images: Tensor) -> Tensor:
        """Return the features in float64, on the CPU."""

    def probabilities(self, features: Tensor) -> Tensor | None:
        """Return the probabilities of its own classes in float64, (N, K); None without any."""

    def predict(self, features: Tensor) -> Tensor:
        """Return the class of each row of features, (N,); only if there are `classes`."""


def make_extractor(
    config: EvaluationConfig,
    images: Tensor,
    labels: Tensor | None,
    classes: Sequence[str],
    *,
    device: torch.device | str = "cpu",
) -> Extractor:
    """Return Inception if its weights are given, else a proxy that learns from the images.

    Args:
        config: How samples are measured.
        images: (N, C, H, W) real training images in [-1, 1].
        labels: (N,) indices of classes, if known.
        classes: Their names.
        device: Of Inception; the proxy stays on the CPU.

    Raises:
        ConfigError: The file of weights is missing, or another one.
    """
    if config.inception is None:
        return make_proxy(images, labels, classes, updates=config.proxy_updates)
    # torchvision takes a second to import, and few need it
    from rondel_gan.models.inception import load_inception

    return load_inception(config.inception).to(device)
