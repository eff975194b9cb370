"""Two-stage detectors: the loss of torchvision on the same samples, parts, proposals, pieces.

Letters: B images, P proposals.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torchvision.models.detection import FasterRCNN, MaskRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.ops import MultiScaleRoIAlign

from rondel import Run, RunConfig, UpdateConfig
from rondel.errors import UsageError
from rondel.settings import OptimizerConfig
from rondel_detection.data.batch import Targets
from rondel_detection.models.matching import IGNORED, Objects, match_by_overlap
from rondel_detection.models.pyramid import Maps, Pyramid
from rondel_detection.models.sampling import (
    PROPOSAL_STREAM,
    REGION_STREAM,
    draw_sample,
)
from rondel_detection.models.tiny_fpn import TinyFpn
from rondel_detection.models.two_stage import RegionDetector

SIDE, CLASSES, PROPOSALS, SAMPLES = 64, 3, 24, 16
NAMES = ["8", "16", "32"]
Batch = tuple[Tensor, Targets, Tensor]


def make(*, masks: bool = False) -> RegionDetector:
    """Return a detector small enough that every image has full samples."""
    torch.manual_seed(0)
    backbone = TinyFpn(0.5)
    width = backbone.out_channels
    sizes: dict[str, Any] = {
        "rpn_anchor_generator": AnchorGenerator(((8,), (16,), (32,)), ((0.5, 1.0, 2.0),) * 3),
        "rpn_post_nms_top_n_train": PROPOSALS,
        "rpn_post_nms_top_n_test": PROPOSALS,
        "rpn_batch_size_per_image": SAMPLES,
        "rpn_positive_fraction": 0.25,
        "rpn_fg_iou_thresh": 0.5,
        "box_roi_pool": MultiScaleRoIAlign(NAMES, 3, 2, canonical_scale=48),
        "box_head": TwoMLPHead(width * 9, 16),
        "box_predictor": FastRCNNPredictor(16, CLASSES + 1),
        "box_batch_size_per_image": SAMPLES,
        "box_positive_fraction": 0.25,
        "box_score_thresh": 0.1,
    }
    if not masks:
        return RegionDetector(FasterRCNN(backbone, **sizes), CLASSES)
    model = MaskRCNN(
        backbone,
        mask_roi_pool=MultiScaleRoIAlign(NAMES, 6, 2, canonical_scale=48),
        mask_head=MaskRCNNHeads(width, (8,), 1),
        mask_predictor=MaskRCNNPredictor(8, 8, CLASSES + 1),
        **sizes,
    )
    return RegionDetector(model, CLASSES)


def batch(*, masks: bool = False, empty: int = 0) -> Batch:
    """Return 4 pictures of 4 boxes each; the last ``empty`` ones have none."""
    draw = torch.Generator().manual_seed(3)
    start = torch.rand(4, 4, 2, generator=draw) * 40
    boxes = torch.cat((start, start + 6 + torch.rand(4, 4, 2, generator=draw) * 16), -1)
    labels = torch.randint(CLASSES, (4, 4), generator=draw)
    boxes[4 - empty :], labels[4 - empty :] = 0, -1
    drawn = None
    if masks:
        place = torch.arange(SIDE)
        left, top, right, bottom = boxes[..., None].unbind(-2)
        across, down = (place >= left) & (place < right), (place >= top) & (place < bottom)
        drawn = down[..., :, None] & across[..., None, :]
        drawn[..., ::2, :] = False  # not just the box again
    images = torch.randint(256, (4, 3, SIDE, SIDE), generator=draw, dtype=torch.uint8)
    targets = Targets(
        boxes=boxes,
        labels=labels,
        crowd=torch.zeros(4, 4, dtype=torch.bool),
        sizes=torch.full((4, 2), float(SIDE)),
        rows=torch.arange(4),
        masks=drawn,
    )
    return images, targets, torch.randint(2**62, (4,), generator=draw)


class Keyed:
    """Our samples in the place of torchvision's sampler."""

    def __init__(self, seeds: Tensor, stream: int) -> None:
        self.seeds, self.stream = seeds, stream
        self.count, self.most = SAMPLES, SAMPLES // 4

    def __call__(self, labels: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        kinds = torch.stack(labels)
        sample = draw_sample(
            kinds >= 1,
            kinds == 0,
            self.seeds,
            stream=self.stream,
            count=self.count,
            most=self.most,
        )
        assert sample.taken.all(), "the comparison needs full samples"
        chosen = torch.zeros_like(kinds, dtype=torch.bool).scatter(1, sample.rows, sample.taken)
        return list(chosen & (kinds >= 1)), list(chosen & (kinds == 0))


def described(targets: Targets) -> list[dict[str, Tensor]]:
    """Return targets as torchvision takes them."""
    rows = [
        {"boxes": boxes, "labels": labels + 1}
        for boxes, labels in zip(targets.boxes, targets.labels, strict=True)
    ]
    if targets.masks is not None:
        for target, masks in zip(rows, targets.masks, strict=True):
            target["masks"] = masks.byte()
    return rows


def reference(detector: RegionDetector, given: Batch) -> dict[str, Tensor]:
    """Return torchvision's losses for the same samples."""
    images, targets, seeds = given
    model = detector.model.train()
    model.rpn.fg_bg_sampler = Keyed(seeds, PROPOSAL_STREAM)
    model.roi_heads.fg_bg_sampler = Keyed(seeds, REGION_STREAM)
    mean, std = (
        torch.tensor(values)[:, None, None]
        for values in (model.transform.image_mean, model.transform.image_std)
    )
    sizes = [(SIDE, SIDE)] * len(images)
    pixels = ImageList((images / 255 - mean) / std, sizes)
    features = model.backbone(pixels.tensors)
    proposals, losses = model.rpn(pixels, features, described(targets))
    assert all(len(own) == PROPOSALS for own in proposals)
    _, judged = model.roi_heads(features, proposals, sizes, described(targets))
    return {**losses, **judged}


NAMED = {
    "objectness": "loss_objectness",
    "proposal_box": "loss_rpn_box_reg",
    "class": "loss_classifier",
    "box": "loss_box_reg",
    "mask": "loss_mask",
}


@pytest.mark.parametrize("masks", [False, True])
def test_the_loss_and_its_gradient_are_those_of_torchvision_on_the_same_samples(
    masks: bool,
) -> None:
    detector, given = make(masks=masks), batch(masks=masks)
    samplers = (detector.model.rpn.fg_bg_sampler, detector.model.roi_heads.fg_bg_sampler)
    theirs = reference(detector, given)
    detector.model.rpn.fg_bg_sampler, detector.model.roi_heads.fg_bg_sampler = samplers
    parameters = list(detector.parameters())
    wanted = torch.autograd.grad(torch.stack(list(theirs.values())).sum(), parameters)
    loss = detector.loss(*given)
    parts = {NAMED[name]: total / count for name, (total, count) in loss.part_sums().items()}
    torch.testing.assert_close(parts, {k: v.detach() for k, v in theirs.items()}, rtol=1e-5, atol=0)
    found = torch.autograd.grad(loss.mean, parameters)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-6)


