"""What a detector is fed with: pictures on one canvas, padded targets, keys for random numbers.

Letters: B images, M boxes of the image with the most, P proposals, (H, W) the canvas. All pictures
of a data set are scaled into one canvas and stand in its upper left corner, so that a batch, its
pieces and its shares over processes are computed in exactly the same shape.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

PADDING = -1
"""Label of a padded row of targets."""


class Targets(NamedTuple):
    """What is on the pictures; a tuple of tensors, so that the engine can split and move it."""

    boxes: Tensor  # (B, M, 4) float32 x1 y1 x2 y2, pixels of the canvas; padded rows are 0
    labels: Tensor  # (B, M) int64 class index, PADDING where there is no box
    crowd: Tensor  # (B, M) bool: not told apart; ignored, neither object nor background
    sizes: Tensor  # (B, 2) float32 height and width of the picture on the canvas
    rows: Tensor  # (B,) int64 position in the data set
    proposals: Tensor | None = None  # (B, P, 4) float32 cached proposals; rows of zeros are padding
    masks: Tensor | None = None  # (B, M, H, W) bool, for detectors of masks

    @property
    def present(self) -> Tensor:
        """(B, M) bool: the rows that are objects to be found."""
        return (self.labels >= 0) & ~self.crowd


class Draw(NamedTuple):
    """The random numbers of a batch, keyed by its position (see `rondel.Stream`, ``noise``)."""

    seeds: Tensor  # (B,) int64 >= 0, one for each image: samplers hash them with a position
    scale: float  # factor on the canvas, the same for the whole batch; 1.0 is none


class Predictions(NamedTuple):
    """Detections of a batch as columns, best first within each image; N rows."""

    image: Tensor  # (N,) int64 row in the batch, ascending
    boxes: Tensor  # (N, 4) float32 x1 y1 x2 y2, pixels of the canvas
    scores: Tensor  # (N,) float32 in 0..1
    labels: Tensor  # (N,) int64 class index
    masks: Tensor | None = None  # (N, H, W) bool on the canvas

    def of(self, row: int) -> Predictions:
        """Return the detections of one image, still with its row."""
        chosen = self.image == row
        columns = (self.image[chosen], self.boxes[chosen], self.scores[chosen], self.labels[chosen])
        return Predictions(*columns, masks=None if self.masks is None else self.masks[chosen])

    @classmethod
    def empty(cls, device: torch.device | None = None) -> Predictions:
        """Return no detections."""
        whole = torch.zeros(0, dtype=torch.int64, device=device)
        real = torch.zeros(0, device=device)
        return cls(whole, torch.zeros(0, 4, device=device), real, whole.clone())
