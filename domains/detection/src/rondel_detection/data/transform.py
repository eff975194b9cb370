"""A transform of torchvision as a step of the augmentation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torchvision import tv_tensors

from rondel_detection.data.framing import THINNEST
from rondel_detection.data.sample import Sample, sides, unpadded


@dataclass(frozen=True)
class Transform:
    """Applies any transform of `torchvision.transforms.v2` to picture, boxes, proposals and masks.

    The transform sees a dict with the picture as `tv_tensors.Image`, boxes and then proposals as
    `tv_tensors.BoundingBoxes`, masks as `tv_tensors.Mask`, and the row of each box as 'labels', so
    that ``SanitizeBoundingBoxes`` may follow; it draws from torch's generator, which is keyed like
    Python's. How much of a box is left by its cuts is not known here: boxes are clipped, those
    thinner than a pixel go, and `rondel_detection.data.framing.cut` has no word in it.

    Args:
        transform: Such as ``v2.RandomAffine(10)``; the picture must still fit the canvas.
    """

    transform: Callable[[dict[str, Any]], dict[str, Any]]

    def __call__(self, sample: Sample) -> Sample:
        """Change a sample."""
        made = self.transform(wrapped(sample))
        picture = made["image"].as_subclass(Tensor)
        limit = torch.tensor([picture.shape[-1], picture.shape[-2]] * 2, dtype=torch.float32)
        places = torch.minimum(made["boxes"].as_subclass(Tensor).clamp(min=0), limit)
        rows = made["labels"]
        real = rows < len(sample.boxes)
        masks = made["masks"].as_subclass(Tensor)[real] if "masks" in made else None
        changed = sample.take(rows[real])._replace(
            picture=picture,
            boxes=places[real],
            proposals=returned(sample, rows[~real], places[~real]),
            masks=masks,
        )
        thick = (sides(changed.boxes) >= THINNEST).all(1)
        return changed if thick.all() else changed.take(thick)


def returned(sample: Sample, rows: Tensor, places: Tensor) -> Tensor | None:
    """Return the proposals that came back in the rows that they had; all others are padding.

    Args:
        sample: As it was.
        rows: (k,) of the boxes and proposals of the sample.
        places: (k, 4) where they are now.
    """
    if sample.proposals is None:
        return None
    made = torch.zeros_like(sample.proposals)
    made[rows - len(sample.boxes)] = places
    return unpadded(made, sample.proposals)


def wrapped(sample: Sample) -> dict[str, Any]:
    """Return a sample in the types of torchvision, its proposals below its boxes."""
    proposals = sample.boxes[:0] if sample.proposals is None else sample.proposals
    boxes = torch.cat([sample.boxes, proposals])
    size = (sample.height, sample.width)
    made: dict[str, Any] = {
        "image": tv_tensors.Image(sample.picture),
        "boxes": tv_tensors.BoundingBoxes(boxes, format="XYXY", canvas_size=size),
        "labels": torch.arange(len(boxes)),
    }
    if sample.masks is not None:
        # transforms that drop boxes drop the masks in the same rows, so there must be as many
        empty = sample.masks.new_zeros(len(proposals), *size)
        made["masks"] = tv_tensors.Mask(torch.cat([sample.masks, empty]))
    return made
