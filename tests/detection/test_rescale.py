"""Multi-scale training: whole batches at another size."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from rondel_detection.data.batch import Targets
from rondel_detection.data.rescale import interpolated, nearest, rescale


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def batch(height: int = 96, width: int = 128) -> tuple[torch.Tensor, Targets]:
    """Return two pictures, each with one white box and a padded row."""
    images = torch.full((2, 3, height, width), 30, dtype=torch.uint8)
    boxes = torch.zeros(2, 2, 4)
    boxes[:, 0] = torch.tensor([[8.0, 16, 40, 64], [64, 32, width, height]])
    masks = torch.zeros(2, 2, height, width, dtype=torch.bool)
    for row, (x1, y1, x2, y2) in enumerate(boxes[:, 0].int().tolist()):
        images[row, :, y1:y2, x1:x2] = 255
        masks[row, 0, y1:y2, x1:x2] = True
    targets = Targets(
        boxes=boxes,
        labels=torch.tensor([[0, -1], [1, -1]]),
        crowd=torch.zeros(2, 2, dtype=torch.bool),
        sizes=torch.tensor([[height, width], [height / 2, width]]),
        rows=torch.tensor([5, 6]),
        proposals=torch.cat([boxes, torch.zeros(2, 3, 4)], 1),
        masks=masks,
    )
    return images, targets


def test_a_scale_of_one_returns_the_inputs_untouched() -> None:
    images, targets = batch()
    made = rescale(images, targets, 1.0, 32)
    assert made[0] is images
    assert made[1] is targets


@pytest.mark.parametrize("scale", [0.5, 0.75, 1.25, 1.5])
def test_boxes_masks_and_proposals_stay_on_their_objects(scale: float) -> None:
    images, targets = batch()
    made, scaled = rescale(images, targets, scale, 16)
    assert made.dtype == torch.uint8
    height, width = made.shape[-2:]
    assert (height, width) == (round(96 * scale / 16) * 16, 128 * scale)
    for row in range(2):
        found = torch.nonzero(made[row, 0] > 142)
        low, high = found.min(0).values, found.max(0).values + 1
        expected = torch.tensor([low[1], low[0], high[1], high[0]])
        assert (scaled.boxes[row, 0] - expected).abs().max() <= 1
        assert scaled.masks is not None
        assert ((made[row, 0] > 142) != scaled.masks[row, 0]).sum() <= width + height
        assert not scaled.masks[row, 1].any()
    assert (scaled.boxes[:, 1] == 0).all()
    assert scaled.proposals is not None
    assert torch.equal(scaled.proposals[:, :2], scaled.boxes)
    assert (scaled.proposals[:, 2:] == 0).all()
    assert torch.equal(scaled.labels, targets.labels)
    assert torch.equal(scaled.rows, targets.rows)


def test_sides_become_multiples_of_the_stride_and_edges_stay_edges() -> None:
    for height, width in ((416, 640), (480, 640), (96, 160), (352, 608)):
        images, targets = batch(height, width)
        for step in range(10, 31):
            made, scaled = rescale(images, targets, step / 20, 32)
            tall, wide = made.shape[-2:]
            assert tall % 32 == wide % 32 == 0
            assert abs(tall - height * step / 20) <= 16
            assert abs(wide - width * step / 20) <= 16
            assert scaled.sizes[0].tolist() == [tall, wide]
            assert scaled.boxes[1, 0, 2:].tolist() == [wide, tall]


def test_a_canvas_never_vanishes() -> None:
    images, targets = batch(32, 64)
    made, _ = rescale(images, targets, 0.3, 32)
    assert made.shape[-2:] == (32, 32)


def test_whole_numbers_are_scaled_as_real_ones_are() -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (2, 3, 64, 96), generator=generator).byte()
    for size in ((32, 64), (96, 128)):
        expected = F.interpolate(images.float(), size=size, mode="bilinear", antialias=True)
        assert (interpolated(images, size).float() - expected).abs().max() <= 1.01


def test_masks_are_scaled_as_pillow_scales_by_the_nearest_pixel() -> None:
    generator = torch.Generator().manual_seed(0)
    masks = torch.rand(1, 1, 64, 96, generator=generator) > 0.5
    picture = Image.fromarray(masks[0, 0].numpy().astype(np.uint8))
    for height, width in ((32, 64), (128, 128), (16, 64)):  # no centre falls between two
        expected = np.asarray(picture.resize((width, height), Image.Resampling.NEAREST))
        assert np.array_equal(nearest(masks, (height, width))[0, 0].numpy(), expected)


def test_the_device_is_never_asked_for_a_value() -> None:
    images, targets = batch()
    columns = [None if column is None else column.to("meta") for column in targets]
    made, scaled = rescale(images.to("meta"), Targets(*columns), 0.5, 16)  # type: ignore[arg-type]
    assert made.shape == (2, 3, 48, 64)
    assert made.device.type == scaled.boxes.device.type == "meta"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_is_not_waited_for() -> None:
    images, targets = batch()
    columns = [None if column is None else column.cuda() for column in targets]
    on_device = images.cuda(), Targets(*columns)  # type: ignore[arg-type]
    torch.cuda.set_sync_debug_mode("error")
    try:
        made, _ = rescale(*on_device, 0.75, 32)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    expected, _ = rescale(images, targets, 0.75, 32)
    assert (made.cpu().int() - expected.int()).abs().max() <= 1
