"""A small anchor-free detector that learns from scratch: where a centre is, of what, and its box.

"Objects as Points" (Zhou et al., 2019) on three levels, with an overlap loss for the boxes and one
heat map for all classes. The class is learnt apart, by the cells near a centre alone, because it
then need not stand out from all the background first: after 630 steps on the embedded digits that
was an AP50 of 0.78 instead of 0.35.

Every tensor of a training step has a shape that does not depend on values, so that the host never
waits for the device. Letters: B images, M boxes of the image with the most, N cells of all levels,
K classes, D detections of an image, (H, W) the canvas.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from rondel import Loss
from rondel.errors import UsageError
from rondel_detection.config import ModelConfig
from rondel_detection.data.batch import Predictions, Targets
from rondel_detection.losses import giou_sum, heat_focal_sum
from rondel_detection.models.assignment import Grid, assign, learning_cells
from rondel_detection.models.detector import Counts, Detector
from rondel_detection.models.tiny_fpn import Convolution, TinyFpn

STRIDES = (8, 16, 32)
MIDDLE, CONTRAST = 127.5, 64.0
"""Pixels are shifted and divided by these."""
PRIOR = 0.1
"""Chance of a centre in a cell before training (Lin et al., 2017)."""
LONGEST = 6.0
"""Logarithm of the longest side of a box, in cells: an untrained box must not overflow."""
WEIGHTS = {"heat": 1.0, "class": 2.0, "box": 2.0}


class Maps(NamedTuple):
    """What the network says about each cell, level by level."""

    heat: tuple[Tensor, ...]  # each (B, 1, rows, columns) logits: a centre of anything
    classes: tuple[Tensor, ...]  # each (B, K, rows, columns) logits: of what, if so
    boxes: tuple[Tensor, ...]  # each (B, 4, rows, columns): shift of the centre, log of the sides


class Candidates(NamedTuple):
    """Detections in dense form: best first, of fixed number, some of them with score 0."""

    boxes: Tensor  # (B, D, 4) float32 x1 y1 x2 y2
    scores: Tensor  # (B, D) float32
    labels: Tensor  # (B, D) int64


class Head(nn.Module):
    """What is said of every cell of a level; the same for all levels.

    Args:
        channels: Of the level.
        outputs: Values for each cell; near 0 before training.
    """

    def __init__(self, channels: int, outputs: int) -> None:
        super().__init__()
        self.inner = Convolution(channels, channels)
        self.output = nn.Conv2d(channels, outputs, 1)
        nn.init.normal_(self.output.weight, std=0.01)
        nn.init.zeros_(self.bias)

    @property
    def bias(self) -> Tensor:
        """(outputs,) what the values are before the cell is looked at."""
        return cast(Tensor, self.output.bias)

    def forward(self, level: Tensor) -> Tensor:
        """Return (B, outputs, rows, columns) of (B, C, rows, columns)."""
        said: Tensor = self.output(functional.relu(self.inner(level)))
        return said


class CentreDetector(Detector):
    """Finds objects as peaks of a heat map.

    Args:
        classes: K.
        width: Factor on the channels of the backbone.
        score_threshold: Lowest score of a detection.
        nms_iou: Overlap with a better detection of the class above which one goes.
        max_detections: D.
    """

    stride: ClassVar[int] = STRIDES[-1]

    def __init__(
        self,
        classes: int,
        *,
        width: float = 1.0,
        score_threshold: float = 0.05,
        nms_iou: float = 0.5,
        max_detections: int = 100,
    ) -> None:
        super().__init__(classes)
        self.score_threshold = score_threshold
        self.nms_iou = nms_iou
        self.max_detections = max_detections
        self.backbone = TinyFpn(width, levels=STRIDES)
        channels = self.backbone.out_channels
        self.object = Head(channels, 1 + classes)
        self.box = Head(channels, 4)
        nn.init.constant_(self.object.bias[:1], math.log(PRIOR / (1 - PRIOR)))
        self.to(memory_format=torch.channels_last)

    def raw(self, images: Tensor) -> Maps:
        """Return the maps of uint8 or float images 0..255, (B, 3, H, W); it can be exported."""
        pixels = (images.to(self.box.output.weight.dtype) - MIDDLE) / CONTRAST
        levels = self.backbone(pixels.contiguous(memory_format=torch.channels_last)).values()
        objects = [self.object(level) for level in levels]
        heat, classes = (part[:, :1] for part in objects), (part[:, 1:] for part in objects)
        return Maps(tuple(heat), tuple(classes), tuple(self.box(level) for level in levels))

    def loss(self, images: Tensor, targets: Targets, seeds: Tensor) -> Loss:  # noqa: ARG002
        """Return the loss of the heat by objects, of classes and boxes by the cells near them."""
        return self.loss_of(self.raw(images), targets, grid_of(images))

    def loss_of(self, maps: Maps, targets: Targets, grid: Grid) -> Loss:
        """Return the loss of given maps."""
        wanted = assign(targets, grid)
        objects, near = targets.present.sum(), wanted.learns.sum()
        heat = heat_focal_sum(flat(maps.heat)[:, 0], wanted.heat, wanted.background)
        missed = functional.cross_entropy(flat(maps.classes), wanted.labels, reduction="none")
        box = giou_sum(boxes_of(maps, grid), wanted.boxes, wanted.learns)
        terms = {
            "heat": Loss(heat, objects),
            "class": Loss((missed * wanted.learns).sum(), near),
            "box": Loss(box, near),
        }
        return Loss.weighted(terms, WEIGHTS)

    def counts(self, images: Tensor, targets: Targets, seeds: Tensor) -> Counts:  # noqa: ARG002
        """Return the number of objects and of cells near one."""
        near = learning_cells(targets, grid_of(images)).sum()
        return {"heat": targets.present.sum(), "class": near, "box": near}

    def detect(self, images: Tensor, sizes: Tensor) -> Predictions:
        """Return the peaks above the score threshold."""
        found = self.decode(self.raw(images), sizes)
        kept = (found.scores >= self.score_threshold) & (found.scores > 0)
        image, place = kept.nonzero(as_tuple=True)
        columns = (column[image, place] for column in found)
        return Predictions(image, *columns)

    def decode(self, maps: Maps, sizes: Tensor) -> Candidates:
        """Turn maps into detections, best first; it can be exported.

        Args:
            maps: Of `raw`.
            sizes: (B, 2) height and width of each picture; boxes are clipped to it.
        """
        rows, columns = maps.heat[0].shape[-2:]
        grid = Grid(STRIDES, (rows * STRIDES[0], columns * STRIDES[0]))
        levels = zip(maps.heat, maps.classes, strict=True)
        peaks = flat([peaks_of(heat, classes) for heat, classes in levels])  # (B, K, N)
        cells = peaks.shape[-1]
        best = peaks.flatten(1)
        scores, place = best.topk(min(self.max_detections, best.shape[1]))
        chosen = (place % cells)[..., None].expand(-1, -1, 4)
        boxes = clipped(boxes_of(maps, grid).gather(1, chosen), sizes)
        labels = place // cells
        kept = ~doubles(boxes, labels, self.nms_iou) & ((boxes[..., 2:] > boxes[..., :2]).all(-1))
        return Candidates(boxes, scores * kept, labels)

    def stages(self) -> tuple[tuple[str, ...], ...]:
        """Return the head, the pyramid and the stages of the backbone."""
        deeper = (tuple(f"backbone.{name}" for name in names) for names in self.backbone.depths())
        return (("object.", "box."), *deeper)


def make_centre(config: ModelConfig, classes: int, canvas: tuple[int, int]) -> Detector:
    """Make the detector.

    Raises:
        UsageError: A side of the canvas is no multiple of the coarsest stride.
    """
    if any(side % CentreDetector.stride for side in canvas):
        raise UsageError(
            f"the centre detector cannot see a canvas of {canvas[1]} x {canvas[0]} pixels",
            hint=f"Both sides must be multiples of {CentreDetector.stride}.",
        )
    return CentreDetector(
        classes,
        width=config.width,
        score_threshold=config.score_threshold,
        nms_iou=config.nms_iou,
        max_detections=config.max_detections,
    )


def grid_of(images: Tensor) -> Grid:
    """Return the grid of a batch of images."""
    return Grid(STRIDES, (images.shape[-2], images.shape[-1]))


def flat(levels: Sequence[Tensor]) -> Tensor:
    """Return (B, C, N) of maps (B, C, rows, columns), in float32 or finer."""
    return precise(torch.cat([level.flatten(2) for level in levels], -1))


def boxes_of(maps: Maps, grid: Grid) -> Tensor:
    """Return (B, N, 4) x1 y1 x2 y2 in pixels, the box that each cell proposes."""
    values = flat(maps.boxes).transpose(1, 2)
    cells = grid.cells(values.device)
    shift, sides = values[..., :2], values[..., 2:]
    stride = cells.stride[:, None]
    centre = cells.centres + shift * stride
    half = sides.clamp(max=LONGEST).exp() * stride / 2
    return torch.cat((centre - half, centre + half), -1)


def peaks_of(heat: Tensor, classes: Tensor) -> Tensor:
    """Return the chance of each class in the cells where it is the highest of 3 x 3, else 0.

    Args:
        heat: (B, 1, rows, columns) logits.
        classes: (B, K, rows, columns) logits.
    """
    chances = precise(heat).sigmoid() * precise(classes).softmax(1)
    highest = functional.max_pool2d(chances, 3, stride=1, padding=1)
    return chances * (chances == highest)


def precise(values: Tensor) -> Tensor:
    """Return values in float32, or as they are if finer."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def clipped(boxes: Tensor, sizes: Tensor) -> Tensor:
    """Return boxes (B, D, 4) inside their pictures of heights and widths (B, 2)."""
    limits = sizes.flip(-1).repeat(1, 2)[:, None].to(boxes.dtype)
    return torch.minimum(boxes.clamp(min=0), limits)


def doubles(boxes: Tensor, labels: Tensor, limit: float) -> Tensor:
    """Return (B, D) bool: a better box of the class overlaps by more than the limit.

    All pairs are looked at once, as in Fast NMS (Bolya et al., 2019): a box that goes itself still
    removes others. After peak picking hardly any are left to tell the difference.
    """
    start, end = boxes[..., :2], boxes[..., 2:]
    first = torch.maximum(start[:, :, None], start[:, None])
    last = torch.minimum(end[:, :, None], end[:, None])
    inner = (last - first).clamp(min=0).prod(-1)  # (B, D, D)
    area = (end - start).prod(-1)
    close = inner > limit * (area[:, :, None] + area[:, None] - inner)
    same = labels[:, :, None] == labels[:, None]
    return (close & same).tril(-1).any(-1)
