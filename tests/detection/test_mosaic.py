"""Several pictures in one: mosaic and mixup."""

from __future__ import annotations

import random

import pytest
import torch
from torch import Tensor

from rondel import keyed
from rondel.errors import DataError
from rondel_detection.data.canvas import Canvas
from rondel_detection.data.mosaic import Mixup, Mosaic, best, blended, merged
from rondel_detection.data.sample import Sample

CANVAS = Canvas(96, 128, 128, 2.0, 32)


def scene(number: int, *, height: int = 96, width: int = 128, proposals: int = 3) -> Sample:
    """Return a grey picture with one white square, and 16 times its row plus one as its grey."""
    left, top = 10 + 8 * number, 20 + 4 * number
    box = torch.tensor([[left, top, left + 30, top + 30]], dtype=torch.float32)
    picture = torch.full((3, height, width), 16 * number + 1, dtype=torch.uint8)
    picture[:, top : top + 30, left : left + 30] = 255
    found = torch.zeros(proposals, 4)
    found[:2] = torch.cat([box, box + 1])
    return Sample(
        picture=picture,
        boxes=box,
        labels=torch.tensor([number]),
        crowd=torch.tensor([False]),
        visible=torch.ones(1),
        row=number,
        proposals=found,
        masks=picture[:1] == 255,
    )


class Scenes:
    """A data set of eight scenes."""

    def __init__(self, *, unreadable: tuple[int, ...] = (), proposals: int = 3) -> None:
        self.unreadable = unreadable
        self.proposals = proposals

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> Sample:
        if index in self.unreadable:
            raise DataError("is damaged", where=f"{index}.jpg")
        return scene(index, proposals=self.proposals)


def white(picture: Tensor, box: Tensor) -> Tensor:
    """Return what of a box, one pixel inside of its edges, is white."""
    x1, y1, x2, y2 = box.round().int().tolist()
    return picture[:, y1 + 1 : y2 - 1, x1 + 1 : x2 - 1] > 240


def test_a_mosaic_shows_four_pictures_with_their_boxes_on_their_objects() -> None:
    mosaic = Mosaic(1.0, Scenes(), CANVAS, 0.3)
    sizes = set()
    for seed in range(40):
        keyed.reseed(seed)
        made = mosaic(scene(seed % 8))
        assert made.picture.shape == (3, 96, 128)
        assert made.row == seed % 8
        assert made.masks is not None
        assert len(made.masks) == len(made.boxes) == len(made.labels) == len(made.visible)
        for box, mask in zip(made.boxes, made.masks, strict=True):
            assert white(made.picture, box).all()
            assert white(mask[None] * 255, box).all()
        # each white pixel belongs to a box, but for traces of which less than a tenth is visible
        outside = (made.picture[0] > 240) & ~made.masks.any(0)
        assert outside.sum() <= 4 * 0.1 * 900 + 120
        counts = torch.bincount(made.picture[0].flatten(), minlength=256)
        assert 1 <= len(torch.nonzero(counts[:200] > 200)) <= 4
        sizes.add(tuple(made.boxes[0].tolist()))
    assert len(sizes) > 30


def test_a_mosaic_of_full_pictures_leaves_no_ground() -> None:
    mosaic = Mosaic(1.0, Scenes(), CANVAS, 0.3)
    for seed in range(20):
        keyed.reseed(seed)
        assert (mosaic(scene(seed % 8)).picture > 0).all()


def test_objects_in_a_mosaic_are_half_to_full_size() -> None:
    mosaic = Mosaic(1.0, Scenes(), CANVAS, 0.3)
    found = []
    for seed in range(60):
        keyed.reseed(seed)
        made = mosaic(scene(seed % 8))
        whole = made.visible == 1
        found.extend((made.boxes[whole, 2:] - made.boxes[whole, :2]).flatten().tolist())
    assert min(found) >= 14.5
    assert max(found) <= 31
    assert min(found) < 17
    assert max(found) > 27


def test_what_a_mosaic_cuts_is_no_object_and_no_background() -> None:
    mosaic = Mosaic(1.0, Scenes(), CANVAS, 0.5)
    for seed in range(60):
        keyed.reseed(seed)
        made = mosaic(scene(seed % 8))
        assert torch.equal(made.crowd, made.visible < 0.5)
        assert (made.visible >= 0.1).all()


