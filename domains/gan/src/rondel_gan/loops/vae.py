"""VAE-GAN: three players, and a discriminator in whose features images are compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

import torch
from torch import Tensor

from rondel import Section
from rondel_gan.bundle import GanBundle
from rondel_gan.config import GanConfig
from rondel_gan.loops.adversarial import Adversarial
from rondel_gan.loops.game import Draw, Rows
from rondel_gan.losses import divergence
from rondel_gan.metrics import Quality
from rondel_gan.models.critic import Critic
from rondel_gan.models.encoder import Encoder
from rondel_gan.models.generator import Generator
from rondel_gan.player import Player, Term
from rondel_gan.report.samples import rebuilt_section
from rondel_gan.sampling import gaussian
from rondel_gan.scene import GENERATOR, Scene

ENCODER = "encoder"


class RebuildingScene(Scene):
    """A scene with images that are made again of what the encoder says of real ones."""

    game: VaeGan

    @cached_property
    def code(self) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of the code of real images, (N, Z) each."""
        with torch.set_grad_enabled(ENCODER in self.moving):
            mean, log_variance = self.game.encoder(self.real)
        return mean, log_variance

    @cached_property
    def rebuilt(self) -> Tensor:
        """Images made of a draw from the code."""
        with torch.set_grad_enabled(bool(self.moving & {ENCODER, GENERATOR})):
            mean, log_variance = self.code
            drawn = mean + (0.5 * log_variance).exp() * self.draws["deviation"]
            made: Tensor = self.game.generator(drawn, self.labels)
        return made

    @cached_property
    def rebuilt_features(self) -> Tensor:
        """What the discriminator sees in them."""
        return self.seen(self.rebuilt, "fake")

    @cached_property
    def rebuilt_scores(self) -> Tensor:
        """Their scores."""
        return self.game.discriminator.score(self.rebuilt_features, self.labels)


class VaeGan(Adversarial):
    """Train encoder, decoder and discriminator (Larsen et al., 2016, algorithm 1).

    Args:
        encoder: Says which noise an image may be made of.
    """

    usual_turns = "D G+E"
    scene = RebuildingScene

    def __init__(
        self,
        config: GanConfig,
        *,
        generator: Generator,
        discriminator: Critic,
        encoder: Encoder,
        data: Rows,
        quality: Quality,
    ) -> None:
        self.encoder = encoder
        super().__init__(
            config, generator=generator, discriminator=discriminator, data=data, quality=quality
        )

    def seats(self, config: GanConfig) -> Sequence[Player]:
        """Return the players."""
        rule, weights = self.rule, config.vae
        rival, maker = super().seats(config)
        return (
            rival.with_more(
                Term("rebuilt", lambda s: rule.discriminator(s.real_scores, s.rebuilt_scores))
            ),
            maker.with_more(
                Term("rebuilt", lambda s: rule.generator(s.rivals, s.rebuilt_scores)),
                Term("likeness", self.likeness, weights.style),
            ),
            Player(
                "E",
                ENCODER,
                {ENCODER: self.encoder},
                config.encoder,
                terms=[
                    Term("prior", lambda s: divergence(*s.code), weights.prior),
                    Term("likeness", self.likeness, weights.likeness),
                ],
            ),
        )

    def likeness(self, scene: RebuildingScene) -> Tensor:
        """Return half the squared distance of real and rebuilt images in features, (N,) (eq. 7)."""
        return 0.5 * (scene.real_features - scene.rebuilt_features).square().sum(dim=1)

    def random_numbers(self, config: GanConfig) -> dict[str, dict[str, Draw]]:
        """Return what each player needs: everybody looks at rebuilt images."""

        def deviation(size: int, draw: torch.Generator) -> Tensor:
            return gaussian(size, self.encoder.latent, draw)

        numbers: Mapping[str, dict[str, Draw]] = {**super().random_numbers(config), "E": {}}
        return {code: needed | {"deviation": deviation} for code, needed in numbers.items()}

    def exhibits(self) -> Sequence[Section | None]:
        """Show rebuilt images, too."""
        return (rebuilt_section(self), *super().exhibits())

    def bundle(self) -> GanBundle:
        """Return the decoder, with the encoder and what measured them."""
        return self.bundle_with(encoder=self.encoder)