def test_the_comparison_with_torchvision_would_notice_other_samples() -> None:
    detector, (images, targets, seeds) = make(), batch()
    same = detector.loss(images, targets, seeds)
    other = detector.loss(images, targets, seeds + 1)
    for name, (total, _) in same.part_sums().items():
        assert abs(total - other.part_sums()[name][0]) > 1e-4 * total, name


def test_proposals_and_detections_are_those_of_torchvision() -> None:
    detector = make().eval()
    with torch.no_grad():  # a trained head is sure of something; this one has to be made so
        detector.model.roi_heads.box_predictor.cls_score.weight.mul_(40)
    images, targets, _ = batch()
    theirs = detector.model.eval()([image / 255 for image in resized_never(detector, images)])
    ours = detector.detect(images, targets.sizes)
    assert sum(len(own["scores"]) for own in theirs) == len(ours.scores) > 20
    for row, own in enumerate(theirs):
        part = ours.of(row)
        torch.testing.assert_close(part.boxes, own["boxes"], rtol=1e-4, atol=1e-3)
        torch.testing.assert_close(part.scores, own["scores"], rtol=1e-4, atol=1e-5)
        assert part.labels.tolist() == (own["labels"] - 1).tolist()


def resized_never(detector: RegionDetector, images: Tensor) -> list[Tensor]:
    """Return pictures as a list, after telling torchvision to leave their size alone."""
    transform = detector.model.transform
    transform.min_size, transform.max_size = (SIDE,), SIDE
    return list(images)


