"""A Faster R-CNN of 0.8 million parameters that learns from scratch on a CPU in a minute.

torchvision's two-stage model with everything that is wide made narrow: the tiny pyramid of three
levels, one anchor size per level, small regions, a head of 128 units, few samples and proposals.
"""

from __future__ import annotations

from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.ops import MultiScaleRoIAlign

from rondel_detection.config import ModelConfig
from rondel_detection.models.tiny_fpn import TinyFpn
from rondel_detection.models.torchvision_models import RATIOS, Canvas, region_choice
from rondel_detection.models.two_stage import RegionDetector

LEVELS = (8, 16, 32)
SIZES = (16, 32, 48)
"""Sides of the anchors of each level on a canvas of `SIDE` pixels."""
SIDE = 128
REGION = 5
HIDDEN = 128
SAMPLES = 64
PROPOSALS = 300
TEST_PROPOSALS = 100


def make_fasterrcnn_slim(config: ModelConfig, classes: int, canvas: Canvas) -> RegionDetector:
    """Make the slim Faster R-CNN; ``config.width`` scales the channels of its backbone."""
    backbone = TinyFpn(config.width, levels=LEVELS)
    names = [str(level) for level in LEVELS]
    model = FasterRCNN(
        backbone,
        rpn_anchor_generator=slim_anchors(canvas),
        rpn_pre_nms_top_n_train=PROPOSALS,
        rpn_pre_nms_top_n_test=TEST_PROPOSALS,
        rpn_post_nms_top_n_train=PROPOSALS,
        rpn_post_nms_top_n_test=TEST_PROPOSALS,
        rpn_batch_size_per_image=SAMPLES,
        box_roi_pool=MultiScaleRoIAlign(names, REGION, sampling_ratio=2),
        box_head=TwoMLPHead(backbone.out_channels * REGION**2, HIDDEN),
        box_predictor=FastRCNNPredictor(HIDDEN, classes + 1),
        box_batch_size_per_image=SAMPLES,
        **region_choice(config),
    )
    return RegionDetector(model, classes)


def slim_anchors(canvas: Canvas) -> AnchorGenerator:
    """Return three shapes of one size per level: 16, 32 and 48 pixels on a canvas of 128.

    Other canvases scale the sizes by their longer side over 128, since pictures are scaled to it;
    the strides of the levels stay.
    """
    factor = max(canvas) / SIDE
    sizes = tuple((max(1, round(size * factor)),) for size in SIZES)
    return AnchorGenerator(sizes, (RATIOS,) * len(sizes))
