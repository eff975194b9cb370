"""What every detector offers, whoever wrote it: a loss in training, columns in inference."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor, nn

from rondel import Loss
from rondel_detection.data.batch import Predictions, Targets

Counts = Mapping[str, Tensor | int]


class Detector(nn.Module, ABC):
    """A detector of ``classes`` classes. Letters as in `rondel_detection.data.batch`.

    Losses are sums over images with counts, so that k pieces of a batch, or its shares over
    processes, give the gradient of the whole batch. Terms that are divided by something else than
    the number of images (positive cells, boxes) are a `Loss.weighted` with counts of their own,
    which `counts` computes from the targets alone.
    """

    stride: ClassVar[int] = 32
    """Sides of the canvas are multiples of it."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.classes = classes

    @abstractmethod
    def loss(self, images: Tensor, targets: Targets, seeds: Tensor) -> Loss:
        """Return the training loss.

        Args:
            images: (B, 3, H, W) uint8 0..255 RGB on the canvas.
            targets: What is on them.
            seeds: (B,) int64, the only source of randomness (`rondel.keyed.uniform`).
        """

    def counts(self, images: Tensor, targets: Targets, seeds: Tensor) -> Counts | None:  # noqa: ARG002
        """Return the count of every term of the loss, or None if all are counted by images."""
        return None

    @abstractmethod
    def detect(self, images: Tensor, sizes: Tensor) -> Predictions:
        """Return detections, in evaluation mode.

        Args:
            images: (B, 3, H, W) uint8 RGB on the canvas.
            sizes: (B, 2) height and width of each picture on the canvas; boxes are clipped to it.
        """

    def stages(self) -> tuple[tuple[str, ...], ...]:
        """Return name prefixes of parameters from the output to the input, for unfreezing.

        The first entry is the head; each further one goes a step deeper into the backbone.
        """
        return (("",),)


class TwoStageDetector(Detector):
    """A detector that proposes regions and then judges them (Ren et al., 2015)."""

    @abstractmethod
    def proposal_loss(self, images: Tensor, targets: Targets, seeds: Tensor) -> Loss:
        """Return the loss of the proposal network alone."""

    @abstractmethod
    def region_loss(self, images: Tensor, targets: Targets, seeds: Tensor) -> Loss:
        """Return the loss of the region head alone, on ``targets.proposals``."""

    @abstractmethod
    def propose(self, images: Tensor, sizes: Tensor) -> Tensor:
        """Return (B, P, 4) proposals, best first, padded with zeros to the configured number."""

    @property
    @abstractmethod
    def parts(self) -> Mapping[str, nn.Module]:
        """The modules 'backbone' (shared), 'rpn' and 'roi': together the whole detector."""
