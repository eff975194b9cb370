"""The nets by name. Shapes: images (N, C, H, W), or (N, 2) for points."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from torch import nn

from rondel.errors import ConfigError
from rondel_gan.config import ModelConfig
from rondel_gan.models import dcgan, patch, perceptron, r3gan, resnet
from rondel_gan.models.critic import Critic
from rondel_gan.models.generator import Generator, inputs_of
from rondel_gan.models.growing import GrowingCritic, GrowingGenerator
from rondel_gan.models.unet import UNet


class Kind(NamedTuple):
    """Where the bodies of one kind of net are made."""

    generator_body: Callable[[ModelConfig, int, Sequence[int]], nn.Module]
    critic_body: Callable[[ModelConfig, Sequence[int]], tuple[nn.Module, int]]


KINDS: dict[str, Kind] = {
    "perceptron": Kind(perceptron.generator_body, perceptron.critic_body),
    "dcgan": Kind(dcgan.generator_body, dcgan.critic_body),
    "resnet": Kind(resnet.generator_body, resnet.critic_body),
    "r3gan": Kind(r3gan.generator_body, r3gan.critic_body),
}


def make_generator(config: ModelConfig, shape: Sequence[int], classes: int = 0) -> Generator:
    """Return a generator; it uses labels if ``model.condition`` says so.

    Args:
        config: Kind and size of the net.
        shape: Of a sample: (C, H, W), or (2,) for points.
        classes: How many the data has; 0 without labels.

    Raises:
        ConfigError: The net cannot make samples of this shape, or has no labels to use.
    """
    used = used_classes(config, classes)
    body = KINDS[config.name].generator_body(config, inputs_of(config, used), shape)
    return Generator(body, config, shape, used)


def make_critic(config: ModelConfig, shape: Sequence[int], classes: int = 0) -> Critic:
    """Return a discriminator; it uses labels as ``model.condition`` says.

    Args:
        config: Kind and size of the net.
        shape: Of a sample: (C, H, W), or (2,) for points.
        classes: How many the data has; 0 without labels.

    Raises:
        ConfigError: The net cannot judge samples of this shape, has no labels to use, or cannot be
            bounded.
    """
    used = used_classes(config, classes)
    if config.spectral and config.name == "r3gan":
        raise ConfigError(
            "'r3gan' starts with layers of zeros, which have no spectral norm to divide by",
            where="model.spectral",
            hint="Set model.spectral=false, or model.name=resnet.",
        )
    body, width = make_body(config, shape)
    return Critic(body, width, classes=used, condition=config.condition, spectral=config.spectral)


def make_growing(
    config: ModelConfig, shape: Sequence[int], classes: int = 0, *, first: int
) -> tuple[GrowingGenerator, GrowingCritic]:
    """Return two nets that grow from images of ``first`` pixels; ``model.name`` has no meaning.

    Raises:
        ConfigError: Doubling the first size does not lead to the last one, or there are no labels
            to use.
    """
    used = used_classes(config, classes)
    generator = GrowingGenerator(config, shape, first=first, classes=used)
    critic = GrowingCritic(config, shape, first=first, classes=used, condition=config.condition)
    return generator, critic


def make_translator(width: int, source: Sequence[int], target: Sequence[int]) -> UNet:
    """Return a generator that makes images of images, (N, C, H, W) -> (N, D, H, W).

    Raises:
        ConfigError: The sizes differ, or cannot be halved often enough.
    """
    return UNet(source, target, width)


def make_patch_critic(width: int, shape: Sequence[int], *, spectral: bool = False) -> Critic:
    """Return a discriminator of patches; for pairs, `shape` has the channels of both images."""
    body, features = patch.critic_body(width, shape)
    return Critic(body, features, spectral=spectral)


def make_body(config: ModelConfig, shape: Sequence[int]) -> tuple[nn.Module, int]:
    """Return a net that finds features in samples, (N, *shape) -> (N, F), and F.

    Raises:
        ConfigError: The net has no place for samples of this shape.
    """
    return KINDS[config.name].critic_body(config, shape)


def used_classes(config: ModelConfig, classes: int) -> int:
    """Return the number of classes that the nets know of.

    Raises:
        ConfigError: Labels are asked for, and the data has none.
    """
    if config.condition == "none":
        return 0
    if classes < 2:
        raise ConfigError(
            f"{config.condition!r} needs labels, and the data has none",
            where="model.condition",
            hint="Set model.condition=none, or give data with classes.",
        )
    return classes
