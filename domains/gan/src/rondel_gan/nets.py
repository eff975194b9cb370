"""The nets that a bundle holds, as a config and a few facts describe them."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from rondel_gan.codes import with_codes
from rondel_gan.config import GanConfig
from rondel_gan.models.catalogue import (
    make_body,
    make_critic,
    make_generator,
    make_growing,
    make_patch_critic,
    make_translator,
)
from rondel_gan.models.critic import Critic
from rondel_gan.models.encoder import Encoder
from rondel_gan.models.generator import Generator
from rondel_gan.models.unet import UNet

Shape = Sequence[int]


def players_of(config: GanConfig, shape: Shape, classes: int) -> tuple[Generator, Critic]:
    """Return generator and discriminator of a game in which samples are made of noise.

    Raises:
        ConfigError: The nets do not fit samples of this shape, or have no labels to use.
    """
    if config.loop == "growing":
        return make_growing(config.model, shape, classes, first=config.growing.first)
    model = with_codes(config) if config.loop == "info" else config.model
    return make_generator(model, shape, classes), make_critic(config.model, shape, classes)


def encoder_of(config: GanConfig, shape: Shape) -> Encoder:
    """Return the encoder of a VAE-GAN."""
    return Encoder(*make_body(config.model, shape), config.model.latent)


def translators_of(config: GanConfig, source: Shape, target: Shape) -> dict[str, UNet]:
    """Return the translator of pix2pix, or both of CycleGAN, by name.

    Raises:
        ConfigError: Images of this size cannot be halved often enough.
    """
    width = config.translation.width
    made = {"generator": make_translator(width, source, target)}
    if config.loop == "cycle":
        made["inverse"] = make_translator(width, target, source)
    return made


def judges_of(config: GanConfig, source: Shape, target: Shape) -> dict[str, Critic]:
    """Return the discriminator of pix2pix, which sees pairs, or both of CycleGAN, by name."""
    width, spectral = config.translation.width, config.model.spectral
    if config.loop == "pix2pix":
        pair = (source[0] + target[0], *target[1:])
        return {"discriminator": make_patch_critic(width, pair, spectral=spectral)}
    return {
        "discriminator": make_patch_critic(width, target, spectral=spectral),
        "other": make_patch_critic(width, source, spectral=spectral),
    }


def bundled(config: GanConfig, shape: Shape, source: Shape, classes: int) -> dict[str, nn.Module]:
    """Return every net that a bundle holds, by name."""
    if config.loop in ("pix2pix", "cycle"):
        return dict(translators_of(config, source, shape))
    nets: dict[str, nn.Module] = {"generator": players_of(config, shape, classes)[0]}
    if config.loop == "vae":
        nets["encoder"] = encoder_of(config, shape)
    return nets
