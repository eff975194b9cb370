"""Faster and Mask R-CNN: torchvision's modules behind the protocol, for whole batches.

The modules and the names of their weights are torchvision's; the transform is not used, since all
pictures stand on one canvas. Letters: B images, P proposals, N detections, (H, W) the canvas.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from rondel import Loss
from rondel.errors import UsageError
from rondel_detection.data.batch import Predictions, Targets
from rondel_detection.models.canvas import Normalise, precise
from rondel_detection.models.columns import columns_of
from rondel_detection.models.detector import TwoStageDetector
from rondel_detection.models.masks import draw_masks, mask_loss
from rondel_detection.models.matching import Objects, has_area
from rondel_detection.models.proposals import (
    Limits,
    proposal_losses,
    propose,
    score_anchors,
)
from rondel_detection.models.pyramid import Maps, Pyramid
from rondel_detection.models.regions import judge, region_losses, sample_regions
from rondel_detection.models.torchvision_backbone import backbone_stages


class RegionDetector(TwoStageDetector):
    """A Faster or Mask R-CNN of torchvision.

    Every term of the loss is counted by images: of each image it is the mean over its samples.

    Args:
        model: torchvision's ``FasterRCNN`` or ``MaskRCNN`` of ``classes + 1`` classes.
        classes: Without the background.
    """

    def __init__(self, model: Any, classes: int) -> None:
        super().__init__(classes)
        # convolutions on a CPU are up to a tenth faster so
        self.model = model.to(memory_format=torch.channels_last)
        self.normalise = Normalise(model.transform.image_mean, model.transform.image_std)
        self.training_limits = Limits.of(model.rpn, "training")
        self.testing_limits = Limits.of(model.rpn, "testing")

    @property
    def parts(self) -> Mapping[str, nn.Module]:
        """The shared backbone, the proposal network and the region head."""
        model = self.model
        return {"backbone": model.backbone, "rpn": model.rpn, "roi": model.roi_heads}

    def stages(self) -> tuple[tuple[str, ...], ...]:
        """Return both heads, the pyramid, then the backbone from its end to its start."""
        heads = ("model.rpn.", "model.roi_heads.")
        return (heads, *backbone_stages(self.model.backbone, "model.backbone."))

    def loss(self, images: Tensor, targets: Targets, seeds: Tensor) -> Loss:
        """Return the loss of both networks at once.

        Raises:
            UsageError: The model is a Mask R-CNN and the targets have no masks.
        """
        maps = self._look(images)
        scored = score_anchors(self.model.rpn, maps)
        losses = proposal_losses(self.model.rpn, scored, self._objects(targets), seeds)
        proposals = propose(scored, targets.sizes, self.training_limits)
        return _summed(losses | self._judged(maps, targets, proposals, seeds), len(images))

    def proposal_loss(self, images: Tensor, targets: Targets, seeds: Tensor) -> Loss:
        """Return the loss of the proposal network alone."""
        scored = score_anchors(self.model.rpn, self._look(images))
        losses = proposal_losses(self.model.rpn, scored, self._objects(targets), seeds)
        return _summed(losses, len(images))

    def region_loss(self, images: Tensor, targets: Targets, seeds: Tensor) -> Loss:
        """Return the loss of the region head alone, on ``targets.proposals`` and the true boxes.

        Raises:
            UsageError: The targets have no proposals, or none of the masks that the model needs.
        """
        if targets.proposals is None:
            raise UsageError(
                "the region loss needs targets.proposals",
                hint="Compute them once with detector.propose(images, sizes), or use loss().",
            )
        losses = self._judged(self._look(images), targets, targets.proposals, seeds)
        return _summed(losses, len(images))

    @torch.no_grad()
    def propose(self, images: Tensor, sizes: Tensor) -> Tensor:
        """Return (B, P, 4) proposals to train on, best first, padded with zeros."""
        scored = score_anchors(self.model.rpn, self._look(images))
        return propose(scored, sizes, self.training_limits)

    @torch.no_grad()
    def detect(self, images: Tensor, sizes: Tensor) -> Predictions:
        """Return detections, with masks if the model is a Mask R-CNN."""
        maps, heads = self._look(images), self.model.roi_heads
        proposals = propose(score_anchors(self.model.rpn, maps), sizes, self.testing_limits)
        image, row = has_area(proposals).nonzero(as_tuple=True)
        boxes = proposals[image, row]
        logits, deltas = judge(heads, Pyramid(maps, heads.box_roi_pool).cut(boxes, image))
        own = torch.split(boxes, image.bincount(minlength=len(images)).tolist())
        shapes = [tuple(size) for size in sizes.tolist()]
        chosen = heads.postprocess_detections(logits, deltas.flatten(1), own, shapes)
        found = columns_of(*chosen, background=1)
        if heads.mask_predictor is None:
            return found
        return found._replace(masks=draw_masks(heads, maps, found))

    def _look(self, images: Tensor) -> Maps:
        canvas = (images.shape[-2], images.shape[-1])
        return Maps(self.model.backbone(self.normalise(images)), canvas)

    def _objects(self, targets: Targets) -> Objects:
        return Objects.of(targets, precise(self.normalise.scale).dtype)

    def _judged(
        self, maps: Maps, targets: Targets, proposals: Tensor, seeds: Tensor
    ) -> dict[str, Tensor]:
        """Return the losses of the region head, each summed over images."""
        heads = self.model.roi_heads
        regions = sample_regions(heads, self._objects(targets), proposals, seeds)
        losses = region_losses(heads, maps, regions)
        if heads.mask_predictor is not None:
            if targets.masks is None:
                raise UsageError(
                    "Mask R-CNN needs masks, and the targets have none",
                    hint="Use labels with polygons or masks, or model.name=fasterrcnn.",
                )
            losses["mask"] = mask_loss(heads, maps, regions, targets.masks)
        return losses


def _summed(losses: Mapping[str, Tensor], count: int) -> Loss:
    return Loss(torch.stack(list(losses.values())).sum(), count, parts=losses)
