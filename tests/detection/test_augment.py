"""Changes of single samples: boxes stay on their objects, and everything is keyed."""

from __future__ import annotations

import colorsys
import itertools
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.ops import masks_to_boxes
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

from rondel import Stream, keyed
from rondel.errors import ConfigError
from rondel.processes import Processes
from rondel.stream import Feed
from rondel_detection.config import AugmentConfig
from rondel_detection.data.augment import (
    Augmentation,
    Chance,
    Crop,
    Step,
    Transpose,
    Zoom,
    augmentation,
)
from rondel_detection.data.canvas import Canvas
from rondel_detection.data.collate import Collate, CollateViews
from rondel_detection.data.colour import Colour, Erase, Shift
from rondel_detection.data.framing import (
    cut,
    flipped_x,
    flipped_y,
    placed,
    scaled,
    transposed,
)
from rondel_detection.data.mosaic import Mixup, Mosaic
from rondel_detection.data.sample import Sample
from rondel_detection.data.transform import Transform
from rondel_detection.data.views import TwoViews, two_views

CANVAS = Canvas(96, 128, 128, 2.0, 32)
COLOURS = torch.tensor([[255, 0, 0], [0, 255, 0], [0, 0, 255]], dtype=torch.uint8)
BACKGROUND = 60
RECTANGLES = (
    ((8, 10, 48, 30), (70, 12, 110, 52), (20, 50, 60, 84)),
    ((4, 40, 40, 88), (60, 8, 90, 40), (80, 56, 124, 92)),
)


def scene(number: int = 0, *, height: int = 96, width: int = 128) -> Sample:
    """Return a grey picture with one rectangle in each colour; the label says which."""
    boxes = torch.tensor(RECTANGLES[number % 2], dtype=torch.float32)
    picture = torch.full((3, height, width), BACKGROUND, dtype=torch.uint8)
    masks = torch.zeros(3, height, width, dtype=torch.bool)
    for label, (x1, y1, x2, y2) in enumerate(boxes.int().tolist()):
        picture[:, y1:y2, x1:x2] = COLOURS[label][:, None, None]
        masks[label, y1:y2, x1:x2] = True
    return Sample(
        picture=picture,
        boxes=boxes,
        labels=torch.arange(3),
        crowd=torch.zeros(3, dtype=torch.bool),
        visible=torch.ones(3),
        row=number,
        proposals=torch.cat([boxes, torch.zeros(2, 4)]),
        masks=masks,
    )


class Scenes:
    """A data set of twelve scenes."""

    canvas = CANVAS

    def __len__(self) -> int:
        return 12

    def __getitem__(self, index: int) -> Sample:
        return scene(index)


def extent(picture: Tensor, label: int) -> Tensor:
    """Return the box around the pixels that are more of a colour than of all others."""
    values = picture.int()
    others = [channel for channel in range(3) if channel != label]
    found = values[label] > values[others].max(0).values + 64
    y, x = torch.nonzero(found, as_tuple=True)
    return torch.stack([x.min(), y.min(), x.max() + 1, y.max() + 1]).float()


def check_boxes_are_on_their_objects(sample: Sample, *, within: float = 1.01) -> None:
    limit = torch.tensor([sample.width, sample.height] * 2)
    assert (sample.boxes >= 0).all()
    assert (sample.boxes <= limit).all()
    assert ((sample.boxes[:, 2:] - sample.boxes[:, :2]) >= 1).all()
    assert len(sample.labels) == len(sample.crowd) == len(sample.visible) == len(sample.boxes)
    for box, label in zip(sample.boxes, sample.labels.tolist(), strict=True):
        assert (extent(sample.picture, label) - box).abs().max() <= within
    assert sample.masks is not None
    assert sample.masks.shape == (len(sample.boxes), sample.height, sample.width)
    if len(sample.boxes):
        found = masks_to_boxes(sample.masks) + torch.tensor([0, 0, 1, 1])
        assert (found - sample.boxes).abs().max() <= within
    # proposals were the boxes: each box is still among them, and padding is still padding
    assert sample.proposals is not None
    assert (sample.proposals[3:] == 0).all()
    for box in sample.boxes:
        assert (sample.proposals - box).abs().sum(1).min() < 1e-3


