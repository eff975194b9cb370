"""What the discriminator gets to see: each image varied by its own numbers, and differentiable."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from rondel.errors import ConfigError
from rondel_gan.augment import KINDS, Augment
from rondel_gan.config import AugmentConfig

ALL = ("color", "translation", "cutout", "flip")
SHAPE = (3, 16, 12)
N = 9


def augment(*kinds: Any, mode: Any = "diff", **values: Any) -> Augment:
    made = Augment.of(AugmentConfig(mode=mode, kinds=kinds or ALL, **values), SHAPE)
    assert made is not None
    return made


def inputs(seed: int = 0) -> tuple[Tensor, torch.Generator]:
    draw = torch.Generator().manual_seed(seed)
    return torch.rand((N, *SHAPE), generator=draw, dtype=torch.float64) * 2 - 1, draw


# -- one image at a time, as a reader of the papers would write it ----------------------------------


def color_by_hand(image: Tensor, numbers: list[float]) -> Tensor:
    brightness, saturation, contrast = numbers
    image = image + (brightness - 0.5)
    grey = image.mean(dim=0)
    image = torch.stack([(channel - grey) * 2 * saturation + grey for channel in image])
    return (image - image.mean()) * (contrast + 0.5) + image.mean()


def translation_by_hand(image: Tensor, numbers: list[float]) -> Tensor:
    moves = []
    for number, side in zip(numbers, image.shape[1:], strict=True):
        most = round(side / 8)
        moves.append(math.floor(number * (2 * most + 1)) - most)
    moved = torch.zeros_like(image)
    for row in range(image.shape[1]):
        for column in range(image.shape[2]):
            to_row, to_column = row + moves[0], column + moves[1]
            if 0 <= to_row < image.shape[1] and 0 <= to_column < image.shape[2]:
                moved[:, to_row, to_column] = image[:, row, column]
    return moved


def cutout_by_hand(image: Tensor, numbers: list[float]) -> Tensor:
    cut = image.clone()
    (height, width), middles = image.shape[1:], []
    for number, side in zip(numbers, image.shape[1:], strict=True):
        middles.append(math.floor(number * side))
    for row in range(middles[0] - height // 4, middles[0] + height // 4):
        for column in range(middles[1] - width // 4, middles[1] + width // 4):
            if 0 <= row < height and 0 <= column < width:
                cut[:, row, column] = 0
    return cut


def flip_by_hand(image: Tensor, numbers: list[float]) -> Tensor:
    return image.flip(2) if numbers[0] < 0.5 else image


BY_HAND: dict[str, Any] = {
    "color": color_by_hand,
    "translation": translation_by_hand,
    "cutout": cutout_by_hand,
    "flip": flip_by_hand,
}


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("probability", [0.0, 0.4, 1.0])
def test_every_image_is_varied_by_its_own_numbers(kind: str, probability: float) -> None:
    made = augment(kind)
    made.probability = torch.tensor(probability)
    images, draw = inputs()
    numbers = made.draw(N, draw)
    assert numbers.shape == (N, 2, KINDS[kind].numbers)
    varied = made(images, numbers)
    chosen = 0
    for image, mine, found in zip(images, numbers, varied, strict=True):
        if mine[1, 0] < probability:
            chosen += 1
            expected = BY_HAND[kind](image, mine[0].double().tolist())
        else:
            expected = image
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    assert chosen == {0.0: 0, 1.0: N}.get(probability, chosen)
    assert (0 < chosen < N) == (probability == 0.4)


def test_kinds_follow_one_another_with_numbers_of_their_own() -> None:
    made = augment("cutout", "color")
    images, draw = inputs()
    numbers = made.draw(N, draw)
    expected = augment("color")(augment("cutout")(images, numbers[:, :, :2]), numbers[:, :, 2:])
    assert torch.equal(made(images, numbers), expected)


def test_pieces_of_a_batch_are_varied_as_the_whole_is() -> None:
    made = augment()
    images, draw = inputs()
    numbers = made.draw(N, draw)
    pieces = [made(images[rows], numbers[rows]) for rows in (slice(0, 2), slice(2, N))]
    assert torch.equal(torch.cat(pieces), made(images, numbers))


@pytest.mark.parametrize("kind", ALL)
def test_gradients_of_first_and_second_order_run_through_every_kind(kind: str) -> None:
    made = augment(kind)
    images, draw = inputs()
    images = images[:2, :, :6, :6].contiguous().requires_grad_()
    numbers = made.draw(2, draw)

    def curved(x: Tensor) -> Tensor:
        seen: Tensor = made(x, numbers).sin()
        return seen

    assert torch.autograd.gradcheck(curved, (images,))
    assert torch.autograd.gradgradcheck(curved, (images,))


def test_nothing_is_varied_without_a_mode() -> None:
    assert Augment.of(AugmentConfig(), SHAPE) is None


@pytest.mark.parametrize("mode", ["diff", "ada"])
def test_points_cannot_be_varied(mode: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        Augment.of(AugmentConfig(mode=mode), (2,))
    text = str(caught.value)
    assert text.startswith("augment.mode: only images can be varied")
    assert "'none' for points" in text


def test_the_probability_follows_the_sign_of_real_scores_and_stays_one() -> None:
    made = augment(mode="ada", target=0.5, images=100)
    assert float(made.probability) == 0.0
    course = []
    for sign in (0.4, 0.9, 0.9, 0.5, 0.1, 1.0, 1.0, 1.0, 1.0):
        made.follow(torch.tensor(sign), images=30)
        course.append(round(float(made.probability), 6))
    assert course == [0.0, 0.3, 0.6, 0.6, 0.3, 0.6, 0.9, 1.0, 1.0]


def test_a_probability_is_put_back_and_is_no_longer_shared() -> None:
    made, other = augment(mode="ada", images=100), augment(mode="ada", images=100)
    made.follow(torch.tensor(1.0), images=25)
    saved = made.state_dict()
    other.load_state_dict(saved)
    saved["probability"].add_(1)
    assert float(other.probability) == 0.25


def test_diff_augment_varies_every_image_from_the_start() -> None:
    made = augment("color")
    assert float(made.probability) == 1.0
    assert not made.adapts
    assert augment("color", mode="ada").adapts
