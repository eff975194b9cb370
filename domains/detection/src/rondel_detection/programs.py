"""What of a detector is exported: pictures on the canvas in, a fixed number of detections out.

The scores are not cut off by a threshold, so that whoever runs a program chooses it. Letters:
B images, N boxes to choose from, D detections of an image, K classes, P proposals, (H, W) the
canvas.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torchvision.ops import nms, roi_align

from rondel_detection.models.deltas import clip
from rondel_detection.models.detector import Detector
from rondel_detection.models.one_stage import FcosDetector, RetinaNetDetector, SsdDetector
from rondel_detection.models.proposals import SMALLEST_SIDE, best_of_levels, score_anchors
from rondel_detection.models.pyramid import Maps
from rondel_detection.models.regions import judge
from rondel_detection.models.two_stage import RegionDetector

Outputs = tuple[Tensor, Tensor, Tensor]
"""Boxes (B, D, 4) x1 y1 x2 y2 in pixels of the canvas, scores (B, D), labels (B, D) int64. Rows of
score 0 are no detection."""
MOST = 4096
"""Judged regions that the last suppression of a two-stage detector looks at."""
SMALLEST_REGION = 1e-2
"""Side of a detection of a two-stage detector, pixels."""


@runtime_checkable
class Fixed(Protocol):
    """A detector whose detections have a fixed number already."""

    def raw(self, images: Tensor) -> Any:
        """Return what the network says of (B, 3, H, W) uint8 images."""

    def decode(self, maps: Any, sizes: Tensor) -> Any:
        """Return boxes, scores and labels, as `Outputs`, of what `raw` returned."""


class Program(nn.Module):
    """A detector with its choice of boxes, of images (1, 3, H, W) uint8."""

    single = True
    """Whether there is one image at a time."""

    detector: Any

    def __init__(self, detector: Detector) -> None:
        super().__init__()
        self.detector = detector

    def forward(self, images: Tensor) -> Outputs:
        """Return detections as they come, if there is no better way."""
        found = self.detector.detect(images, sizes_of(images))
        return found.boxes[None], found.scores[None], found.labels[None]


class FixedProgram(Program):
    """For detectors with `raw` and `decode`, of any number of images."""

    single = False

    def forward(self, images: Tensor) -> Outputs:
        """Return detections."""
        boxes, scores, labels = self.detector.decode(self.detector.raw(images), sizes_of(images))
        return boxes, scores, labels


class LevelProgram(Program):
    """For RetinaNet and FCOS: the best anchors of each level."""

    def forward(self, images: Tensor) -> Outputs:
        """Return detections."""
        model, outputs = self.detector.model, one_stage_outputs(self.detector, images)
        scores = outputs["cls_logits"][0].sigmoid()  # (N, K)
        if "bbox_ctrness" in outputs:
            scores = (scores * outputs["bbox_ctrness"][0].sigmoid()).sqrt()
        anchors = self.detector.anchors(canvas_of(images))
        parts = []
        start = 0
        for level in anchors:
            rows = slice(start, start + len(level))
            start += len(level)
            best = scores[rows].flatten()
            best, place = best.topk(min(model.topk_candidates, len(best)))
            anchor, label = place // scores.shape[1], place % scores.shape[1]
            deltas = outputs["bbox_regression"][0, rows][anchor]
            parts.append((decoded(model.box_coder, deltas, level[anchor]), best, label))
        boxes, best, label = (torch.cat(columns) for columns in zip(*parts, strict=True))
        return chosen(images, boxes, best, label, Limits.of(model))


class SsdProgram(Program):
    """For SSDlite: the best anchors of each class."""

    def forward(self, images: Tensor) -> Outputs:
        """Return detections."""
        model, outputs = self.detector.model, one_stage_outputs(self.detector, images)
        scores = outputs["cls_logits"][0].softmax(-1)[:, 1:]  # (N, K)
        anchors = torch.cat(self.detector.anchors(canvas_of(images)))
        boxes = model.box_coder.decode_single(outputs["bbox_regression"][0], anchors)
        best, place = scores.t().topk(min(model.topk_candidates, len(scores)))  # (K, n)
        label = torch.arange(len(best), device=best.device)[:, None].expand_as(best).flatten()
        flat = boxes[place.flatten()]
        return chosen(images, flat, best.flatten(), label, Limits.of(model))


class RegionProgram(Program):
    """For Faster R-CNN: proposals, then what is in them. Masks are not computed."""

    def forward(self, images: Tensor) -> Outputs:
        """Return detections."""
        detector, heads = self.detector, self.detector.model.roi_heads
        maps = Maps(detector.model.backbone(detector.normalise(images)), canvas_of(images))
        regions = self._proposals(maps, images)
        logits, deltas = judge(heads, self._cut(maps, regions))
        boxes = heads.box_coder.decode(deltas.flatten(1), [regions])[:, 1:]  # (P, K, 4)
        boxes = clip(boxes.flatten(0, 1)[None], sizes_of(images))[0]
        scores = logits.softmax(-1)[:, 1:]
        label = torch.arange(scores.shape[1], device=scores.device).expand_as(scores).flatten()
        wide = ((boxes[:, 2:] - boxes[:, :2]) >= SMALLEST_REGION).all(-1)
        real = (regions[:, 2] > regions[:, 0])[:, None].expand_as(scores).flatten()
        best, place = (scores.flatten() * (wide & real)).topk(min(MOST, scores.numel()))
        return chosen(images, boxes[place], best, label[place], Limits.of(heads))

    def _proposals(self, maps: Maps, images: Tensor) -> Tensor:
        """Return (P, 4) regions; rows of zeros are none."""
        scored = score_anchors(self.detector.model.rpn, maps)
        limits = self.detector.testing_limits
        boxes, scores, levels = best_of_levels(scored, limits.before)
        boxes = clip(boxes, sizes_of(images))[0]
        wide = ((boxes[:, 2:] - boxes[:, :2]) >= SMALLEST_SIDE).all(-1)
        kept = survivors(boxes, scores[0], levels, limits.iou)
        best, place = (scores[0] * (kept & wide)).topk(min(limits.after, len(boxes)))
        return boxes[place] * (best > 0)[:, None]

    def _cut(self, maps: Maps, regions: Tensor) -> Tensor:
        """Return (P, C, h, w): each region is cut out of every level, and its own is taken.

        Regions are given to levels by equation 1 of Lin et al. (2017).
        """
        pooler = self.detector.model.roi_heads.box_roi_pool
        levels = [level for name, level in maps.levels.items() if name in pooler.featmap_names]
        halvings = [round(math.log2(maps.canvas[0] / level.shape[-2])) for level in levels]
        side = (regions[:, 2:] - regions[:, :2]).prod(1).sqrt()
        grown = torch.log2(side / pooler.canonical_scale) + 1e-6
        own = (pooler.canonical_level + grown).floor().clamp(halvings[0], halvings[-1])
        rois = torch.cat((torch.zeros_like(regions[:, :1]), regions), 1)
        parts = [
            roi_align(level, rois, pooler.output_size, 0.5**times, pooler.sampling_ratio)
            * (own == times)[:, None, None, None]
            for level, times in zip(levels, halvings, strict=True)
        ]
        return torch.stack(parts).sum(0)


PROGRAMS: tuple[tuple[type, type[Program]], ...] = (
    (RegionDetector, RegionProgram),
    (RetinaNetDetector, LevelProgram),
    (FcosDetector, LevelProgram),
    (SsdDetector, SsdProgram),
    (Fixed, FixedProgram),
    (Detector, Program),
)
"""What each kind of detector becomes; the first that fits."""


def program_of(detector: Detector) -> Program:
    """Return what is exported of a detector."""
    return next(make for kind, make in PROGRAMS if isinstance(detector, kind))(detector)


def sizes_of(images: Tensor) -> Tensor:
    """Return (B, 2) height and width of pictures that fill the canvas."""
    size = torch.tensor(canvas_of(images), dtype=torch.float32, device=images.device)
    return size.expand(images.shape[0], 2)


def canvas_of(images: Tensor) -> tuple[int, int]:
    """Return height and width of the canvas."""
    return images.shape[-2], images.shape[-1]


def one_stage_outputs(detector: Any, images: Tensor) -> dict[str, Tensor]:
    """Return what torchvision's heads say, each (1, N, ...)."""
    features = detector.model.backbone(detector.normalise(images))
    outputs: dict[str, Tensor] = detector.model.head(list(features.values()))
    return outputs


