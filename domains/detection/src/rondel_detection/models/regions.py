"""The second stage: what is in a region, and where exactly (Girshick, 2015).

torchvision's RoI heads, with regions of all images in one list. Letters: B images, P proposals,
M boxes of the image with the most, S samples of an image, R regions of all images, C channels,
K classes, (H, W) the canvas.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from rondel_detection.models.canvas import precise
from rondel_detection.models.deltas import encode
from rondel_detection.models.matching import (
    BACKGROUND,
    Objects,
    has_area,
    match_by_overlap,
)
from rondel_detection.models.proposals import SMOOTH
from rondel_detection.models.pyramid import Maps, Pyramid
from rondel_detection.models.sampling import REGION_STREAM, draw_sample


class Regions(NamedTuple):
    """Regions of all images with what they have to learn."""

    boxes: Tensor  # (R, 4)
    image: Tensor  # (R,) int64 row in the batch
    object: Tensor  # (R,) int64 row of the object in its image; negative is background
    labels: Tensor  # (R,) int64 class index plus 1; 0 is background
    wanted: Tensor  # (R, 4) the box of the object; the region itself in the background
    weight: Tensor  # (R,) 1 / number of regions of the image

    def take(self, rows: Tensor) -> Regions:
        """Return some of the regions, in the given order."""
        return Regions(*(column[rows] for column in self))


@torch.no_grad()
def sample_regions(heads: Any, objects: Objects, proposals: Tensor, seeds: Tensor) -> Regions:
    """Choose the regions to learn from: proposals, and the objects themselves as in torchvision.

    Args:
        heads: torchvision's ``RoIHeads``.
        objects: Of the batch.
        proposals: (B, P, 4), rows without an area are padding.
        seeds: (B,).
    """
    known = objects.boxes.where(objects.present[..., None], 0)
    candidates = torch.cat((proposals.to(known.dtype), known), 1)
    matcher, sampler = heads.proposal_matcher, heads.fg_bg_sampler
    match = match_by_overlap(
        objects, candidates, high=matcher.high_threshold, low=matcher.low_threshold
    )
    real = has_area(candidates)
    sample = draw_sample(
        real & (match >= 0),
        real & (match == BACKGROUND),
        seeds,
        stream=REGION_STREAM,
        count=sampler.batch_size_per_image,
        most=int(sampler.batch_size_per_image * sampler.positive_fraction),
    )
    match = match.gather(1, sample.rows)
    boxes = candidates.gather(1, sample.rows[..., None].expand(-1, -1, 4))
    image = torch.arange(len(match), device=match.device)[:, None].expand_as(match)
    labels, wanted = objects.labels_of(match) + 1, objects.boxes_of(match, boxes)
    columns = (boxes, image, match, labels, wanted, sample.weight.to(boxes.dtype))
    regions = Regions(*(column.flatten(0, 1) for column in columns))
    # without the rows of padding, on which the wide head would work as long as on any other
    return regions.take(sample.taken.flatten().nonzero()[:, 0])


def judge(heads: Any, pooled: Tensor) -> tuple[Tensor, Tensor]:
    """Return (R, K + 1) logits and (R, K + 1, 4) box differences of cut regions."""
    logits, deltas = heads.box_predictor(heads.box_head(pooled))
    return precise(logits), precise(deltas).view(*logits.shape, 4)


def region_losses(heads: Any, maps: Maps, regions: Regions) -> dict[str, Tensor]:
    """Return the losses of classes and boxes, summed over images.

    Of each image they are means over its regions.
    """
    pyramid = Pyramid(maps, heads.box_roi_pool)
    logits, deltas = judge(heads, pyramid.cut(regions.boxes, regions.image))
    wrong = functional.cross_entropy(logits, regions.labels, reduction="none")
    found = deltas.take_along_dim(regions.labels[:, None, None], 1)[:, 0]
    wanted = encode(regions.wanted, regions.boxes, heads.box_coder.weights)
    away = functional.smooth_l1_loss(found, wanted, beta=SMOOTH, reduction="none").sum(-1)
    return {
        "class": (wrong * regions.weight).sum(),
        "box": (away * regions.weight.where(regions.labels > 0, 0)).sum(),
    }
