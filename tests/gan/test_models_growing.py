"""Nets that grow: sizes of stages, and how a new block fades in."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from rondel.errors import ConfigError, UsageError
from rondel_gan.config import ModelConfig
from rondel_gan.models.catalogue import make_growing
from rondel_gan.models.growing import GrowingCritic, GrowingGenerator, PixelNorm

CONFIG = ModelConfig(width=2, latent=5)
NOISE = torch.linspace(-2, 2, 15, dtype=torch.float64).reshape(3, 5)


@pytest.fixture
def players() -> tuple[GrowingGenerator, GrowingCritic]:
    torch.manual_seed(0)
    generator, critic = make_growing(CONFIG, (3, 16, 16), first=4)
    return generator.double(), critic.double()


Players = tuple[GrowingGenerator, GrowingCritic]


@pytest.mark.parametrize(
    ("shape", "first", "sides"),
    [
        ((1, 8, 8), 4, [4, 8]),
        ((1, 28, 28), 7, [7, 14, 28]),
        ((3, 64, 64), 4, [4, 8, 16, 32, 64]),
        ((3, 32, 32), 32, [32]),
        ((3, 16, 32), 4, [4, 8, 16]),
    ],
)
def test_stages_double_from_the_first_size_to_the_last(
    shape: tuple[int, int, int], first: int, sides: list[int]
) -> None:
    generator, critic = make_growing(CONFIG, shape, first=first)
    assert generator.shape == shape
    assert (generator.stages, critic.stages) == (len(sides), len(sides))
    for stage, side in enumerate(sides):
        generator.stage = critic.stage = stage
        for alpha in (0.0, 0.3, 1.0):
            generator.alpha = critic.alpha = alpha
            images = generator(torch.randn(2, 5))
            assert images.shape == (2, *generator.shape)
            assert images.shape[2:] == (side, side * shape[2] // shape[1])
            assert critic(images).shape == (2,)


@pytest.mark.parametrize("stage", [1, 2])
def test_at_alpha_0_a_generator_shows_the_stage_before(stage: int, players: Players) -> None:
    generator, _ = players
    generator.stage = stage - 1
    small = generator(NOISE)
    generator.stage, generator.alpha = stage, 0.0
    torch.testing.assert_close(generator(NOISE), F.interpolate(small, scale_factor=2))


@pytest.mark.parametrize("stage", [1, 2])
def test_at_alpha_1_a_generator_shows_the_new_block_alone(stage: int, players: Players) -> None:
    generator, _ = players
    generator.stage = stage
    maps = generator.body.start(NOISE)
    for block in generator.body.blocks[:stage]:
        maps = block(maps)
    alone = torch.tanh(generator.body.images[stage](maps))
    torch.testing.assert_close(generator(NOISE), alone)
    with torch.no_grad():
        for parameter in generator.body.images[stage - 1].parameters():
            parameter.add_(9)
    torch.testing.assert_close(generator(NOISE), alone)


def test_in_between_both_are_mixed_before_they_are_squashed(players: Players) -> None:
    generator, _ = players
    generator.stage, mixed = 1, {}
    for alpha in (0.0, 0.25, 1.0):
        generator.alpha = alpha
        mixed[alpha] = torch.atanh(generator(NOISE))
    torch.testing.assert_close(mixed[0.25], 0.75 * mixed[0.0] + 0.25 * mixed[1.0])


@pytest.mark.parametrize("stage", [1, 2])
def test_at_alpha_0_a_critic_sees_the_image_halved(stage: int, players: Players) -> None:
    _, critic = players
    side = 4 << stage
    images = torch.randn(3, 3, side, side).double()
    critic.stage, critic.alpha = stage, 0.0
    faded = critic(images)
    critic.stage, critic.alpha = stage - 1, 1.0
    torch.testing.assert_close(faded, critic(F.avg_pool2d(images, 2)))


@pytest.mark.parametrize("stage", [1, 2])
def test_at_alpha_1_a_critic_reads_with_the_new_block_alone(stage: int, players: Players) -> None:
    _, critic = players
    side = 4 << stage
    images = torch.randn(3, 3, side, side).double()
    critic.stage = stage
    maps = critic.body.images[stage](images)
    for block in reversed(critic.body.blocks[:stage]):
        maps = block(maps)
    torch.testing.assert_close(critic(images), critic.score(critic.body.end(maps)))


def test_blocks_of_later_stages_get_no_gradient(players: Players) -> None:
    generator, critic = players
    generator.stage = critic.stage = 1
    generator.alpha = critic.alpha = 0.5
    torch.autograd.backward(critic(generator(NOISE)).sum())
    used = [*generator.body.blocks[:1].parameters(), *critic.body.blocks[:1].parameters()]
    later = [*generator.body.blocks[1:].parameters(), *critic.body.blocks[1:].parameters()]
    assert all(parameter.grad is not None for parameter in used)
    assert all(parameter.grad is None for parameter in later)


def test_stage_and_alpha_change_no_weight(players: Players) -> None:
    generator, critic = players
    before = {**generator.state_dict(), **critic.state_dict()}
    generator.stage, generator.alpha, critic.stage, critic.alpha = 0, 0.5, 0, 0.5
    assert before.keys() == {**generator.state_dict(), **critic.state_dict()}.keys()


def test_pixels_are_normalised_to_a_mean_square_of_one() -> None:
    maps = PixelNorm()(torch.randn(2, 7, 3, 3).double() * 5)
    torch.testing.assert_close(maps.square().mean(dim=1), torch.ones(2, 3, 3).double())


def test_growing_nets_use_labels() -> None:
    config = CONFIG.model_copy(update={"condition": "projection"})
    generator, critic = make_growing(config, (1, 8, 8), 3, first=4)
    labels = torch.tensor([0, 2])
    assert critic(generator(torch.randn(2, 5), labels), labels).shape == (2,)
    with pytest.raises(UsageError, match="a generator of 3 classes was given no labels"):
        generator(torch.randn(2, 5))


def test_growing_critics_can_be_bounded() -> None:
    config = CONFIG.model_copy(update={"spectral": True})
    _, critic = make_growing(config, (1, 8, 8), first=4)
    for _ in range(200):
        critic(torch.zeros(1, 1, 8, 8))
    for layer in [critic.head, *critic.body.end]:
        if isinstance(layer, nn.Linear | nn.Conv2d):
            largest = torch.linalg.svdvals(layer.weight.flatten(1).detach())[0].item()
            assert largest == pytest.approx(1, abs=2e-3)


def test_growing_nets_have_gradients_of_gradients(players: Players) -> None:
    generator, critic = players
    generator.stage = critic.stage = 1
    generator.alpha = critic.alpha = 0.5
    images = torch.randn(1, 3, 8, 8).double().requires_grad_()
    noise = NOISE[:1].clone().requires_grad_()
    assert torch.autograd.gradgradcheck(lambda x: critic(x).square(), images, fast_mode=True)
    assert torch.autograd.gradgradcheck(lambda z: generator(z).mean(), noise, fast_mode=True)


@pytest.mark.parametrize(
    ("shape", "first", "hint"),
    [
        ((1, 28, 28), 4, "Set it to one of 28, 14, 7."),
        ((1, 16, 16), 32, "Set it to one of 16, 8, 4."),
        ((1, 3, 3), 4, "Scale the images up first."),
    ],
)
def test_a_first_size_that_does_not_double_names_what_does(
    shape: tuple[int, int, int], first: int, hint: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        make_growing(CONFIG, shape, first=first)
    assert str(caught.value) == (
        f"growing.first: {first} pixels do not double to {shape[1]} x {shape[2]}. {hint}"
    )


def test_points_do_not_grow() -> None:
    with pytest.raises(ConfigError) as caught:
        make_growing(CONFIG, (2,), first=4)
    assert str(caught.value) == "loop: points of 2 numbers cannot grow. Set loop=adversarial."