def decoded(coder: Any, deltas: Tensor, anchors: Tensor) -> Tensor:
    """Return the boxes that differences to anchors mean: RetinaNet's and FCOS' coders differ."""
    decode = coder.decode_single if hasattr(coder, "decode_single") else coder.decode
    boxes: Tensor = decode(deltas, anchors)
    return boxes


def survivors(boxes: Tensor, scores: Tensor, groups: Tensor, iou: float) -> Tensor:
    """Return (N,) bool: no better box of the group overlaps by more than ``iou``.

    `torchvision.ops.batched_nms` does the same and cannot be exported: it looks at values.
    """
    apart = boxes.max() + 1  # boxes of two groups never meet
    kept = nms(boxes + (groups.to(boxes.dtype) * apart)[:, None], scores, iou)
    return torch.zeros_like(scores).index_fill(0, kept, 1.0) > 0


@dataclass(frozen=True)
class Limits:
    """What ends the choice of boxes.

    Args:
        iou: Overlap above which the weaker box of a class goes.
        most: D, at most.
    """

    iou: float
    most: int

    @classmethod
    def of(cls, model: Any) -> Limits:
        """Return the limits of a model or head of torchvision."""
        return cls(model.nms_thresh, model.detections_per_img)


def chosen(
    images: Tensor, boxes: Tensor, scores: Tensor, labels: Tensor, limits: Limits
) -> Outputs:
    """Return the best boxes of an image after suppression.

    Args:
        images: (1, 3, H, W); boxes are clipped to the canvas.
        boxes: (N, 4).
        scores: (N,).
        labels: (N,).
        limits: What ends the choice.
    """
    boxes = clip(boxes[None], sizes_of(images))[0]
    kept = scores * survivors(boxes, scores, labels, limits.iou)
    best, place = kept.topk(min(limits.most, len(kept)))
    real = (boxes[:, 2:] > boxes[:, :2]).all(-1)[place]  # what lay beside the picture is a line
    best, order = (best * real).topk(len(best))
    place = place[order]
    return boxes[place][None], best[None], labels[place][None]
