"""RetinaNet, FCOS and SSDlite: torchvision's modules behind the protocol, for whole batches.

The modules and the names of their weights are torchvision's; the transform is not used, since all
pictures stand on one canvas. Letters: B images, N anchors of all levels, K classes, (H, W) the
canvas.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from rondel import Loss
from rondel_detection.data.batch import Predictions, Targets
from rondel_detection.losses import giou
from rondel_detection.models.canvas import Grid, Normalise, anchors_on, halved, precise
from rondel_detection.models.columns import columns_of
from rondel_detection.models.deltas import encode
from rondel_detection.models.detector import Counts, Detector
from rondel_detection.models.focal import focal_sums
from rondel_detection.models.matching import (
    BACKGROUND,
    IGNORED,
    Objects,
    match_by_centre,
    match_by_overlap,
    match_every_object,
)
from rondel_detection.models.torchvision_backbone import backbone_stages

Outputs = Mapping[str, Tensor]


class DenseDetector(Detector):
    """A detector of torchvision that judges every anchor of a grid.

    Args:
        model: torchvision's model.
        classes: Without the background.
    """

    halvings: ClassVar[tuple[int, ...]] = (3, 4, 5, 6, 7)
    """Layers of stride 2 before each feature map."""
    background: ClassVar[int] = 0
    """Labels of the model before the first class."""

    def __init__(self, model: Any, classes: int) -> None:
        super().__init__(classes)
        # convolutions on a CPU are up to a tenth faster so
        self.model = model.to(memory_format=torch.channels_last)
        self.normalise = Normalise(model.transform.image_mean, model.transform.image_std)

    def stages(self) -> tuple[tuple[str, ...], ...]:
        """Return the head, the pyramid, then the backbone from its end to its start."""
        return (("model.head.",), *backbone_stages(self.model.backbone, "model.backbone."))

    @abstractmethod
    def match(self, objects: Objects, anchors: Sequence[Tensor]) -> Tensor:
        """Return (B, N) what each anchor learns; anchors come by level."""

    @torch.no_grad()
    def detect(self, images: Tensor, sizes: Tensor) -> Predictions:
        """Return detections, chosen by torchvision's own rules."""
        anchors = self.anchors(_canvas(images))
        shapes = [tuple(size) for size in sizes.tolist()]
        found = self._chosen(self._look(images), anchors, shapes)
        names = ("boxes", "scores", "labels")
        columns = ([own[name] for own in found] for name in names)
        return columns_of(*columns, background=self.background)

    def anchors(self, canvas: Grid) -> list[Tensor]:
        """Return the anchors of each level, (n, 4), the same for all images."""
        grids = [halved(canvas, times) for times in self.halvings]
        like = precise(self.normalise.scale)
        return anchors_on(canvas, grids, self.model.anchor_generator, like)

    def _look(self, images: Tensor) -> Outputs:
        features = self.model.backbone(self.normalise(images))
        outputs = self.model.head(list(features.values()))
        return {name: precise(values) for name, values in outputs.items()}

    def _matched(self, images: Tensor, targets: Targets) -> tuple[Objects, Tensor, Tensor]:
        """Return objects, anchors (N, 4) and what each learns (B, N)."""
        anchors = self.anchors(_canvas(images))
        objects = Objects.of(targets, anchors[0].dtype)
        return objects, torch.cat(anchors), self.match(objects, anchors)

    def _chosen(
        self, outputs: Outputs, anchors: list[Tensor], shapes: list[tuple[float, ...]]
    ) -> list[dict[str, Tensor]]:
        """Return the detections of each image."""
        counts = [len(level) for level in anchors]
        levels = {name: list(torch.split(values, counts, 1)) for name, values in outputs.items()}
        found: list[dict[str, Tensor]] = self.model.postprocess_detections(
            levels, [anchors] * len(shapes), shapes
        )
        return found


class RetinaNetDetector(DenseDetector):
    """torchvision's ``RetinaNet`` (Lin et al., 2017).

    Both terms of an image are divided by its matched anchors, so that images are what is counted.
    """

    def match(self, objects: Objects, anchors: Sequence[Tensor]) -> Tensor:
        """Match by overlap, and every object with the anchors it overlaps most."""
        matcher = self.model.proposal_matcher
        return match_by_overlap(
            objects,
            torch.cat(list(anchors)),
            high=matcher.high_threshold,
            low=matcher.low_threshold,
            reach=matcher.allow_low_quality_matches,
        )

    def loss(self, images: Tensor, targets: Targets, seeds: Tensor) -> Loss:  # noqa: ARG002
        """Return focal loss of the classes and L1 loss of the boxes."""
        objects, anchors, match = self._matched(images, targets)
        outputs = self._look(images)
        found = match >= 0
        each = found.sum(1).clamp(min=1)
        wrong = focal_sums(outputs["cls_logits"], objects.labels_of(match), match != IGNORED)
        wanted = encode(objects.boxes_of(match, anchors), anchors)
        away = (outputs["bbox_regression"] - wanted).abs().sum(-1).where(found, 0).sum(1)
        losses = {"class": (wrong / each).sum(), "box": (away / each).sum()}
        return Loss(torch.stack(list(losses.values())).sum(), len(images), parts=losses)


