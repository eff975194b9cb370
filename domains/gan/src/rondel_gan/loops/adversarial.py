"""The loop of two players: when what happens, in plain Python."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from rondel import Loop, Loss, Run, Section, Stream, Watch
from rondel_gan import losses
from rondel_gan.bundle import GanBundle
from rondel_gan.config import GanConfig
from rondel_gan.metrics import SampleQuality
from rondel_gan.models.perceptron import Discriminator, Generator
from rondel_gan.picture import grid_png
from rondel_gan.sampling import sample

PICTURE_IMAGES = 64


class Adversarial(Loop):
    """Train discriminator and generator in turns (Goodfellow et al., 2014).

    Args:
        config: The config of the domain.
        generator: Makes images of noise.
        discriminator: Scores images; it is needed for training only.
        images: (N, C, H, W) real images in [-1, 1], to train on.
        quality: Measures samples against held-out images.
    """

    watch = Watch("frechet", "min")
    protocol: Section | None = None
    """What the numbers of the evaluation mean, and what stands beside them."""

    def __init__(
        self,
        config: GanConfig,
        generator: Generator,
        discriminator: Discriminator,
        images: Tensor,
        quality: SampleQuality,
    ) -> None:
        self.config = config
        self.generator = generator
        self.discriminator = discriminator
        self.images = Stream(images, batch_size=config.batch_size, noise=self.noise)
        self.quality = quality

    def train(self, run: Run) -> None:
        """Update the players in turns, batch by batch."""
        config, images = self.config, self.images
        discriminator = run.update(
            "discriminator",
            self.discriminator,
            config.discriminator,
            total=images.planned(config.epochs),
        )
        generator = run.update(
            "generator",
            self.generator,
            config.generator,
            total=images.planned(config.epochs, every=config.critic_steps),
        )
        for _ in run.epochs(config.epochs):
            for real, (critic_noise, noise) in run.batches(images):
                with discriminator.gather():
                    discriminator(self.discriminator_loss, real, critic_noise)
                    if config.r1.gamma and run.every(config.r1.every):
                        discriminator(self.penalty, real)
                if run.every(config.critic_steps):
                    generator(self.generator_loss, noise)
            run.evaluate(self)

    def noise(self, size: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw the noise of a batch, (N, latent) for each player."""
        shape = (size, self.generator.latent)
        return torch.randn(shape, generator=generator), torch.randn(shape, generator=generator)

    def discriminator_loss(self, real: Tensor, noise: Tensor) -> Loss:
        """Tell real images from those that the present generator makes of the noise."""
        with torch.no_grad():
            fake = self.generator(noise)
        return losses.discriminator_loss(self.discriminator(real), self.discriminator(fake))

    def penalty(self, real: Tensor) -> Loss:
        """Keep the discriminator flat around real images; stronger if applied less often."""
        r1 = self.config.r1
        return losses.r1_penalty(self.discriminator, real, weight=r1.gamma * r1.every)

    def generator_loss(self, noise: Tensor) -> Loss:
        """Make images that the present discriminator takes for real."""
        return losses.generator_loss(self.discriminator(self.generator(noise)))

    def evaluate(self, run: Run) -> dict[str, float]:
        """Measure samples of the same noise each time; every process measures all of them."""
        count = self.config.evaluation.samples
        return self.quality.measure(sample(self.generator, count, seed=run.settings.seed))

    def sections(self, run: Run) -> Sequence[Section]:  # noqa: ARG002 - nothing is looked at again
        """Say in the report how samples are measured."""
        return () if self.protocol is None else (self.protocol,)

    def picture(self) -> bytes:
        """Draw a grid of samples, a PNG; the same noise each time."""
        return grid_png(sample(self.generator, PICTURE_IMAGES, seed=self.config.run.seed))

    def bundle(self) -> GanBundle:
        """Return the generator, with the proxy that measured it."""
        return GanBundle(
            config=self.config.model_dump(mode="json"),
            facts=self.quality.proxy.facts() | {"shape": list(self.generator.shape)},
            modules={"generator": self.generator, "proxy": self.quality.proxy},
            data=self.data,
        )