def test_masks_are_those_of_torchvision() -> None:
    detector = make(masks=True).eval()
    with torch.no_grad():
        detector.model.roi_heads.box_predictor.cls_score.weight.mul_(40)
        detector.model.roi_heads.mask_predictor.mask_fcn_logits.weight.mul_(40)
    images, targets, _ = batch(masks=True)
    theirs = detector.model([image / 255 for image in resized_never(detector, images)])
    ours = detector.detect(images, targets.sizes)
    assert ours.masks is not None
    wanted = torch.cat([own["masks"][:, 0] > 0.5 for own in theirs])
    assert ours.masks.shape == wanted.shape
    assert (ours.masks != wanted).float().mean() < 1e-3
    assert 0.001 < wanted.float().mean() < 0.5


def test_boxes_stay_inside_of_pictures_smaller_than_the_canvas() -> None:
    detector = make().eval()
    images, targets, _ = batch()
    sizes = targets.sizes.clone()
    sizes[0] = torch.tensor([20.0, 30.0])
    found = detector.detect(images, sizes).of(0).boxes
    assert len(found)
    assert (found[:, 2] <= 30).all()
    assert (found[:, 3] <= 20).all()
    proposals = detector.propose(images, sizes)[0]
    assert proposals[:, 2].max() <= 30
    assert proposals[:, 3].max() <= 20


def test_a_picture_much_smaller_than_the_canvas_is_cut_at_the_right_scale() -> None:
    """torchvision guesses the scale of a map from the pictures, and here would guess double."""
    detector = make()
    pooler = detector.model.roi_heads.box_roi_pool
    level = torch.arange(64.0).reshape(1, 1, 8, 8)
    pyramid = Pyramid(Maps({"8": level}, (SIDE, SIDE)), pooler)
    box = torch.tensor([[16.0, 16.0, 40.0, 40.0]])
    cut = pyramid.cut(box, torch.tensor([0]))
    centre = 8 * 3.0 + 3.0  # pixel (28, 28) of 64 is (3.5, 3.5) of 8, without half a pixel's shift
    torch.testing.assert_close(cut[0, 0, 1, 1].item(), centre + 0.5 * 9)


def test_regions_are_cut_as_torchvision_does_from_the_level_of_their_size() -> None:
    detector, (images, targets, _) = make(), batch()
    features = detector.model.backbone(detector.normalise(images))
    boxes = targets.boxes.flatten(0, 1)
    boxes[0] = torch.tensor([0.0, 0.0, 60.0, 60.0])
    image = torch.arange(4).repeat_interleave(4)
    pooler = detector.model.roi_heads.box_roi_pool
    pyramid = Pyramid(Maps(features, (SIDE, SIDE)), pooler)
    assert len(pyramid.levels_of(boxes).bincount()) > 1
    wanted = pooler(features, list(boxes.view(4, 4, 4)), [(SIDE, SIDE)] * 4)
    torch.testing.assert_close(pyramid.cut(boxes, image), wanted)