class MatchedDetector(DenseDetector):
    """A detector whose loss is divided by the matched anchors of the whole batch."""

    terms: ClassVar[tuple[str, ...]]

    def counts(self, images: Tensor, targets: Targets, seeds: Tensor) -> Counts | None:  # noqa: ARG002
        """Return the number of matched anchors for each term; it needs the targets alone."""
        _, _, match = self._matched(images, targets)
        return dict.fromkeys(self.terms, (match >= 0).sum())


class FcosDetector(MatchedDetector):
    """torchvision's ``FCOS`` (Tian et al., 2019)."""

    terms = ("class", "box", "centre")

    def match(self, objects: Objects, anchors: Sequence[Tensor]) -> Tensor:
        """Match the cells near the centre of an object, on the level of its size."""
        levels = tuple(len(level) for level in anchors)
        radius = self.model.center_sampling_radius
        return match_by_centre(objects, torch.cat(list(anchors)), levels, radius=radius)

    def loss(self, images: Tensor, targets: Targets, seeds: Tensor) -> Loss:  # noqa: ARG002
        """Return focal loss of the classes, GIoU loss of the boxes and loss of the centredness."""
        objects, cells, match = self._matched(images, targets)
        outputs = self._look(images)
        found = match >= 0
        wrong = focal_sums(outputs["cls_logits"], objects.labels_of(match), match != IGNORED)
        coder = self.model.box_coder
        boxes, wanted = (
            coder.decode(outputs["bbox_regression"], cells),
            objects.boxes_of(match, cells),
        )
        away = 1 - giou(boxes, wanted)
        off = functional.binary_cross_entropy_with_logits(
            outputs["bbox_ctrness"][..., 0],
            centredness(coder.encode(cells, wanted)),
            reduction="none",
        )
        sums = (wrong.sum(), away.where(found, 0).sum(), off.where(found, 0).sum())
        losses = zip(self.terms, sums, strict=True)
        count = found.sum()
        return Loss.weighted({name: Loss(total, count) for name, total in losses}, {})


def centredness(distances: Tensor) -> Tensor:
    """Return (...) how central points are, 0..1, from (..., 4) distances to left, top, right, bottom.

    Equation 3 of the article; 1 in the middle, 0 on an edge.
    """
    left, top, right, bottom = distances.unbind(-1)
    across = torch.minimum(left, right) / torch.maximum(left, right)
    down = torch.minimum(top, bottom) / torch.maximum(top, bottom)
    return (across * down).sqrt()


class SsdDetector(MatchedDetector):
    """torchvision's ``SSD`` (Liu et al., 2016), with the backbone and head of SSDlite.

    An image without objects has no loss: negatives are mined three to a positive, as in torchvision.
    """

    terms = ("class", "box")
    halvings = (4, 5, 6, 7, 8, 9)
    background = 1

    def stages(self) -> tuple[tuple[str, ...], ...]:
        """Return the head, the extra layers, then both halves of the backbone."""
        backbone = "model.backbone."
        names = ("extra.", "features.1.", "features.0.")
        return (("model.head.",), *((backbone + name,) for name in names))

    def match(self, objects: Objects, anchors: Sequence[Tensor]) -> Tensor:
        """Match by overlap, and every object with its best anchor."""
        high = self.model.proposal_matcher.high_threshold
        return match_every_object(objects, torch.cat(list(anchors)), high=high)

    def loss(self, images: Tensor, targets: Targets, seeds: Tensor) -> Loss:  # noqa: ARG002
        """Return loss of the classes, with the hardest negatives only, and of the boxes."""
        objects, anchors, match = self._matched(images, targets)
        outputs = self._look(images)
        found = match >= 0
        labels = objects.labels_of(match) + 1  # (B, N), 0 is background
        wrong = functional.cross_entropy(
            outputs["cls_logits"].flatten(0, 1), labels.flatten(), reduction="none"
        ).view_as(labels)
        hard = hardest(wrong, match == BACKGROUND, self.model.neg_to_pos_ratio * found.sum(1))
        weights = self.model.box_coder.weights
        wanted = encode(objects.boxes_of(match, anchors), anchors, weights)
        away = functional.smooth_l1_loss(outputs["bbox_regression"], wanted, reduction="none")
        sums = (wrong.where(found, 0).sum() + hard, away.sum(-1).where(found, 0).sum())
        losses = zip(self.terms, sums, strict=True)
        count = found.sum()
        return Loss.weighted({name: Loss(total, count) for name, total in losses}, {})

    def _chosen(
        self, outputs: Outputs, anchors: list[Tensor], shapes: list[tuple[float, ...]]
    ) -> list[dict[str, Tensor]]:
        found: list[dict[str, Tensor]] = self.model.postprocess_detections(
            outputs, [torch.cat(anchors)] * len(shapes), shapes
        )
        return found


def hardest(losses: Tensor, eligible: Tensor, counts: Tensor) -> Tensor:
    """Return the sum of the ``counts`` (B,) largest eligible losses (B, N) of every image."""
    ranked = losses.where(eligible, -1).sort(1, descending=True).values
    rank = torch.arange(losses.shape[1], device=losses.device)
    wanted = (rank < counts[:, None]) & (ranked >= 0)
    return ranked.where(wanted, 0).sum()


def _canvas(images: Tensor) -> Grid:
    return images.shape[-2], images.shape[-1]