def test_small_pictures_are_not_enlarged_in_a_mosaic() -> None:
    keyed.reseed(0)
    small = scene(0, height=60, width=50)
    made = Mosaic(1.0, [small], CANVAS, 0.3)(small)
    assert made.picture.shape == (3, 96, 128)
    sides = made.boxes[:, 2:] - made.boxes[:, :2]
    assert (sides <= 30.5).all()
    for box in made.boxes:
        assert white(made.picture, box).all()


def test_the_partners_of_a_mosaic_come_from_the_whole_set() -> None:
    mosaic = Mosaic(1.0, Scenes(), CANVAS, 0.01)
    labels = set()
    for seed in range(40):
        keyed.reseed(seed)
        labels.update(mosaic(scene(0)).labels.tolist())
    assert labels == set(range(8))


def test_mosaic_and_mixup_come_with_their_chance() -> None:
    keyed.reseed(0)
    for step in (Mosaic(0.25, Scenes(), CANVAS, 0.3), Mixup(0.25, Scenes())):
        sample = scene(0)
        changed = [step(sample) is not sample for _ in range(200)]
        assert 30 <= sum(changed) <= 70


def test_an_unreadable_partner_is_replaced_by_the_sample_itself() -> None:
    broken = Scenes(unreadable=tuple(range(1, 8)))
    for step in (Mosaic(1.0, broken, CANVAS, 0.01), Mixup(1.0, broken)):
        for seed in range(5):
            keyed.reseed(seed)
            assert set(step(scene(0)).labels.tolist()) <= {0}


def test_a_mistake_in_the_program_is_not_taken_for_an_unreadable_partner() -> None:
    class Wrong(Scenes):
        def __getitem__(self, index: int) -> Sample:
            raise AttributeError("a typing error")

    with pytest.raises(AttributeError, match="a typing error"):
        Mixup(1.0, Wrong())(scene(0))


def test_a_mixup_shows_both_pictures_with_the_boxes_of_both() -> None:
    sample, other = scene(0), scene(5, height=64, width=120)
    keyed.reseed(0)
    made = Mixup(1.0, [other])(sample)
    assert made.picture.shape == (3, 96, 128)
    assert made.labels.tolist() == [0, 5]
    assert torch.equal(made.boxes, torch.cat([sample.boxes, other.boxes]))
    assert made.row == 0
    assert made.masks is not None
    assert made.masks.shape == (2, 96, 128)
    keyed.reseed(0)
    random.random()  # the chance
    random.randrange(1)  # the partner
    share = random.betavariate(8, 8)
    padded = torch.zeros(3, 96, 128)
    padded[:, :64, :120] = other.picture
    expected = share * sample.picture + (1 - share) * padded
    assert (made.picture - expected).abs().max() <= 0.5 + 255 / 256


def test_blending_is_exact_to_the_nearest_number() -> None:
    first = torch.arange(256, dtype=torch.uint8).repeat(256, 1)
    for share in (0.0, 0.25, 0.5, 1.0):
        expected = (share * first.double() + (1 - share) * first.T.double() + 0.5).floor()
        assert torch.equal(blended(first, first.T, share), expected.to(torch.uint8))


def test_proposals_of_several_pictures_are_taken_in_turns_best_first() -> None:
    first = torch.tensor([[1.0, 1, 2, 2], [2, 2, 3, 3], [3, 3, 4, 4], [4, 4, 5, 5]])
    second = torch.tensor([[5.0, 5, 6, 6], [0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]])
    assert best([first, second])[:, 0].tolist() == [1, 5, 2, 3]
    assert best([second, second])[:, 0].tolist() == [5, 5, 0, 0]


def test_a_merge_without_masks_and_proposals_has_none() -> None:
    parts = [scene(number)._replace(masks=None, proposals=None) for number in range(2)]
    made = merged(parts, parts[0].picture)
    assert made.masks is made.proposals is None


def test_proposals_in_a_mosaic_are_on_the_objects() -> None:
    mosaic = Mosaic(1.0, Scenes(proposals=8), CANVAS, 0.3)
    for seed in range(10):
        keyed.reseed(seed)
        made = mosaic(scene(seed % 8, proposals=8))
        assert made.proposals is not None
        assert made.proposals.shape == (8, 4)
        for box in made.boxes:
            assert (made.proposals - box).abs().sum(1).min() < 1e-3
