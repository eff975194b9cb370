"""pix2pix: a generator from image to image, and a discriminator that sees both."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import torch
from torch import Tensor

from rondel import Run, Watch
from rondel_gan.config import GanConfig
from rondel_gan.loops.translation import Translation
from rondel_gan.losses import distance
from rondel_gan.metrics.likeness import likeness
from rondel_gan.player import Player, Term
from rondel_gan.scene import GENERATOR, Scene


class PairScene(Scene):
    """Sources with the targets that belong to them."""

    game: Pix2Pix

    @property
    def source(self) -> Tensor:
        """What is translated."""
        return self.values["source"]

    @cached_property
    def fake(self) -> Tensor:
        """Translations of the sources, with a graph if the generator moves."""
        with torch.set_grad_enabled(GENERATOR in self.moving):
            made: Tensor = self.game.generator(self.source)
        return self.leaf("fake", made)

    def seen(self, images: Tensor, name: str) -> Tensor:  # noqa: ARG002 - nothing is varied
        """Return the discriminator's features of images beside their sources."""
        return self.game.discriminator.features(torch.cat([self.source, images], dim=1))


class Pix2Pix(Translation):
    """Train a translator on pairs (Isola et al., 2017, section 3.1).

    There is no noise: without dropout the translation is a function of the source.
    """

    scene = PairScene

    watch = Watch("l1", "min")

    def seats(self, config: GanConfig) -> Sequence[Player]:
        """Return the players; the generator stays close to the target, too."""
        rival, maker = super().seats(config)
        l1 = Term("l1", lambda s: distance(s.fake, s.real), config.translation.l1)
        return rival, maker.with_more(l1)

    def evaluate(self, run: Run) -> dict[str, float]:
        """Compare translations of held-out sources with their targets, beside all else."""
        values = super().evaluate(run)
        _, targets = self.held_out
        return {**likeness(self.samples(len(targets), seed=0), targets), **values}

    def features_of(self, images: Tensor) -> Tensor:
        """Return what the discriminator sees in images beside held-out sources, (N, F)."""
        sources = self.held_out[0][: len(images)]
        return super().features_of(torch.cat([sources, images[: len(sources)].to(sources)], dim=1))