def test_proposals_are_those_of_torchvision_padded_with_zeros() -> None:
    model, (images, targets, _) = make().model, batch()
    model.rpn.nms_thresh = 0.3
    model.rpn._post_nms_top_n = {"training": 100, "testing": 50}
    detector = RegionDetector(model, CLASSES)
    proposals = detector.propose(images, targets.sizes)
    assert proposals.shape == (4, 100, 4)
    assert not proposals.requires_grad
    pixels = ImageList(detector.normalise(images), [(SIDE, SIDE)] * 4)
    wanted, _ = model.rpn.train()(pixels, model.backbone(pixels.tensors), described(targets))
    assert min(len(own) for own in wanted) < 100
    for own, found in zip(wanted, proposals, strict=True):
        torch.testing.assert_close(found[: len(own)], own)
        assert not found[len(own) :].any()


def test_the_whole_loss_is_that_of_both_networks_on_the_present_proposals() -> None:
    detector, (images, targets, seeds) = make(), batch()
    whole = detector.loss(images, targets, seeds).mean
    cached = targets._replace(proposals=detector.propose(images, targets.sizes))
    parts = (
        detector.proposal_loss(images, targets, seeds).mean,
        detector.region_loss(images, cached, seeds).mean,
    )
    torch.testing.assert_close(whole, sum(parts))


def test_each_loss_trains_its_own_head_and_the_backbone() -> None:
    detector, (images, targets, seeds) = make(), batch()
    cached = targets._replace(proposals=detector.propose(images, targets.sizes))
    losses = {
        "rpn": detector.proposal_loss(images, targets, seeds),
        "roi": detector.region_loss(images, cached, seeds),
    }
    for name, loss in losses.items():
        detector.zero_grad()
        torch.autograd.backward(loss.mean)
        moved = {
            part
            for part, module in detector.parts.items()
            if any(p.grad is not None and p.grad.abs().max() > 0 for p in module.parameters())
        }
        assert moved == {"backbone", name}


def test_the_parts_are_the_whole_detector() -> None:
    detector = make()
    parts = [id(p) for module in detector.parts.values() for p in module.parameters()]
    assert sorted(parts) == sorted(id(p) for p in detector.parameters())
    assert set(detector.parts) == {"backbone", "rpn", "roi"}


def test_region_loss_without_proposals_says_where_they_come_from() -> None:
    detector, given = make(), batch()
    with pytest.raises(UsageError) as error:
        detector.region_loss(*given)
    assert str(error.value) == (
        "the region loss needs targets.proposals. Compute them once with "
        "detector.propose(images, sizes), or use loss()."
    )


def test_mask_rcnn_without_masks_says_what_to_do() -> None:
    detector, given = make(masks=True), batch()
    with pytest.raises(UsageError) as error:
        detector.loss(*given)
    assert str(error.value) == (
        "Mask R-CNN needs masks, and the targets have none. Use labels with polygons or masks, "
        "or model.name=fasterrcnn."
    )


@pytest.mark.parametrize("masks", [False, True])
@pytest.mark.parametrize("empty", [1, 4])
def test_images_without_boxes_are_valid(masks: bool, empty: int) -> None:
    detector, (images, targets, seeds) = make(masks=masks), batch(masks=masks, empty=empty)
    loss = detector.loss(images, targets, seeds).mean
    torch.autograd.backward(loss)
    assert torch.isfinite(loss)
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in detector.parameters())
    if empty == 4:
        none = targets._replace(
            boxes=targets.boxes[:, :0],
            labels=targets.labels[:, :0],
            crowd=targets.crowd[:, :0],
            masks=None if targets.masks is None else targets.masks[:, :0],
        )
        torch.testing.assert_close(detector.loss(images, none, seeds).mean, loss)