MOVES: dict[str, Step] = {
    "flip x": flipped_x,
    "flip y": flipped_y,
    "transpose": transposed,
    "transpose into the canvas": Transpose(CANVAS),
    "zoom in": Zoom((1.1, 2.5), 0.3),
    "zoom out": Zoom((0.4, 0.9), 0.3),
    "crop": Crop(1.0, 0.3),
    "all": augmentation(
        AugmentConfig(scale=(0.6, 1.6), crop=0.5, flip_y=0.5, transpose=0.5), CANVAS
    ),
}


def check_same(first: Sample, second: Sample) -> None:
    for a, b in zip(first, second, strict=True):
        assert type(a) is type(b)
        assert a == b if not isinstance(a, Tensor) or not isinstance(b, Tensor) else (a == b).all()


WITHIN = {"zoom in": 1.5, "all": 2.0}
"""Pixels that an edge may be off: scaling blurs it."""


@pytest.mark.parametrize("name", MOVES)
def test_boxes_masks_and_proposals_stay_on_their_objects(name: str) -> None:
    for seed in range(40):
        keyed.reseed(seed)
        sample = MOVES[name](scene(seed))
        assert sample.row == seed
        check_boxes_are_on_their_objects(sample, within=WITHIN.get(name, 1.01))


@pytest.mark.parametrize("name", MOVES)
def test_nothing_is_written_into_a_sample(name: str) -> None:
    before, sample = scene(), scene()
    for seed in range(5):
        keyed.reseed(seed)
        MOVES[name](sample)
        Colour(1.0)(sample)
        Erase(1.0)(sample)
    check_same(before, sample)


@pytest.mark.parametrize("name", ["transpose into the canvas", "zoom in", "zoom out", "all"])
def test_every_picture_fits_the_canvas(name: str) -> None:
    for seed in range(20):
        keyed.reseed(seed)
        Collate(CANVAS)([MOVES[name](scene())])


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (flipped_x, functional.horizontal_flip),
        (flipped_y, functional.vertical_flip),
        (lambda sample: scaled(sample, 70, 90), lambda x: functional.resize(x, [70, 90])),
        (
            lambda sample: cut(sample, 20, 30, 50, 60, visibility=0.1),
            lambda x: functional.crop(x, 20, 30, 50, 60),
        ),
        (
            lambda sample: placed(sample, 3, 5, 110, 140),
            lambda x: functional.pad(x, [5, 3, 7, 11]),
        ),
    ],
)
def test_moves_are_those_of_torchvision(ours: Step, theirs: Callable[[Any], Any]) -> None:
    sample = scene()
    made = ours(sample)
    boxes = tv_tensors.BoundingBoxes(
        sample.boxes, format=tv_tensors.BoundingBoxFormat.XYXY, canvas_size=(96, 128)
    )
    assert torch.equal(made.picture, theirs(tv_tensors.Image(sample.picture)))
    expected = theirs(boxes).as_subclass(Tensor)
    kept = [label for label in range(3) if label in made.labels.tolist()]
    torch.testing.assert_close(made.boxes, expected[kept])


# -- cuts ------------------------------------------------------------------------------------------


def one_box(*box: float) -> Sample:
    sample = scene()
    return sample.take(torch.tensor([0]))._replace(boxes=torch.tensor([box]), masks=None)


def shares(visibility: float, *lefts: int) -> tuple[list[bool], list[float]]:
    """Cut columns off a box from 20 to 40, one cut after the other; return crowd and visible."""
    sample, done = one_box(20, 20, 40, 40), 0
    for left in lefts:
        sample = cut(sample, 0, left - done, 96, 60, visibility=visibility)
        done = left
    return sample.crowd.tolist(), [round(value, 4) for value in sample.visible.tolist()]


def test_a_box_stays_an_object_while_enough_of_it_is_visible() -> None:
    assert shares(0.5, 20) == ([False], [1.0])
    assert shares(0.5, 29) == ([False], [0.55])
    assert shares(0.5, 31) == ([True], [0.45])


def test_a_box_of_which_a_trace_is_left_goes() -> None:
    assert shares(0.5, 37) == ([True], [0.15])
    assert shares(0.5, 39) == ([], [])
    assert shares(0.5, 50) == ([], [])


def test_what_is_visible_counts_over_all_cuts() -> None:
    assert shares(0.5, 26) == ([False], [0.7])
    assert shares(0.5, 26, 32) == ([True], [0.4])  # though 57 % of what was left


