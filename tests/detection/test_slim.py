"""The slim Faster R-CNN: small, with anchors that follow the canvas, and able to learn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torchvision.ops import box_iou

from rondel_detection.config import ModelConfig
from rondel_detection.data.batch import Predictions, Targets
from rondel_detection.demo.shapes import CLASSES, SIDE, draw_shapes
from rondel_detection.models.catalogue import make_detector
from rondel_detection.models.slim import make_fasterrcnn_slim, slim_anchors
from rondel_detection.models.two_stage import RegionDetector


def make(*, width: float = 1.0, side: int = SIDE) -> RegionDetector:
    torch.manual_seed(0)
    config = ModelConfig(name="fasterrcnn_slim", width=width)
    return make_fasterrcnn_slim(config, len(CLASSES), (side, side))


def shapes(count: int) -> tuple[Tensor, Targets]:
    """Return the first pictures of the embedded set."""
    pictures = [draw_shapes(seed) for seed in range(count)]
    boxes = torch.zeros(count, 5, 4)
    labels = torch.full((count, 5), -1)
    for row, picture in enumerate(pictures):
        boxes[row, : len(picture.boxes)] = torch.tensor(picture.boxes)
        labels[row, : len(picture.labels)] = torch.tensor(picture.labels)
    pixels = np.stack([picture.pixels for picture in pictures])
    targets = Targets(
        boxes=boxes,
        labels=labels,
        crowd=torch.zeros(count, 5, dtype=torch.bool),
        sizes=torch.full((count, 2), float(SIDE)),
        rows=torch.arange(count),
    )
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous(), targets


def test_it_has_less_than_a_million_parameters() -> None:
    assert 600_000 < sum(p.numel() for p in make().parameters()) < 900_000
    assert sum(p.numel() for p in make(width=0.5).parameters()) < 450_000


@pytest.mark.parametrize(
    ("canvas", "sizes"),
    [
        ((128, 128), (16, 32, 48)),
        ((320, 320), (40, 80, 120)),
        ((96, 256), (32, 64, 96)),
        ((32, 32), (4, 8, 12)),
    ],
)
def test_anchors_follow_the_longer_side_of_the_canvas(
    canvas: tuple[int, int], sizes: tuple[int, ...]
) -> None:
    generator = slim_anchors(canvas)
    assert generator.sizes == tuple((size,) for size in sizes)
    square = [cell[1] for cell in generator.cell_anchors]
    assert [float(x2 - x1) for x1, _, x2, _ in square] == list(sizes)


def test_it_proposes_and_samples_as_many_as_the_recipe_says() -> None:
    detector = make()
    model = detector.model
    images, targets = shapes(2)
    assert detector.propose(images, targets.sizes).shape == (2, 300, 4)
    assert detector.testing_limits.after == 100
    samplers = (model.rpn.fg_bg_sampler, model.roi_heads.fg_bg_sampler)
    assert [sampler.batch_size_per_image for sampler in samplers] == [64, 64]


def test_the_catalogue_makes_it_for_the_canvas() -> None:
    config = ModelConfig(name="fasterrcnn_slim")
    detector = make_detector(config, 3, (256, 256))
    assert isinstance(detector, RegionDetector)
    assert detector.model.rpn.anchor_generator.sizes == ((32,), (64,), (96,))


def found_share(found: Predictions, targets: Targets) -> float:
    """Return the share of objects that a detection of their class above 0.5 covers by half."""
    hits, total = 0, 0
    sure = found.scores > 0.5
    for row in range(len(targets.boxes)):
        own = sure & (found.image == row)
        for box, label in zip(targets.boxes[row], targets.labels[row], strict=True):
            if label >= 0:
                same = found.boxes[own & (found.labels == label)]
                total += 1
                hits += bool((box_iou(box[None], same) > 0.5).any())
    return hits / total


def test_it_learns_a_few_pictures_by_heart() -> None:
    detector = make()
    images, targets = shapes(4)
    optimizer = torch.optim.AdamW(detector.parameters(), lr=2e-3, fused=True)
    assert found_share(detector.eval().detect(images, targets.sizes), targets) == 0
    detector.train()
    for step in range(80):
        seeds = torch.arange(4) + 100 * step
        optimizer.zero_grad()
        torch.autograd.backward(detector.loss(images, targets, seeds).mean)
        torch.nn.utils.clip_grad_norm_(detector.parameters(), 5.0)
        optimizer.step()
    assert found_share(detector.eval().detect(images, targets.sizes), targets) > 0.8
