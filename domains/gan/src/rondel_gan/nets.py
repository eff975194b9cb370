"""The nets that a bundle holds, as a config and a few facts describe them."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from rondel_gan.codes import with_codes
from rondel_gan.config import GanConfig
from rondel_gan.models.catalogue import make_body, make_critic, make_generator
from rondel_gan.models.critic import Critic
from rondel_gan.models.encoder import Encoder
from rondel_gan.models.generator import Generator
from rondel_gan.models.growing import GrowingCritic, GrowingGenerator
from rondel_gan.models.unet import UNet

Shape = Sequence[int]


def generator_of(config: GanConfig, shape: Shape, classes: int) -> Generator:
    """Return the generator of a game in which samples are made of noise.

    Raises:
        ConfigError: The net cannot make samples of this shape.
    """
    if config.loop == "growing":
        used = classes if config.model.condition != "none" else 0
        return GrowingGenerator(config.model, shape, first=config.growing.first, classes=used)
    model = with_codes(config) if config.loop == "info" else config.model
    return make_generator(model, shape, classes)


def critic_of(config: GanConfig, shape: Shape, classes: int) -> Critic:
    """Return the discriminator of such a game; bundles do without it.

    Raises:
        ConfigError: The net cannot judge samples of this shape.
    """
    if config.loop == "growing":
        used = classes if config.model.condition != "none" else 0
        return GrowingCritic(
            config.model,
            shape,
            first=config.growing.first,
            classes=used,
            condition=config.model.condition,
        )
    return make_critic(config.model, shape, classes)


def encoder_of(config: GanConfig, shape: Shape) -> Encoder:
    """Return the encoder of a VAE-GAN."""
    return Encoder(*make_body(config.model, shape), config.model.latent)


def translators_of(config: GanConfig, source: Shape, target: Shape) -> dict[str, UNet]:
    """Return the translator of pix2pix, or both of CycleGAN, by name.

    Raises:
        ConfigError: Images of this size cannot be halved often enough.
    """
    width = config.translation.width
    made = {"generator": UNet(source, target, width)}
    if config.loop == "cycle":
        made["inverse"] = UNet(target, source, width)
    return made


def bundled(config: GanConfig, shape: Shape, source: Shape, classes: int) -> dict[str, nn.Module]:
    """Return every net that a bundle holds, by name."""
    if config.loop in ("pix2pix", "cycle"):
        return dict(translators_of(config, source, shape))
    nets: dict[str, nn.Module] = {"generator": generator_of(config, shape, classes)}
    if config.loop == "vae":
        nets["encoder"] = encoder_of(config, shape)
    return nets
