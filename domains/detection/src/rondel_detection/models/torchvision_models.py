"""torchvision's detectors made from a config; nothing is fetched, whatever the config says.

Anchors are torchvision's own, in pixels of the canvas, so that its weights fit.
"""

from __future__ import annotations

from typing import Any, TypedDict

from torchvision.models.detection import FCOS, FasterRCNN, MaskRCNN, RetinaNet
from torchvision.models.detection import ssdlite320_mobilenet_v3_large as ssdlite320
from torchvision.models.detection.anchor_utils import AnchorGenerator

from rondel_detection.config import ModelConfig
from rondel_detection.models.one_stage import FcosDetector, RetinaNetDetector, SsdDetector
from rondel_detection.models.torchvision_backbone import MOBILENET, norm_layer, pyramid_backbone
from rondel_detection.models.two_stage import RegionDetector

Canvas = tuple[int, int]
SIZES = (32, 64, 128, 256, 512)
RATIOS = (0.5, 1.0, 2.0)
SSD_EPS = 1e-3
"""Of the normalisation in torchvision's SSDlite."""


class Choice(TypedDict):
    """How torchvision's one-stage detectors choose among what they see."""

    score_thresh: float
    nms_thresh: float
    detections_per_img: int


class RegionChoice(TypedDict):
    """How torchvision's two-stage detectors choose."""

    box_score_thresh: float
    box_nms_thresh: float
    box_detections_per_img: int


def choice(config: ModelConfig) -> Choice:
    """Return the rules of the config under the names of the one-stage models."""
    return {
        "score_thresh": config.score_threshold,
        "nms_thresh": config.nms_iou,
        "detections_per_img": config.max_detections,
    }


def region_choice(config: ModelConfig) -> RegionChoice:
    """Return the rules of the config under the names of the two-stage models."""
    return {
        "box_score_thresh": config.score_threshold,
        "box_nms_thresh": config.nms_iou,
        "box_detections_per_img": config.max_detections,
    }


def make_fasterrcnn(config: ModelConfig, classes: int, canvas: Canvas) -> RegionDetector:  # noqa: ARG001
    """Make a Faster R-CNN on a ResNet, ResNeXt or MobileNetV3 with a pyramid."""
    backbone = pyramid_backbone(config, dense=False)
    model = FasterRCNN(
        backbone,
        classes + 1,
        rpn_anchor_generator=region_anchors(config),
        **region_choice(config),
    )
    return RegionDetector(model, classes)


def make_maskrcnn(config: ModelConfig, classes: int, canvas: Canvas) -> RegionDetector:  # noqa: ARG001
    """Make a Mask R-CNN: a Faster R-CNN with a head for outlines."""
    backbone = pyramid_backbone(config, dense=False)
    model = MaskRCNN(
        backbone,
        classes + 1,
        rpn_anchor_generator=region_anchors(config),
        **region_choice(config),
    )
    return RegionDetector(model, classes)


def region_anchors(config: ModelConfig) -> Any:
    """Return torchvision's anchors: one size per level, or all sizes on each of three."""
    if config.backbone == MOBILENET:
        return AnchorGenerator((SIZES,) * 3, (RATIOS,) * 3)
    return AnchorGenerator(tuple((size,) for size in SIZES), (RATIOS,) * len(SIZES))


def make_retinanet(config: ModelConfig, classes: int, canvas: Canvas) -> RetinaNetDetector:  # noqa: ARG001
    """Make a RetinaNet."""
    model = RetinaNet(pyramid_backbone(config, dense=True), classes, **choice(config))
    return RetinaNetDetector(model, classes)


def make_fcos(config: ModelConfig, classes: int, canvas: Canvas) -> FcosDetector:  # noqa: ARG001
    """Make an FCOS."""
    return FcosDetector(
        FCOS(pyramid_backbone(config, dense=True), classes, **choice(config)), classes
    )


def make_ssdlite(config: ModelConfig, classes: int, canvas: Canvas) -> SsdDetector:  # noqa: ARG001
    """Make an SSDlite on MobileNetV3; it was made for a canvas of 320, and works on others."""
    model = ssdlite320(
        weights=None,
        weights_backbone=None,
        num_classes=classes + 1,
        norm_layer=norm_layer(config, eps=SSD_EPS),
        **choice(config),
    )
    return SsdDetector(model, classes)
