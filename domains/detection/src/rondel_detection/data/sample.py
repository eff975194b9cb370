"""One picture with what is on it, on its way from the data set to a batch.

Letters: n boxes, p proposals, (h, w) the picture. Everything that changes a sample returns a new
one; no tensor of a sample is ever written to.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

Change = Callable[[Tensor], Tensor]


class Sample(NamedTuple):
    """A picture, its boxes, and what is known of each of them."""

    picture: Tensor  # (3, h, w) uint8 RGB
    boxes: Tensor  # (n, 4) float32 x1 y1 x2 y2, pixels of the picture, inside of it
    labels: Tensor  # (n,) int64 class index
    crowd: Tensor  # (n,) bool: neither object nor background
    visible: Tensor  # (n,) float32: share of the labelled box that all cuts so far have left
    row: int  # position in the data set
    proposals: Tensor | None = None  # (p, 4) float32, as boxes; rows of zeros are padding
    masks: Tensor | None = None  # (n, h, w) bool
    strong: Tensor | None = None  # (3, h, w) uint8: the strongly changed view, see `TwoViews`

    @property
    def height(self) -> int:
        """Pixels of the picture from top to bottom."""
        return self.picture.shape[-2]

    @property
    def width(self) -> int:
        """Pixels of the picture from left to right."""
        return self.picture.shape[-1]

    def take(self, rows: Tensor) -> Sample:
        """Return the sample with the boxes in ``rows``, an index or a mask (n,)."""
        return self._replace(
            boxes=self.boxes[rows],
            labels=self.labels[rows],
            crowd=self.crowd[rows],
            visible=self.visible[rows],
            masks=None if self.masks is None else self.masks[rows],
        )

    def moved(self, pixels: Change, places: Change) -> Sample:
        """Return the sample after a change that moves pixels and boxes, but cuts nothing off.

        Args:
            pixels: Changes (..., h, w): the picture and the masks.
            places: Changes boxes, (k, 4).
        """
        proposals = self.proposals
        return self._replace(
            picture=pixels(self.picture),
            boxes=places(self.boxes),
            proposals=None if proposals is None else unpadded(places(proposals), proposals),
            masks=None if self.masks is None else pixels(self.masks),
        )


def sides(boxes: Tensor) -> Tensor:
    """Return width and height of boxes, (k, 4) to (k, 2)."""
    return boxes[:, 2:] - boxes[:, :2]


def unpadded(proposals: Tensor, before: Tensor) -> Tensor:
    """Return proposals, (p, 4), with zeros where there was none before the change, or none is left.

    Args:
        proposals: After a change.
        before: The same rows before it.
    """
    present = (sides(before) > 0).all(1) & (sides(proposals) > 0).all(1)
    return proposals * present[:, None]