def test_a_crowd_stays_a_crowd() -> None:
    sample = one_box(20, 20, 40, 40)._replace(crowd=torch.tensor([True]))
    assert cut(sample, 0, 21, 96, 60, visibility=0.1).crowd.tolist() == [True]


def test_a_thin_box_that_is_not_cut_stays() -> None:
    sample = cut(one_box(20, 20, 20.5, 40), 0, 10, 96, 60, visibility=0.5)
    assert sample.boxes.tolist() == [[10, 20, 10.5, 40]]


def test_a_box_that_becomes_thinner_than_a_pixel_goes() -> None:
    thin, thick = one_box(20, 20, 22, 60), one_box(20, 20, 24, 60)
    assert len(scaled(thin, 40, 40).boxes) == 0
    assert len(scaled(thick, 48, 64).boxes) == 1
    assert len(scaled(thin, 192, 256).boxes) == 1


def test_proposals_outside_of_a_cut_become_padding() -> None:
    made = cut(scene(), 0, 64, 96, 64, visibility=0.3)
    assert made.proposals is not None
    assert made.proposals.tolist() == [[0] * 4, [6, 12, 46, 52], [0] * 4, [0] * 4, [0] * 4]


# -- colours ---------------------------------------------------------------------------------------


def photo() -> Tensor:
    """Return a picture of many colours."""
    noise = torch.rand(3, 6, 8, generator=torch.Generator().manual_seed(0))
    large: Tensor = functional.resize(noise, [48, 64])
    return (large * 255).to(torch.uint8)


@pytest.mark.parametrize(
    ("shift", "name", "factor"),
    [
        (Shift(brightness=1.4), "brightness", 1.4),
        (Shift(brightness=0.5), "brightness", 0.5),
        (Shift(contrast=1.3), "contrast", 1.3),
        (Shift(contrast=0.2), "contrast", 0.2),
        (Shift(saturation=1.5), "saturation", 1.5),
        (Shift(saturation=0.0), "saturation", 0.0),
    ],
)
def test_colours_are_those_of_torchvision(shift: Shift, name: str, factor: float) -> None:
    picture = photo()
    expected = getattr(functional, f"adjust_{name}")(picture, factor)
    assert (shift(picture).int() - expected.int()).abs().max() <= 2


