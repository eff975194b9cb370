"""What games from image to image share: they are looked at by what they make of held-out images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, cast

from torch import Tensor

from rondel import Section
from rondel_gan.config import GanConfig
from rondel_gan.loops.adversarial import Adversarial
from rondel_gan.loops.game import Draw, Rows
from rondel_gan.models.critic import Critic
from rondel_gan.models.generator import Generator
from rondel_gan.models.unet import UNet
from rondel_gan.picture import rows_png
from rondel_gan.report.translations import translation_section
from rondel_gan.sampling import translated

if TYPE_CHECKING:
    from rondel_gan.metrics import Quality

PICTURE_ROWS = 8


class Translation(Adversarial):
    """A game from image to image.

    Args:
        config: The config of the domain.
        generator: Translates images.
        discriminator: Scores translations.
        data: 'real' and, of pairs, 'source': (N, C, H, W) images in [-1, 1].
        quality: Measures translations against held-out targets.
        held_out: (M, C, H, W) sources and targets that are translated and compared in evaluations.
    """

    def __init__(
        self,
        config: GanConfig,
        *,
        generator: UNet,
        discriminator: Critic,
        data: Rows,
        quality: Quality,
        held_out: tuple[Tensor, Tensor],
    ) -> None:
        self.held_out = held_out
        super().__init__(
            config,
            generator=cast(Generator, generator),  # nothing here makes noise for it
            discriminator=discriminator,
            data=data,
            quality=quality,
        )

    def random_numbers(self, config: GanConfig) -> dict[str, dict[str, Draw]]:  # noqa: ARG002
        """Return nothing: translations are no matter of chance."""
        return {"D": {}, "G": {}}

    def samples(self, count: int, *, seed: int) -> Tensor:  # noqa: ARG002 - there is no chance
        """Return translations of held-out sources."""
        return translated(self.generator, self.held_out[0][:count])

    def source_shape(self) -> list[int]:
        """Return the shape of a source, (C, H, W)."""
        return list(self.held_out[0].shape[1:])

    def signs(self, made: Tensor, values: Mapping[str, float]) -> dict[str, float]:
        """Return what the alarm looks at; translations are as varied as their sources are."""
        return super().signs(made, {n: v for n, v in values.items() if n != "coverage"})

    def exhibits(self) -> Sequence[Section | None]:
        """Show translations."""
        return (translation_section(self),)

    def picture(self) -> bytes:
        """Draw held-out sources, their translations and the targets below each other, a PNG."""
        sources, targets = (images[:PICTURE_ROWS] for images in self.held_out)
        return rows_png([sources, translated(self.generator, sources), targets])
