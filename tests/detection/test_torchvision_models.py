"""torchvision's detectors as the catalogue makes them: losses, detections, empty images, pieces."""

from __future__ import annotations

import copy
import functools
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchvision.ops import FrozenBatchNorm2d, sigmoid_focal_loss

from rondel import Loss, Run, RunConfig, UpdateConfig, counted
from rondel.errors import PluginError, UsageError
from rondel.settings import OptimizerConfig
from rondel_detection.config import ModelConfig
from rondel_detection.data.batch import Targets
from rondel_detection.models import catalogue
from rondel_detection.models.canvas import Normalise, halved
from rondel_detection.models.catalogue import DETECTORS, make_detector, maker
from rondel_detection.models.detector import Detector
from rondel_detection.models.focal import focal_sums
from rondel_detection.models.matching import (
    BACKGROUND,
    IGNORED,
    Objects,
    match_by_centre,
    match_by_overlap,
    match_every_object,
)
from rondel_detection.models.one_stage import DenseDetector
from rondel_detection.models.torchvision_backbone import group_norm

SIDE, CLASSES = 64, 3
DENSE = ["retinanet", "fcos", "ssdlite"]
OWN = ("ssdlite", "fasterrcnn_slim")
"""Models that have a backbone of their own."""
MODELS = [*DENSE, "fasterrcnn", "fasterrcnn_slim"]
Batch = tuple[Tensor, Targets, Tensor]


def make(name: str, **keys: Any) -> Detector:
    return copy.deepcopy(made(name, tuple(keys.items())))


@functools.cache
def made(name: str, keys: tuple[tuple[str, Any], ...]) -> Detector:
    """Return a detector; random weights take longer to draw than to copy."""
    torch.manual_seed(0)
    backbone = None if name in OWN else "mobilenet_v3_large"
    config = ModelConfig.model_validate({"name": name, "backbone": backbone, **dict(keys)})
    detector = make_detector(config, CLASSES, (SIDE, SIDE))
    if name == "fasterrcnn":
        detector.model.roi_heads.fg_bg_sampler.batch_size_per_image = 16  # type: ignore[union-attr]
    return detector


def batch(*, empty: int = 0, size: float = SIDE, side: int = SIDE) -> Batch:
    """Return 4 pictures of 3 boxes each; the last ``empty`` ones have none."""
    draw = torch.Generator().manual_seed(3)
    start = torch.rand(4, 3, 2, generator=draw) * 30
    boxes = torch.cat((start, start + 14 + torch.rand(4, 3, 2, generator=draw) * 20), -1)
    boxes *= side / SIDE
    labels = torch.randint(CLASSES, (4, 3), generator=draw)
    boxes[4 - empty :], labels[4 - empty :] = 0, -1
    images = torch.randint(256, (4, 3, side, side), generator=draw, dtype=torch.uint8)
    targets = Targets(
        boxes=boxes,
        labels=labels,
        crowd=torch.zeros(4, 3, dtype=torch.bool),
        sizes=torch.full((4, 2), size),
        rows=torch.arange(4),
    )
    return images, targets, torch.randint(2**62, (4,), generator=draw)


def theirs(detector: DenseDetector, side: int = SIDE) -> Any:
    """Return torchvision's model, told to leave the size of pictures alone."""
    transform = detector.model.transform
    transform.min_size, transform.max_size = (side,), side
    transform.fixed_size = (side, side) if transform.fixed_size else None
    return detector.model


def described(targets: Targets, background: int) -> list[dict[str, Tensor]]:
    """Return targets as torchvision takes them, without the padding."""
    return [
        {"boxes": boxes[labels >= 0], "labels": labels[labels >= 0] + background}
        for boxes, labels in zip(targets.boxes, targets.labels, strict=True)
    ]


def dense(name: str) -> DenseDetector:
    detector = make(name)
    assert isinstance(detector, DenseDetector)
    return detector


