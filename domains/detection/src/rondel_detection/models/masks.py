"""The outlines of objects in their regions (He et al., 2017), as torchvision's Mask R-CNN has them.

Letters: B images, M boxes of the image with the most, R regions, N detections, m the side of a mask
in its region, (H, W) the canvas.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torchvision.models.detection.roi_heads import paste_masks_in_image
from torchvision.ops import roi_align

from rondel_detection.data.batch import Predictions
from rondel_detection.models.canvas import precise
from rondel_detection.models.pyramid import Maps, Pyramid
from rondel_detection.models.regions import Regions

INSIDE = 0.5
"""Chance from which a pixel belongs to the object."""


def mask_loss(
    heads: Any,
    maps: Maps,
    regions: Regions,
    masks: Tensor,
) -> Tensor:
    """Return the loss of the masks in the regions of objects, summed over images.

    Of each image it is the mean over the pixels of its regions; torchvision takes the mean over the
    batch, which is the same if all images have as many regions of objects.

    Args:
        heads: torchvision's ``RoIHeads``.
        maps: Of the backbone.
        regions: With background among them.
        masks: (B, M, H, W) bool.
    """
    regions = regions.take((regions.labels > 0).nonzero()[:, 0])
    pyramid = Pyramid(maps, heads.mask_roi_pool)
    pooled = pyramid.cut(regions.boxes, regions.image)
    logits = precise(heads.mask_predictor(heads.mask_head(pooled)))
    own = logits.take_along_dim(regions.labels[:, None, None, None], 1)[:, 0]  # (R, m, m)
    wanted = cut_masks(masks, regions, own.shape[-1])
    wrong = functional.binary_cross_entropy_with_logits(own, wanted, reduction="none")
    one = torch.ones_like(regions.weight)
    each = one.new_zeros(len(masks)).index_add(0, regions.image, one)  # (B,)
    return (wrong.mean((1, 2)) / each[regions.image]).sum()


@torch.no_grad()
def cut_masks(masks: Tensor, regions: Regions, side: int) -> Tensor:
    """Return (R, m, m) shares of the true masks in the regions of their objects."""
    place = regions.image * masks.shape[1] + regions.object
    # only masks that somebody needs become floats: all of a batch would not fit in memory
    used, row = torch.unique(place, return_inverse=True)
    chosen = masks.flatten(0, 1)[used][:, None].to(regions.boxes.dtype)
    rois = torch.cat((row[:, None].to(regions.boxes.dtype), regions.boxes), 1)
    cut: Tensor = roi_align(chosen, rois, (side, side))
    return cut[:, 0]


def draw_masks(
    heads: Any,
    maps: Maps,
    found: Predictions,
) -> Tensor:
    """Return (N, H, W) bool masks of detections.

    Args:
        heads: torchvision's ``RoIHeads``.
        maps: Of the backbone.
        found: The detections.
    """
    pyramid = Pyramid(maps, heads.mask_roi_pool)
    pooled = pyramid.cut(found.boxes, found.image)
    logits = precise(heads.mask_predictor(heads.mask_head(pooled)))
    own = logits.take_along_dim((found.labels + 1)[:, None, None, None], 1)
    pasted: Tensor = paste_masks_in_image(own.sigmoid(), found.boxes, maps.canvas)
    return pasted[:, 0] > INSIDE
