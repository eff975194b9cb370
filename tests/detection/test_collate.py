"""From samples to padded batches, and the random numbers of a batch."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from rondel import Stream
from rondel.batch import split
from rondel.errors import DataError
from rondel.processes import Processes
from rondel.stream import Feed
from rondel_detection.data.batch import Draw, Targets
from rondel_detection.data.canvas import Canvas
from rondel_detection.data.collate import Collate, CollateViews, Draws
from rondel_detection.data.sample import Sample

CANVAS = Canvas(64, 96, 96, 2.0, 32)


def sample(count: int, *, row: int = 0, height: int = 64, width: int = 96) -> Sample:
    return Sample(
        picture=torch.full((3, height, width), row + 1, dtype=torch.uint8),
        boxes=torch.arange(4.0 * count).reshape(count, 4),
        labels=torch.arange(count),
        crowd=torch.arange(count) % 2 == 1,
        visible=torch.ones(count),
        row=row,
    )


def test_boxes_are_padded_to_those_of_the_fullest_picture() -> None:
    images, targets = Collate(CANVAS)([sample(2, row=4), sample(0, row=7, height=32), sample(3)])
    assert images.shape == (3, 3, 64, 96)
    assert images.dtype == torch.uint8
    assert (images[1, :, :32] == 8).all()
    assert (images[1, :, 32:] == 0).all()
    assert targets.boxes.shape == (3, 3, 4)
    assert targets.boxes[0].tolist() == [[0, 1, 2, 3], [4, 5, 6, 7], [0, 0, 0, 0]]
    assert targets.labels.tolist() == [[0, 1, -1], [-1, -1, -1], [0, 1, 2]]
    assert targets.crowd.tolist() == [[False, True, False], [False] * 3, [False, True, False]]
    assert targets.present.tolist() == [[True, False, False], [False] * 3, [True, False, True]]
    assert targets.sizes.tolist() == [[64, 96], [32, 96], [64, 96]]
    assert targets.rows.tolist() == [4, 7, 0]
    assert targets.proposals is targets.masks is None
    types = [column.dtype for column in targets[:5] if isinstance(column, Tensor)]
    assert types == [torch.float32, torch.int64, torch.bool, torch.float32, torch.int64]


def test_a_batch_without_any_box_has_room_for_one() -> None:
    _, targets = Collate(CANVAS)([sample(0), sample(0)])
    assert targets.boxes.shape == (2, 1, 4)
    assert targets.labels.tolist() == [[-1], [-1]]


def test_masks_and_proposals_come_along() -> None:
    samples = [sample(1), sample(2, height=40, width=50)]
    samples = [
        one._replace(
            proposals=torch.full((5, 4), float(row)),
            masks=torch.ones(len(one.boxes), *one.picture.shape[1:], dtype=torch.bool),
        )
        for row, one in enumerate(samples)
    ]
    _, targets = Collate(CANVAS)(samples)
    assert targets.proposals is not None
    assert targets.proposals.shape == (2, 5, 4)
    assert targets.proposals[1].min() == 1
    assert targets.masks is not None
    assert targets.masks.shape == (2, 2, 64, 96)
    assert targets.masks.flatten(2).sum(2).tolist() == [[64 * 96, 0], [40 * 50, 40 * 50]]
    assert targets.masks[1, 0, :40, :50].all()


def test_samples_with_and_without_a_column_make_no_batch() -> None:
    masks = torch.zeros(1, 64, 96, dtype=torch.bool)
    whole = sample(1)._replace(proposals=torch.zeros(5, 4), masks=masks)
    with pytest.raises(ValueError, match="1 of 2 samples have no proposals"):
        Collate(CANVAS)([whole, whole._replace(proposals=None)])
    with pytest.raises(ValueError, match="1 of 2 samples have no masks"):
        Collate(CANVAS)([whole, whole._replace(masks=None)])


def test_two_views_make_two_batches_of_pictures() -> None:
    strong = sample(1)._replace(strong=torch.full((3, 64, 96), 9, dtype=torch.uint8))
    weak, changed, targets = CollateViews(CANVAS)([strong, strong])
    assert (weak == 1).all()
    assert (changed == 9).all()
    assert targets.boxes.shape == (2, 1, 4)


def test_a_sample_with_one_view_makes_no_two() -> None:
    with pytest.raises(ValueError, match="no strong view: augment the stream with TwoViews"):
        CollateViews(CANVAS)([sample(1)])


# -- draws -----------------------------------------------------------------------------------------


def drawn(draws: Draws, seed: int, size: int = 4) -> Draw:
    return draws(size, torch.Generator().manual_seed(seed))


def test_seeds_are_drawn_for_each_image() -> None:
    draw = drawn(Draws(CANVAS), 0, 1000)
    assert draw.scale == 1.0
    assert draw.seeds.dtype == torch.int64
    assert len(set(draw.seeds.tolist())) == 1000
    assert draw.seeds.min() >= 0
    assert draw.seeds.max() < 2**62
    assert draw.seeds.max() > 2**61


def test_scales_make_the_longest_side_a_multiple_of_the_stride() -> None:
    canvas = Canvas(480, 640, 640, 2.0, 32)
    scales = [drawn(Draws(canvas, 0.5), seed).scale for seed in range(400)]
    assert all(isinstance(scale, float) for scale in scales)
    sides = {scale * 640 for scale in scales}
    assert sides == {32.0 * step for step in range(10, 31)}
    counts = [scales.count(32.0 * step / 640) for step in range(10, 31)]
    assert min(counts) >= 5


def test_a_small_change_of_a_small_canvas_is_none() -> None:
    assert {drawn(Draws(CANVAS, 0.3), seed).scale for seed in range(50)} == {1.0}
    assert {drawn(Draws(CANVAS, 0.9), seed).scale for seed in range(50)} == {
        1 / 3,
        2 / 3,
        1,
        4 / 3,
        5 / 3,
    }


# -- in a stream -----------------------------------------------------------------------------------


class Samples:
    """Seven samples with 0 to 3 boxes; some cannot be read."""

    def __init__(self, *unreadable: int) -> None:
        self.unreadable = unreadable

    def __len__(self) -> int:
        return 7

    def __getitem__(self, index: int) -> Sample:
        if index in self.unreadable:
            raise DataError("is damaged", where=f"{index}.jpg")
        return sample(index % 4, row=index)


def batches(
    data: Samples, *, rank: int = 0, size: int = 1, workers: int = 0, skip: Any = None
) -> Any:
    stream = Stream(data, batch_size=4, collate=Collate(CANVAS), noise=Draws(CANVAS, 0.9))
    feed = Feed(3, Processes(rank, size, torch.device("cpu")), workers, skip)
    try:
        return [batch for batch, _ in stream.batches(feed, stream.plan(3, 0), 0)]
    finally:
        stream.close()


def test_a_batch_of_a_stream_is_images_targets_and_draw() -> None:
    made = batches(Samples())
    assert [len(images) for images, _, _ in made] == [4, 3]
    for images, targets, draw in made:
        assert isinstance(targets, Targets)
        assert isinstance(draw, Draw)
        assert len(draw.seeds) == len(images)


def test_shares_of_processes_and_workers_draw_the_same() -> None:
    whole = batches(Samples())
    shares = [batches(Samples(), rank=rank, size=2, workers=rank) for rank in range(2)]
    for batch, first, second in zip(whole, *shares, strict=True):
        assert batch[2].scale == first[2].scale == second[2].scale
        assert torch.equal(batch[2].seeds, torch.cat([first[2].seeds, second[2].seeds]))
        assert torch.equal(batch[0], torch.cat([first[0], second[0]]))
        assert torch.equal(batch[1].rows, torch.cat([first[1].rows, second[1].rows]))


def test_a_batch_can_be_split_into_pieces() -> None:
    batch = batches(Samples())[0]
    pieces = split(batch, 2)
    assert [len(piece[0]) for piece in pieces] == [2, 2]
    for images, targets, draw in pieces:
        assert isinstance(targets, Targets)
        assert len(images) == len(targets.labels) == len(draw.seeds)
        assert draw.scale == batch[2].scale


def test_a_batch_without_its_unreadable_sample_keeps_the_draws_of_the_others() -> None:
    skipped: list[Any] = []
    whole, some = batches(Samples()), batches(Samples(2), skip=skipped.extend)
    assert [bad.index for bad in skipped] == [2]
    seeds: dict[int, int] = {}
    for _, targets, draw in whole:
        seeds.update(zip(targets.rows.tolist(), draw.seeds.tolist(), strict=True))
    for (_, targets, draw), (_, _, before) in zip(some, whole, strict=True):
        assert draw.scale == before.scale
        assert [seeds[row] for row in targets.rows.tolist()] == draw.seeds.tolist()
