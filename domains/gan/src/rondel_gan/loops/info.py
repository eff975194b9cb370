"""InfoGAN: a part of the noise is a code that can be read off the images."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from rondel import Section
from rondel_gan.codes import coded_noise
from rondel_gan.config import GanConfig
from rondel_gan.loops.adversarial import Adversarial
from rondel_gan.losses import classification, gaussian_code
from rondel_gan.player import Player, Term
from rondel_gan.report.samples import codes_section
from rondel_gan.scene import Scene


class Info(Adversarial):
    """Keep the mutual information of codes and images high (Chen et al., 2016, section 5).

    The noise ends in a one-hot category and in continuous codes, uniform in [-1, 1]. The generator
    owns a linear layer that reads both off the discriminator's features.
    """

    def seats(self, config: GanConfig) -> Sequence[Player]:
        """Return the players; the generator pursues the information too."""
        codes = config.info
        self.recogniser = nn.Linear(self.discriminator.width, codes.categories + codes.continuous)
        self.recogniser.to(next(self.discriminator.parameters()))
        rival, maker = super().seats(config)
        information = Term("information", self.information, codes.weight)
        return rival, maker.with_more(information, recogniser=self.recogniser)

    def information(self, scene: Scene) -> Tensor:
        """Return how badly the codes are read, (N,): minus the bound of equation 5."""
        categories = self.config.info.categories
        read = self.recogniser(scene.fake_features)
        _, category, continuous = self.codes_in(scene.noise)
        lost = classification(read[:, :categories], category.argmax(dim=1))
        return lost + gaussian_code(read[:, categories:], continuous)

    def codes_in(self, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Split (N, Z) noise into (N, latent) Gaussian, (N, K) one-hot and (N, C) uniform numbers."""
        codes = self.config.info
        plain = noise.shape[1] - codes.categories - codes.continuous
        gaussians, category, continuous = torch.split(
            noise, [plain, codes.categories, codes.continuous], dim=1
        )
        return gaussians, category, continuous

    def noise(self, size: int, generator: torch.Generator) -> Tensor:
        """Draw Gaussian numbers and codes, (N, Z)."""
        return coded_noise(self.config, size, generator)

    def exhibits(self) -> Sequence[Section | None]:
        """Show what the codes do, too."""
        return (codes_section(self), *super().exhibits())