def test_no_candidate_at_all_gives_a_loss_of_zero_with_a_graph() -> None:
    detector, (images, targets, seeds) = make(), batch(empty=4)
    nothing = targets._replace(proposals=torch.zeros(4, PROPOSALS, 4))
    loss = detector.region_loss(images, nothing, seeds).mean
    torch.autograd.backward(loss)
    assert loss.item() == 0


def gradient(directory: Path, pieces: int, *, masks: bool) -> list[Tensor]:
    detector = make(masks=masks).double()
    settings = UpdateConfig(optimizer=OptimizerConfig(name="sgd", lr=1e-12), micro_batches=pieces)
    with Run(directory, settings=RunConfig(device="cpu")) as run:
        run.update("detector", detector, settings)(detector.loss, *batch(masks=masks, empty=1))
    return [p.grad.clone() for p in detector.parameters() if p.grad is not None]


@pytest.mark.parametrize("masks", [False, True])
def test_pieces_of_a_batch_give_the_gradient_of_the_whole(masks: bool, tmp_path: Path) -> None:
    whole, *others = (gradient(tmp_path / str(k), k, masks=masks) for k in (1, 2, 4))
    assert max(g.abs().max().item() for g in whole) > 1e-3
    for other in others:
        torch.testing.assert_close(other, whole, rtol=1e-6, atol=1e-12)


def test_proposals_inside_a_crowd_are_neither_objects_nor_background() -> None:
    _, targets, _ = batch()
    crowd = targets.crowd.clone()
    crowd[0, 0] = True
    boxes = targets.boxes.clone()
    boxes[0, 0] = torch.tensor([0.0, 0.0, 40.0, 64.0])
    objects = Objects.of(targets._replace(boxes=boxes, crowd=crowd), torch.float32)
    inside, across, beside = [2.0, 2.0, 30.0, 30.0], [30.0, 0.0, 60.0, 20.0], [44.0, 0.0, 60.0, 9.0]
    match = match_by_overlap(objects, torch.tensor([inside, across, beside]), high=0.5, low=0.5)
    assert match[0, 0] == IGNORED
    assert (match[0, 1:] != IGNORED).all()
    assert (match[1:] != IGNORED).all()


def test_a_sample_depends_on_the_image_alone() -> None:
    positive = torch.rand(5, 200, generator=torch.Generator().manual_seed(0)) < 0.2
    seeds = torch.arange(5) * 1000 + 7
    whole = draw_sample(positive, ~positive, seeds, stream=1, count=32, most=8)
    for row in range(5):
        own = slice(row, row + 1)
        alone = draw_sample(positive[own], ~positive[own], seeds[own], stream=1, count=32, most=8)
        assert alone.rows[0].tolist() == whole.rows[row].tolist()
    assert (positive.gather(1, whole.rows).sum(1) == 8).all()
    assert whole.taken.all()


def test_a_sample_of_too_few_says_so() -> None:
    positive = torch.zeros(2, 10, dtype=torch.bool)
    negative = torch.zeros(2, 10, dtype=torch.bool)
    positive[0, :2], negative[0, 5:9] = True, True
    sample = draw_sample(positive, negative, torch.tensor([1, 2]), stream=1, count=8, most=4)
    assert sample.taken.sum(1).tolist() == [6, 0]
    assert set(sample.rows[0, :6].tolist()) == {0, 1, 5, 6, 7, 8}
    assert set(sample.rows[0, :2].tolist()) == {0, 1}
    torch.testing.assert_close(sample.weight.sum(1), torch.tensor([1.0, 0.0]))


def test_every_candidate_is_drawn_as_often() -> None:
    everything = torch.ones(4000, 20, dtype=torch.bool)
    nothing = torch.zeros_like(everything)
    drawn = draw_sample(nothing, everything, torch.arange(4000), stream=2, count=5, most=2)
    counts = drawn.rows.flatten().bincount(minlength=20)
    # 1000 are expected of each, with a deviation of 27
    assert counts.min() > 880
    assert counts.max() < 1120