def losses_of_both(
    detector: DenseDetector, given: Batch
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return the losses of ours and of torchvision's own forward pass, under its names."""
    images, targets, seeds = given
    names = {"class": "classification", "box": "bbox_regression", "centre": "bbox_ctrness"}
    loss = detector.loss(images, targets, seeds)
    terms = [(name, term.mean) for name, _, term in loss.terms]
    terms = terms or [(name, total / loss.count) for name, total in (loss.parts or {}).items()]
    model = theirs(detector, images.shape[-1]).train()
    model.transform.image_mean, model.transform.image_std = [0.0] * 3, [1.0] * 3
    pictures = list(detector.normalise(images))
    wanted = model(pictures, described(targets, detector.background))
    return {names[name]: value for name, value in terms}, wanted


@pytest.mark.parametrize("empty", [0, 1])
@pytest.mark.parametrize("name", DENSE)
def test_the_loss_is_that_of_torchvision(name: str, empty: int) -> None:
    ours, wanted = losses_of_both(dense(name), batch(empty=empty))
    assert all(value > 0.01 for value in wanted.values())
    torch.testing.assert_close(ours, wanted, rtol=1e-5, atol=0)


@pytest.mark.parametrize("name", DENSE)
def test_the_gradient_is_that_of_torchvision(name: str) -> None:
    detector, (images, targets, seeds) = dense(name).double(), batch(empty=1, side=32)
    exact = targets._replace(boxes=targets.boxes.double())
    parameters = list(detector.parameters())
    ours, wanted = (
        torch.autograd.grad(torch.stack(list(losses.values())).sum(), parameters)
        for losses in losses_of_both(detector, (images, exact, seeds))
    )
    torch.testing.assert_close(ours, wanted, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", DENSE)
def test_detections_are_those_of_torchvision(name: str) -> None:
    detector, (images, targets, _) = dense(name), batch()
    with torch.no_grad():  # a trained head is sure of something; this one has to be made so
        for layer, values in detector.model.head.named_parameters():
            if layer.startswith("classification_head") and values.ndim == 1:
                values.add_(torch.linspace(-2, 6, len(values)))
            elif layer.endswith("bbox_reg.bias") and name == "fcos":
                values.add_(1)  # boxes without an area are none of ours
    pictures = [image / 255 for image in images]
    wanted = theirs(detector).eval()(pictures)
    found = detector.eval().detect(images, targets.sizes)
    assert sum(len(own["scores"]) for own in wanted) == len(found.scores) > 20
    for row, own in enumerate(wanted):
        part = found.of(row)
        torch.testing.assert_close(part.boxes, own["boxes"], rtol=1e-4, atol=1e-3)
        torch.testing.assert_close(part.scores, own["scores"], rtol=1e-4, atol=1e-5)
        assert part.labels.tolist() == (own["labels"] - detector.background).tolist()
        assert (part.scores.diff() <= 0).all()


@pytest.mark.parametrize("name", MODELS)
def test_detections_follow_the_config_and_the_picture(name: str) -> None:
    detector = make(name, score_threshold=0.01, max_detections=7).eval()
    images, targets, _ = batch(size=40.0)
    found = detector.detect(images, targets.sizes)
    assert found.image.bincount(minlength=4).max() <= 7
    assert (found.scores > 0.01).all()
    assert ((found.labels >= 0) & (found.labels < CLASSES)).all()
    assert len(found.boxes) == 0 or found.boxes.max() <= 40
    assert found.boxes.dtype == found.scores.dtype == torch.float32


@pytest.mark.parametrize("empty", [1, 4])
@pytest.mark.parametrize("name", MODELS)
def test_images_without_boxes_are_valid(name: str, empty: int) -> None:
    detector, (images, targets, seeds) = make(name), batch(empty=empty)
    loss = detector.loss(images, targets, seeds).mean
    torch.autograd.backward(loss)
    assert torch.isfinite(loss)
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in detector.parameters())
    if empty == 4:
        none = targets._replace(
            boxes=targets.boxes[:, :0], labels=targets.labels[:, :0], crowd=targets.crowd[:, :0]
        )
        torch.testing.assert_close(detector.loss(images, none, seeds).mean, loss)


def gradient_of(name: str, directory: Path, pieces: int) -> list[Tensor]:
    detector = make(name).double()

    def loss(images: Tensor, targets: Targets, seeds: Tensor) -> Loss:
        return detector.loss(images, targets, seeds)

    given = batch(empty=1, side=32)  # in float64 larger ones take long
    if detector.counts(*given) is not None:
        loss = counted(lambda *inputs: detector.counts(*inputs) or {})(loss)
    settings = UpdateConfig(optimizer=OptimizerConfig(name="sgd", lr=1e-12), micro_batches=pieces)
    with Run(directory, settings=RunConfig(device="cpu")) as run:
        run.update("detector", detector, settings)(loss, *given)
    return [p.grad.clone() for p in detector.parameters() if p.grad is not None]


# the wide box head of the full two-stage model takes long; test_two_stage.py has a narrow one
@pytest.mark.parametrize("name", [*DENSE, "fasterrcnn_slim"])
def test_pieces_of_a_batch_give_the_gradient_of_the_whole(name: str, tmp_path: Path) -> None:
    whole, *others = (gradient_of(name, tmp_path / str(k), k) for k in (1, 2, 4))
    assert max(g.abs().max().item() for g in whole) > 1e-3
    for other in others:
        torch.testing.assert_close(other, whole, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("name", MODELS)
def test_the_loss_draws_from_no_generator_and_only_samplers_look_at_seeds(name: str) -> None:
    detector, (images, targets, seeds) = make(name), batch()
    state = torch.get_rng_state()
    first = detector.loss(images, targets, seeds).mean
    assert torch.equal(torch.get_rng_state(), state)
    other = detector.loss(images, targets, seeds + 1).mean
    assert (first.item() == other.item()) == (name in DENSE)


@pytest.mark.parametrize(
    ("name", "allowed"),
    # suppression of each of 4 images, and the number of regions
    [("retinanet", 0), ("fcos", 0), ("ssdlite", 0), ("fasterrcnn_slim", 5)],
)
def test_the_loss_waits_for_the_device_only_where_a_number_of_boxes_is_unknown(
    name: str, allowed: int
) -> None:
    detector, given = make(name), batch()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profiled:
        detector.loss(*given)
    waiting = ("aten::_local_scalar_dense", "aten::nonzero", "aten::_unique2", "torchvision::nms")
    assert sum(event.name in waiting for event in profiled.events()) == allowed


@pytest.mark.parametrize("name", MODELS)
def test_the_stages_are_the_whole_detector_from_head_to_input(name: str) -> None:
    detector = make(name)
    stages = detector.stages()
    for parameter, _ in detector.named_parameters():
        assert sum(parameter.startswith(stage) for stage in stages) == 1, parameter
    assert any("head" in prefix for prefix in stages[0])
    assert len(stages) >= 4
    first = next(n for n, _ in detector.named_parameters() if "backbone" in n and "fpn" not in n)
    assert first.startswith(stages[-1])


@pytest.mark.parametrize("name", MODELS)
def test_no_layer_looks_at_the_rest_of_the_batch(name: str) -> None:
    detector = make(name)
    kinds = {type(module).__name__ for module in detector.modules()}
    assert "GroupNorm" in kinds
    assert not any("BatchNorm" in kind for kind in kinds)


def test_weights_of_a_file_keep_their_statistics_and_a_bundle_is_ours() -> None:
    def frozen(**keys: Any) -> bool:
        detector = make("retinanet", **keys)
        return any(isinstance(module, FrozenBatchNorm2d) for module in detector.modules())

    assert frozen(weights="resnet18.safetensors")
    assert frozen(weights="hub:resnet18")
    assert frozen(norm="frozen")
    assert not frozen(weights="runs/old/bundle")
    assert not frozen(weights="mine.safetensors", norm="group")


@pytest.mark.parametrize("channels", [8, 16, 24, 40, 72, 184, 256, 960, 2048, 7])
def test_groups_have_at_least_eight_channels(channels: int) -> None:
    norm = group_norm(channels)
    assert norm.num_groups <= 32
    assert channels // norm.num_groups >= min(8, channels)


@pytest.mark.parametrize("name", MODELS)
def test_bfloat16_gives_nearly_the_same_loss(name: str) -> None:
    detector, given = make(name), batch()
    exact = detector.loss(*given).mean
    with torch.autocast("cpu", torch.bfloat16):
        rounded = detector.loss(*given).mean
    torch.autograd.backward(rounded)
    assert rounded.item() == pytest.approx(exact.item(), rel=0.05)


@pytest.mark.parametrize("name", DENSE)
@pytest.mark.parametrize("canvas", [(64, 64), (96, 160)])
def test_grids_are_known_without_a_look_at_the_features(name: str, canvas: tuple[int, int]) -> None:
    detector = dense(name)
    features = detector.model.backbone(torch.zeros(1, 3, *canvas))
    found = [tuple(level.shape[-2:]) for level in features.values()]
    assert found == [halved(canvas, times) for times in detector.halvings]


def test_pictures_are_normalised_as_torchvision_does() -> None:
    images, _, _ = batch()
    mean, deviation = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    columns = (torch.tensor(values)[:, None, None] for values in (mean, deviation))
    shift, scale = columns
    normalise = Normalise(mean, deviation)
    torch.testing.assert_close(normalise(images), (images / 255 - shift) / scale)
    assert normalise.state_dict() == {}
    assert normalise.double()(images).dtype == torch.float64


def test_the_focal_loss_is_that_of_torchvision() -> None:
    draw = torch.Generator().manual_seed(0)
    logits = (torch.randn(2, 50, 4, generator=draw) * 6).requires_grad_()
    labels = torch.randint(-1, 4, (2, 50), generator=draw)
    counted_ = torch.rand(2, 50, generator=draw) < 0.8
    wanted = torch.zeros_like(logits).detach()
    wanted.scatter_(2, labels.clamp(min=0)[..., None], (labels >= 0).float()[..., None])
    sums = (sigmoid_focal_loss(logits, wanted) * counted_[..., None]).sum((1, 2))
    found = focal_sums(logits, labels, counted_)
    torch.testing.assert_close(found, sums)
    gradients = (torch.autograd.grad(total.sum(), logits)[0] for total in (found, sums))
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-6)


def objects(boxes: list[list[float]], crowd: list[bool]) -> Objects:
    count = len(boxes)
    none = torch.zeros(1, 2)
    targets = Targets(
        torch.tensor([boxes]), torch.arange(count)[None], torch.tensor([crowd]), none, none.long()
    )
    return Objects.of(targets, torch.float32)


CELLS = torch.tensor([[0.0, 0, 8, 8], [8, 0, 16, 8], [40, 40, 48, 48], [0, 0, 12, 8]])


def test_anchors_inside_a_crowd_are_ignored_by_every_rule() -> None:
    given = objects([[0.0, 0, 8, 8], [8, 0, 18, 10]], [False, True])
    by_overlap = match_by_overlap(given, CELLS, high=0.5, low=0.4, reach=True)
    assert by_overlap.tolist() == [[0, IGNORED, BACKGROUND, 0]]
    every = match_every_object(given, CELLS, high=0.5)
    assert every.tolist() == [[0, IGNORED, BACKGROUND, 0]]
    centre = match_by_centre(given, CELLS, (4,), radius=1.5)
    assert centre.tolist() == [[0, IGNORED, BACKGROUND, 0]]


@pytest.mark.parametrize("name", DENSE)
def test_a_crowd_takes_its_anchors_out_of_the_loss(name: str) -> None:
    detector, (images, targets, _) = dense(name), batch()
    crowd = targets.crowd.clone()
    crowd[:, 0] = True
    boxes = targets.boxes.clone()
    boxes[:, 0] = torch.tensor([0.0, 0.0, SIDE, SIDE])
    crowded = targets._replace(boxes=boxes, crowd=crowd)
    anchors = detector.anchors((SIDE, SIDE))
    match = detector.match(Objects.of(crowded, torch.float32), anchors)
    assert (match == IGNORED).float().mean() > 0.5
    seeds = torch.zeros(4, dtype=torch.int64)
    assert torch.isfinite(detector.loss(images, crowded, seeds).mean)


def test_boxes_without_an_area_are_no_objects() -> None:
    given = objects([[4.0, 4, 4, 9], [0, 0, 8, 8]], [False, False])
    assert given.present.tolist() == [[False, True]]
    match = match_by_overlap(given, CELLS, high=0.5, low=0.4, reach=True)
    assert match.tolist() == [[1, BACKGROUND, BACKGROUND, 1]]


def test_an_object_that_no_anchor_overlaps_claims_none() -> None:
    given = objects([[100.0, 100, 108, 108]], [False])
    match = match_by_overlap(given, CELLS, high=0.5, low=0.4, reach=True)
    assert (match == BACKGROUND).all()
    assert (match_every_object(given, CELLS, high=0.5) == BACKGROUND).all()


def test_two_objects_with_one_best_anchor_leave_it_to_the_last() -> None:
    given = objects([[0.0, 0, 2, 2], [0, 0, 3, 3]], [False, False])
    assert match_every_object(given, CELLS, high=0.9)[0, 0] == 1


def test_unknown_names_are_answered_with_the_nearest() -> None:
    with pytest.raises(UsageError) as error:
        maker("retinnet")
    assert str(error.value) == (
        "model.name: there is no detector 'retinnet'. Did you mean 'retinanet'?"
    )
    with pytest.raises(UsageError) as error:
        maker("zzz")
    assert str(error.value).endswith(f"Known are {', '.join(DETECTORS)}.")
    with pytest.raises(UsageError) as error:
        make("fcos", backbone="resnet51")
    assert str(error.value) == (
        "model.backbone: there is no backbone 'resnet51'. Did you mean 'resnet50'?"
    )


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(catalogue.DETECTORS, "detr", "no_such_library.models:make")
    with pytest.raises(PluginError) as error:
        make("detr")
    assert str(error.value) == (
        "model.name: detector 'detr' needs 'no_such_library', which is not installed. "
        "Install rondel-detection[transformers], or choose another detector."
    )


def test_every_name_of_the_config_has_a_maker() -> None:
    names = ModelConfig.model_json_schema()["properties"]["name"]["enum"]
    assert sorted(names) == sorted(DETECTORS)


@pytest.mark.parametrize("name", ["fasterrcnn", "maskrcnn", "retinanet", "fcos"])
@pytest.mark.parametrize("backbone", ["resnet18", "mobilenet_v3_large"])
def test_every_backbone_makes_features_of_one_width(name: str, backbone: str) -> None:
    model: nn.Module = make(name, backbone=backbone).model  # type: ignore[assignment]
    features = model.backbone(torch.zeros(1, 3, SIDE, SIDE))  # type: ignore[operator]
    assert {level.shape[1] for level in features.values()} == {256}
    assert len(features) == (
        3 if (name, backbone)[1] == "mobilenet_v3_large" and "rcnn" in name else 5
    )
