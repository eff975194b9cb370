"""Samples to batches, and the random numbers of a batch. Letters as in `batch`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from rondel import keyed
from rondel_detection.data.batch import PADDING, Draw, Targets
from rondel_detection.data.canvas import Canvas
from rondel_detection.data.sample import Sample


@dataclass(frozen=True)
class Collate:
    """Puts samples on the canvas; for ``rondel.Stream(collate=...)``.

    Args:
        canvas: Of the data set.
    """

    canvas: Canvas

    def __call__(self, samples: Sequence[Sample]) -> tuple[Tensor, Targets]:
        """Return pictures, (B, 3, H, W) uint8 with zeros around, and what is on them."""
        images = self.canvas.stack([sample.picture for sample in samples])
        return images, targets_of(samples, self.canvas)


@dataclass(frozen=True)
class CollateViews:
    """Puts both views of samples on canvases, see `rondel_detection.data.views.TwoViews`.

    Args:
        canvas: Of the data set.
    """

    canvas: Canvas

    def __call__(self, samples: Sequence[Sample]) -> tuple[Tensor, Tensor, Targets]:
        """Return weak views, strong views, each (B, 3, H, W) uint8, and what is on them.

        Raises:
            ValueError: A sample has one view only.
        """
        strong = [sample.strong for sample in samples if sample.strong is not None]
        if len(strong) < len(samples):
            raise ValueError("a sample has no strong view: augment the stream with TwoViews")
        weak = self.canvas.stack([sample.picture for sample in samples])
        return weak, self.canvas.stack(strong), targets_of(samples, self.canvas)


def targets_of(samples: Sequence[Sample], canvas: Canvas) -> Targets:
    """Pad what is on the pictures to M boxes, at least one.

    Raises:
        ValueError: Some samples have proposals or masks, and some have none.
    """
    most = max(1, *(len(sample.boxes) for sample in samples))
    boxes = torch.zeros(len(samples), most, 4)
    labels = torch.full((len(samples), most), PADDING, dtype=torch.int64)
    crowd = torch.zeros(len(samples), most, dtype=torch.bool)
    for row, sample in enumerate(samples):
        count = len(sample.boxes)
        boxes[row, :count] = sample.boxes
        labels[row, :count] = sample.labels
        crowd[row, :count] = sample.crowd
    return Targets(
        boxes=boxes,
        labels=labels,
        crowd=crowd,
        sizes=torch.tensor([[s.height, s.width] for s in samples], dtype=torch.float32),
        rows=torch.tensor([sample.row for sample in samples]),
        proposals=proposals_of(samples),
        masks=masks_of(samples, most, canvas),
    )


def proposals_of(samples: Sequence[Sample]) -> Tensor | None:
    """Return the proposals of all samples, (B, P, 4), or None.

    Raises:
        ValueError: Some samples have none.
    """
    made = [sample.proposals for sample in samples if sample.proposals is not None]
    if made and len(made) < len(samples):
        raise ValueError(f"{len(samples) - len(made)} of {len(samples)} samples have no proposals")
    return torch.stack(made) if made else None


def masks_of(samples: Sequence[Sample], most: int, canvas: Canvas) -> Tensor | None:
    """Return the masks of all samples, (B, M, H, W), or None.

    Raises:
        ValueError: Some samples have none.
    """
    made = [sample.masks for sample in samples if sample.masks is not None]
    if not made:
        return None
    if len(made) < len(samples):
        raise ValueError(f"{len(samples) - len(made)} of {len(samples)} samples have no masks")
    batch = torch.zeros(len(made), most, canvas.height, canvas.width, dtype=torch.bool)
    for place, masks in zip(batch, made, strict=True):
        count, height, width = masks.shape
        place[:count, :height, :width] = masks
    return batch


@dataclass(frozen=True)
class Draws:
    """Draws the random numbers of a batch; for ``rondel.Stream(noise=...)``.

    Args:
        canvas: Of the data set.
        multi_scale: Largest change of the canvas, see `AugmentConfig`; 0 is none.
    """

    canvas: Canvas
    multi_scale: float = 0.0

    def __call__(self, size: int, generator: torch.Generator) -> Draw:
        """Return a seed for each of ``size`` images, and one scale for all.

        The scale is drawn among those that make the longest side of the canvas a multiple of the
        stride; all are as likely.
        """
        longest = max(self.canvas.height, self.canvas.width)
        steps = longest // self.canvas.stride
        change = int(steps * self.multi_scale + 1e-9)
        step = torch.randint(steps - change, steps + change + 1, (), generator=generator).item()
        seeds = keyed.seeds(size, generator)
        return Draw(seeds, max(1, int(step)) / steps)
