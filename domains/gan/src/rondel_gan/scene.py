"""What the players of a turn look at together.

Every item is made when it is first asked for, and only once, so that the terms of a turn share
their forward passes. Nobody detaches or freezes anything: what is made by a net that does not move
has no graph, and an update differentiates the parameters it owns alone.

Shapes: N samples, images (N, ...), noise (N, Z), features (N, F), scores (N,).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from rondel_gan.loops.adversarial import Adversarial

GENERATOR, DISCRIMINATOR = "generator", "discriminator"


class Scene:
    """Real and made images of one turn, with what the discriminator says of them.

    Args:
        game: The nets.
        values: Rows of the data: 'real', and 'labels' if there are any.
        draws: Random numbers of these rows.
        moving: The nets whose parameters are about to move.
        watched: Inputs in whose gradient a penalty is interested: 'real', 'fake', 'noise'.
    """

    def __init__(
        self,
        game: Adversarial,
        values: Mapping[str, Tensor],
        draws: Mapping[str, Tensor],
        moving: frozenset[str],
        watched: frozenset[str],
    ) -> None:
        self.game = game
        self.values = values
        self.draws = draws
        self.moving = moving
        self.watched = watched
        self.notes: dict[str, Tensor] = {}
        """Sums over the samples, for the log and for those who steer by them."""

    def __len__(self) -> int:
        """Return N."""
        return len(self.values["real"])

    def note(self, name: str, values: Tensor) -> None:
        """Keep what is worth knowing of each sample, (N,)."""
        self.notes[name] = values.detach().sum()

    def leaf(self, name: str, tensor: Tensor) -> Tensor:
        """Return an input whose gradient can be asked for, if a penalty watches it."""
        if name not in self.watched or tensor.requires_grad:
            return tensor
        return tensor.detach().requires_grad_()

    @cached_property
    def real(self) -> Tensor:
        """Real images."""
        return self.leaf("real", self.values["real"])

    @cached_property
    def labels(self) -> Tensor | None:
        """Their classes, (N,), which the made ones share."""
        return self.values.get("labels")

    @cached_property
    def noise(self) -> Tensor:
        """What images are made of."""
        return self.leaf("noise", self.draws["noise"])

    @cached_property
    def fake(self) -> Tensor:
        """Images made of the noise, with a graph if the generator moves."""
        with torch.set_grad_enabled(GENERATOR in self.moving):
            made: Tensor = self.game.generator(self.noise, self.labels)
        return self.leaf("fake", made)

    @cached_property
    def mixed(self) -> Tensor:
        """Images between real and made ones, each at a place of its own."""
        real, fake = self.real.detach(), self.fake.detach()
        place = self.draws["mixing"].view(-1, *[1] * (real.ndim - 1))
        return (real + place * (fake - real)).requires_grad_()

    @cached_property
    def real_features(self) -> Tensor:
        """What the discriminator sees in real images."""
        with torch.set_grad_enabled(DISCRIMINATOR in self.moving):
            return self.seen(self.real, "real")

    @cached_property
    def fake_features(self) -> Tensor:
        """What the discriminator sees in made images."""
        return self.seen(self.fake, "fake")

    @cached_property
    def real_scores(self) -> Tensor:
        """The scores of real images."""
        with torch.set_grad_enabled(DISCRIMINATOR in self.moving):
            return self.game.discriminator.score(self.real_features, self.labels)

    @property
    def rivals(self) -> Tensor:
        """What made scores are compared with: real ones, if the rule of the game pairs them."""
        return self.real_scores if self.game.rule.paired else self.fake_scores

    @cached_property
    def fake_scores(self) -> Tensor:
        """The scores of made images."""
        return self.game.discriminator.score(self.fake_features, self.labels)

    def seen(self, images: Tensor, name: str) -> Tensor:
        """Return the discriminator's features of images, varied if it is to see them so."""
        if self.game.augment is not None:
            images = self.game.augment(images, self.draws[f"vary_{name}"])
        return self.game.discriminator.features(images)

    def score(self, images: Tensor) -> Tensor:
        """Return the scores of other images of the same classes."""
        scores: Tensor = self.game.discriminator(images, self.labels)
        return scores

    def gauge(self) -> None:
        """Note how the discriminator does: mean scores, and pairs in the right order."""
        real, fake = self.real_scores.detach(), self.fake_scores.detach()
        self.note("real", real)
        self.note("fake", fake)
        self.note("wins", (real > fake).to(real))
        self.note("sign", real.sign())