def test_a_turned_hue_keeps_the_lightness_and_turns_as_torchvision_does() -> None:
    picture = (photo() // 2) + 64  # colours that no channel has to be clipped for
    made, expected = Shift(hue=0.1)(picture), functional.adjust_hue(picture, 0.1)
    greys = [functional.rgb_to_grayscale(p).int() for p in (picture, made)]
    assert (greys[0] - greys[1]).abs().max() <= 1
    colourful = (picture.max(0).values - picture.min(0).values).reshape(-1) > 40
    difference = (hues(made) - hues(expected) + 0.5) % 1 - 0.5
    assert difference[colourful].abs().max() < 0.05
    grey = torch.full((3, 4, 4), 99, dtype=torch.uint8)
    assert torch.equal(Shift(hue=0.3)(grey), grey)


def hues(picture: Tensor) -> Tensor:
    """Return the hue of each pixel, in turns of the circle."""
    pixels = (picture.double() / 255).reshape(3, -1).T.tolist()
    return torch.tensor([colorsys.rgb_to_hsv(*pixel)[0] for pixel in pixels])


def test_no_change_of_colours_is_exact() -> None:
    picture = photo()
    assert torch.equal(Shift()(picture), picture)


def test_colours_do_not_depend_on_the_number_of_threads() -> None:
    picture = torch.randint(0, 256, (3, 400, 401), generator=torch.Generator().manual_seed(0))
    change = Shift(1.37, 0.71, 1.23, 0.07)
    try:
        torch.set_num_threads(1)
        one = change(picture.byte())
        torch.set_num_threads(2)
        two = change(picture.byte())
    finally:
        torch.set_num_threads(1)
    assert torch.equal(one, two)


def test_a_stronger_colour_changes_more() -> None:
    picture = photo()

    def changed(strength: float) -> float:
        keyed.reseed(3)
        made = [Colour(strength).change(picture).int() for _ in range(20)]
        return float(
            torch.stack([(one - picture.int()).abs().float().mean() for one in made]).mean()
        )

    assert 0 == changed(0.0) < 2 * changed(0.2) < changed(1.0)


def test_grey_is_drawn_with_its_chance() -> None:
    keyed.reseed(0)
    drawn = [Colour(1.0, grey=0.25).draw().saturation == 0 for _ in range(400)]
    assert 70 <= sum(drawn) <= 130


def test_erased_patches_cover_the_share_that_was_asked_for() -> None:
    picture = torch.full((3, 100, 100), 77, dtype=torch.uint8)
    keyed.reseed(0)
    for _ in range(20):
        made = Erase(chance=1.0, patches=1, share=(0.1, 0.2)).change(picture)
        assert 900 <= int((made != picture).any(0).sum()) <= 2100
    assert torch.equal(Erase(chance=0.0).change(picture), picture)


# -- chances and settings --------------------------------------------------------------------------


def test_a_step_is_applied_with_its_chance() -> None:
    keyed.reseed(0)
    flips = [Chance(0.25, flipped_x)(scene()).boxes[0, 0] != 8 for _ in range(400)]
    assert 70 <= sum(map(bool, flips)) <= 130


def test_factors_below_and_above_one_are_as_likely() -> None:
    keyed.reseed(0)
    zoom = Zoom((0.5, 2.0), 0.01)
    smaller = [bool((zoom(scene()).picture == 0).all(0).any()) for _ in range(300)]
    assert 125 <= sum(smaller) <= 175  # an even draw of the factor itself would give 100


@pytest.mark.parametrize("scale", [(1.5, 0.5), (0.0, 1.0), (-1.0, 1.0)])
def test_a_range_of_factors_that_is_none_is_refused(scale: tuple[float, float]) -> None:
    with pytest.raises(ConfigError, match=r"augment.scale: \(.*\) is no range of factors"):
        augmentation(AugmentConfig(scale=scale), CANVAS)


def test_what_is_switched_off_takes_no_step() -> None:
    off = AugmentConfig(flip_x=0, scale=(1.0, 1.0), colour=0)
    assert not augmentation(off, CANVAS, Scenes())
    steps = augmentation(off.model_copy(update={"flip_x": 0.5}), CANVAS, Scenes()).steps
    assert steps == (Chance(0.5, flipped_x),)


def test_without_partners_mosaic_and_mixup_are_off() -> None:
    config = AugmentConfig(mosaic=1.0, mixup=0.5, colour=0.5, scale=(1.0, 1.0))
    with_partners = [type(step) for step in augmentation(config, CANVAS, Scenes()).steps]
    without = [type(step) for step in augmentation(config, CANVAS).steps]
    assert with_partners == [Mosaic, Colour, Chance, Mixup]
    assert without == [Colour, Chance]


def test_the_ground_around_a_scaled_picture_stays_black() -> None:
    changes = augmentation(AugmentConfig(scale=(0.5, 0.5), colour=1.0), CANVAS)
    for seed in range(10):
        keyed.reseed(seed)
        assert (changes(scene()).picture == 0).all(0).sum() >= 0.74 * 96 * 128


# -- torchvision's transforms ----------------------------------------------------------------------


def test_a_transform_of_torchvision_is_a_step() -> None:
    made = Transform(v2.RandomHorizontalFlip(1.0))(scene())
    check_same(made, flipped_x(scene()))


def test_a_transform_may_drop_boxes() -> None:
    cropped = v2.Compose([CropLeft(), v2.SanitizeBoundingBoxes()])
    sample = scene()
    made = Transform(cropped)(sample)
    assert made.labels.tolist() == [0, 2]
    check_boxes_are_on_their_objects(made)
    # also where there are as many proposals as boxes
    made = Transform(cropped)(sample._replace(proposals=sample.boxes.flip(0)))
    assert made.proposals is not None
    assert made.proposals.tolist() == [made.boxes[1].tolist(), [0] * 4, made.boxes[0].tolist()]


class CropLeft(v2.Transform):  # type: ignore[misc]  # torchvision has no types
    """Keeps the left half."""

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return functional.crop(inpt, 0, 0, 96, 64)


def test_boxes_that_a_transform_moves_out_are_clipped_and_go() -> None:
    made = Transform(lambda sample: {**sample, "boxes": sample["boxes"] + 60.0})(scene())
    assert made.boxes.tolist() == [[68, 70, 108, 90]]
    made = Transform(lambda sample: {**sample, "boxes": sample["boxes"] + 20.0})(scene())
    assert made.boxes[1:].tolist() == [[90, 32, 128, 72], [40, 70, 80, 96]]


def test_a_transform_without_masks_and_proposals_works_too() -> None:
    sample = scene()._replace(masks=None, proposals=None)
    made = Transform(v2.RandomVerticalFlip(1.0))(sample)
    assert made.masks is made.proposals is None
    assert torch.equal(made.boxes, flipped_y(sample).boxes)


# -- two views -------------------------------------------------------------------------------------


def test_two_views_have_one_geometry() -> None:
    config = AugmentConfig(scale=(0.7, 1.4), flip_y=0.5)
    views = two_views(config, CANVAS)
    for seed in range(10):
        keyed.reseed(seed)
        made = TwoViews(views.geometry, ())(scene())
        check_boxes_are_on_their_objects(made)
        assert made.strong is not None
        assert torch.equal(made.strong, made.picture)


def test_the_weak_view_keeps_its_colours_and_the_strong_one_does_not() -> None:
    config = AugmentConfig(scale=(0.7, 1.4), flip_y=0.5)
    views = two_views(config, CANVAS)
    for seed in range(10):
        keyed.reseed(seed)
        expected = views.geometry(scene())
        keyed.reseed(seed)
        made = views(scene())
        assert torch.equal(made.picture, expected.picture)
        assert made.strong is not None
        assert made.strong.shape == made.picture.shape
        assert not torch.equal(made.strong, made.picture)


# -- keys ------------------------------------------------------------------------------------------

EVERYTHING = AugmentConfig(
    scale=(0.5, 1.5),
    crop=0.5,
    flip_y=0.5,
    transpose=0.5,
    colour=1.0,
    mosaic=0.5,
    mixup=0.5,
)


def read(
    augment: Any, *, workers: int = 0, batch_size: int = 3, start: int = 0, number: int = 1
) -> dict[int, tuple[Any, ...]]:
    """Read a pass of a shuffled stream; return pictures and boxes of each row of the data set."""
    collate: Any = CollateViews(CANVAS) if isinstance(augment, TwoViews) else Collate(CANVAS)
    stream = Stream(Scenes(), batch_size=batch_size, collate=collate, augment=augment)
    feed = Feed(5, Processes(0, 1, torch.device("cpu")), workers)
    found: dict[int, tuple[Any, ...]] = {}
    try:
        batches: Iterator[Any] = stream.batches(feed, stream.plan(5, number), number, start)
        for (*pictures, targets), _ in batches:
            for place, row in enumerate(targets.rows.tolist()):
                kept = targets.labels[place] >= 0
                columns = (targets.boxes, targets.labels, targets.crowd, targets.masks)
                found[row] = (
                    *(view[place] for view in pictures),
                    *(column[place][kept] for column in columns),
                    targets.proposals[place],
                    targets.sizes[place],
                )
    finally:
        stream.close()
    return found


def same(first: tuple[Any, ...], second: tuple[Any, ...]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


AUGMENTS = {
    "everything": augmentation(EVERYTHING, CANVAS, Scenes()),
    "two views": two_views(EVERYTHING, CANVAS),
    "torchvision": Augmentation((Transform(v2.RandomAffine(20, scale=(0.7, 1.0))),)),
}


@pytest.mark.parametrize("name", AUGMENTS)
def test_a_sample_depends_on_seed_pass_and_index_alone(name: str) -> None:
    augment = AUGMENTS[name]
    random.seed(0)
    straight = read(augment)
    assert set(straight) == set(range(12))
    random.seed(1)  # the state of the loop's own generators plays no part
    for other in (read(augment, workers=2), read(augment, batch_size=5)):
        assert all(same(straight[row], other[row]) for row in range(12))
    cut_off = read(augment, start=2)
    assert len(cut_off) == 6
    assert all(same(straight[row], cut_off[row]) for row in cut_off)


def test_another_pass_is_another_sample() -> None:
    augment = AUGMENTS["everything"]
    first, second = read(augment), read(augment, number=2)
    assert not any(same(first[row], second[row]) for row in range(12))


def test_samples_differ_from_each_other() -> None:
    found = read(AUGMENTS["everything"])
    assert not any(same(found[a], found[b]) for a, b in itertools.combinations(range(12), 2))
