"""The DETR family of transformers: its own losses, exact in pieces."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import transformers

from rondel.errors import DataError
from rondel_detection.config import ModelConfig
from rondel_detection.data.batch import PADDING, Targets
from rondel_detection.models.catalogue import make_detector
from rondel_detection.models.transformers_detr import DetrDetector, make_detr, rt_detr_config

NAMES = ("detr", "rt_detr", "d_fine")


def small(name: str) -> DetrDetector:
    torch.manual_seed(0)
    config = ModelConfig(name=name, width=0.125, score_threshold=0.0)
    detector = make_detector(config, 3, (64, 64))
    assert isinstance(detector, DetrDetector)
    return detector.train()


def batch(size: int = 4) -> tuple[torch.Tensor, Targets, torch.Tensor]:
    draw = torch.Generator().manual_seed(1)
    start = torch.rand(size, 2, 2, generator=draw) * 30
    boxes = torch.cat((start, start + 10 + torch.rand(size, 2, 2, generator=draw) * 20), -1)
    labels = torch.randint(0, 3, (size, 2), generator=draw)
    labels[1] = PADDING  # an empty picture
    labels[2, 1] = PADDING
    images = torch.randint(0, 256, (size, 3, 64, 64), generator=draw, dtype=torch.uint8)
    targets = Targets(
        boxes=boxes * (labels >= 0)[..., None],
        labels=labels,
        crowd=torch.zeros(size, 2, dtype=torch.bool),
        sizes=torch.full((size, 2), 64.0),
        rows=torch.arange(size),
    )
    return images, targets, torch.arange(size)


def rows(made: tuple[torch.Tensor, Targets, torch.Tensor], chosen: slice):
    images, targets, seeds = made
    cut = Targets(*(None if column is None else column[chosen] for column in targets))
    return images[chosen], cut, seeds[chosen]


@pytest.mark.parametrize("name", NAMES)
def test_the_loss_of_a_batch_is_that_of_transformers(name: str) -> None:
    detector = small(name)
    images, targets, seeds = batch()
    said = detector._said(images, targets.sizes, labels=detector._labels(images, targets))
    torch.testing.assert_close(
        detector.loss(images, targets, seeds).mean, said.loss, rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize(
    # some of their steps are in float32 only
    ("name", "dtype", "tolerance"),
    [
        ("detr", torch.float32, 1e-5),
        ("rt_detr", torch.float32, 1e-5),
        ("d_fine", torch.float32, 1e-3),
    ],
)
def test_pieces_give_the_gradient_of_the_batch(
    name: str, dtype: torch.dtype, tolerance: float
) -> None:
    detector = small(name).to(dtype)
    made = batch()

    def gradient(pieces: list[slice]) -> torch.Tensor:
        detector.zero_grad()
        counts = detector.counts(*made)
        for piece in pieces:
            detector.loss(*rows(made, piece)).weighed(counts).backward()
        found = [p.grad.flatten() for p in detector.parameters() if p.grad is not None]
        return torch.cat(found)

    whole = gradient([slice(0, 4)])
    pieces = gradient([slice(0, 1), slice(1, 2), slice(2, 4)])
    assert (pieces - whole).norm() < tolerance * whole.norm()


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_without_any_object_can_be_learnt_from(name: str) -> None:
    detector = small(name)
    images, targets, seeds = rows(batch(), slice(1, 2))
    detector.loss(images, targets, seeds).mean.backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in detector.parameters())


@pytest.mark.parametrize("name", NAMES)
def test_detections_lie_inside_their_pictures(name: str) -> None:
    detector = small(name).eval()
    images, targets, _ = batch()
    sizes = targets.sizes.clone()
    sizes[0] = torch.tensor([40.0, 50.0])
    with torch.no_grad():
        found = detector.detect(images, sizes)
    limits = sizes.flip(-1)[found.image]
    assert len(found.scores) > 0
    assert (found.boxes >= 0).all()
    assert (found.boxes[:, 2:] <= limits).all()
    assert (found.boxes[:, 2:] > found.boxes[:, :2]).all()
    assert (found.image.diff() >= 0).all()


@pytest.mark.parametrize("name", NAMES)
def test_eight_pictures_are_learnt(name: str) -> None:
    detector = small(name)
    images, targets, seeds = batch()
    optimizer = torch.optim.AdamW(detector.parameters(), lr=3e-4)
    losses = []
    for _ in range(10):
        loss = detector.loss(images, targets, seeds).mean
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.97 * losses[0]


def test_a_folder_of_transformers_is_read_and_a_head_of_other_classes_starts_anew(
    tmp_path: Path,
) -> None:
    before = transformers.RTDetrForObjectDetection(rt_detr_config(0.125, 3, 84))
    before.save_pretrained(tmp_path)
    config = ModelConfig(name="rt_detr", weights=str(tmp_path))
    same, other = make_detr(config, 3, (64, 64)), make_detr(config, 5, (64, 64))
    for name, tensor in before.state_dict().items():
        if not name.endswith("num_batches_tracked"):
            assert torch.equal(same.network.state_dict()[name], tensor), name
    assert other.classes == 5


def test_a_folder_that_is_none_of_transformers_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    config = ModelConfig(name="detr", weights=str(tmp_path))
    with pytest.raises(DataError, match="Give a folder that save_pretrained"):
        make_detr(config, 3, (64, 64))
