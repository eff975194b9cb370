"""CycleGAN: two translators, two discriminators, and images that find their way back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from rondel import Run, Section, Stream, Watch
from rondel.errors import ConfigError
from rondel_gan.bundle import GanBundle
from rondel_gan.config import GanConfig
from rondel_gan.loops.game import Rows
from rondel_gan.loops.translation import Translation
from rondel_gan.losses import distance
from rondel_gan.models.critic import Critic
from rondel_gan.models.unet import UNet
from rondel_gan.player import Player, Term
from rondel_gan.pool import Pool
from rondel_gan.report.translations import cycle_sections
from rondel_gan.sampling import translated
from rondel_gan.scene import DISCRIMINATOR, GENERATOR, Scene

if TYPE_CHECKING:
    from rondel_gan.metrics import Quality

INVERSE, OTHER = "inverse", "other"


class CycleScene(Scene):
    """Sources and targets that do not belong together, and what the translators make of both."""

    game: Cycle

    @property
    def source(self) -> Tensor:
        """Images to translate."""
        return self.values["source"]

    def translated(self, net: nn.Module, images: Tensor) -> Tensor:
        """Return what a translator makes of images, with a graph if the translators move."""
        with torch.set_grad_enabled(GENERATOR in self.moving):
            made: Tensor = net(images)
        return made

    @cached_property
    def fake(self) -> Tensor:
        """Targets made of sources; the discriminators are shown past ones, too."""
        if GENERATOR not in self.moving:
            return self.values["pooled"]
        return self.translated(self.game.generator, self.source)

    @cached_property
    def fake_source(self) -> Tensor:
        """Sources made of targets."""
        if GENERATOR not in self.moving:
            return self.values["pooled_source"]
        return self.translated(self.game.inverse, self.real)

    @cached_property
    def source_scores(self) -> Tensor:
        """What the other discriminator says of sources."""
        with torch.set_grad_enabled(DISCRIMINATOR in self.moving):
            scores: Tensor = self.game.other(self.source)
        return scores

    @cached_property
    def fake_source_scores(self) -> Tensor:
        """What it says of made ones."""
        scores: Tensor = self.game.other(self.fake_source)
        return scores

    @cached_property
    def way_back(self) -> Tensor:
        """How far images are from themselves after the way there and back, (N,)."""
        source = self.translated(self.game.inverse, self.fake)
        target = self.translated(self.game.generator, self.fake_source)
        return distance(source, self.source) + distance(target, self.real)

    @cached_property
    def stay(self) -> Tensor:
        """How much images of the domain that is wanted are changed, (N,)."""
        target = self.translated(self.game.generator, self.real)
        source = self.translated(self.game.inverse, self.source)
        return distance(target, self.real) + distance(source, self.source)


class Cycle(Translation):
    """Train translators between two sets without pairs (Zhu et al., 2017, section 3).

    Args:
        generator: From sources to targets.
        inverse: From targets to sources.
        discriminator: Scores targets.
        other: Scores sources.
        data: 'real', the targets.
        sources: (M, C, H, W) images to translate.
    """

    usual_turns = "G D"
    drop_last = True  # sources and targets meet in batches of one size
    scene = CycleScene
    watch = Watch("frechet", "min")

    def __init__(
        self,
        config: GanConfig,
        *,
        generator: UNet,
        inverse: UNet,
        discriminator: Critic,
        other: Critic,
        data: Rows,
        sources: Tensor,
        quality: Quality,
        held_out: tuple[Tensor, Tensor],
    ) -> None:
        self.inverse = inverse
        self.other = other
        size = config.translation.pool
        self.pools = {name: Pool(size, name) for name in ("pooled", "pooled_source")}
        self.sources = Stream(
            {"source": sources}, batch_size=config.batch_size, name="sources", drop_last=True
        )
        super().__init__(
            config,
            generator=generator,
            discriminator=discriminator,
            data=data,
            quality=quality,
            held_out=held_out,
        )

    def seats(self, config: GanConfig) -> Sequence[Player]:
        """Return the players: both discriminators, and both translators.

        Raises:
            ConfigError: Images are to stay as they are, and have not the channels for it.
        """
        rule, weights = self.rule, config.translation
        if weights.identity:
            check_channels(self.generator.shape, self.inverse.shape)
        rival, maker = super().seats(config)
        other = Term("other", lambda s: rule.discriminator(s.source_scores, s.fake_source_scores))
        back = Term(
            "other",
            lambda s: rule.generator(
                s.source_scores if rule.paired else s.fake_source_scores, s.fake_source_scores
            ),
        )
        terms = [back, Term("cycle", lambda s: s.way_back, weights.cycle)]
        if weights.identity:
            terms.append(Term("identity", lambda s: s.stay, weights.cycle * weights.identity))
        return (
            maker.with_more(*terms, inverse=self.inverse),
            rival.with_more(other, other=self.other),
        )

    def enter(self, run: Run) -> None:
        """Register the pools beside the players."""
        super().enter(run)
        for name, pool in self.pools.items():
            run.track(name, pool)

    def batches(self, run: Run) -> Iterator[tuple[Rows, Mapping[str, Rows]]]:
        """Iterate over targets with sources beside them, and what the discriminators are shown."""
        for (rows, draws), sources in run.batches(self.stream, self.sources):
            number = self.batch_number(run)
            made = {
                "pooled": translated(self.generator, sources["source"]),
                "pooled_source": translated(self.inverse, rows["real"]),
            }
            shown = {
                name: self.pools[name].exchange(run, images, number)
                for name, images in made.items()
            }
            yield {**rows, **sources, **shown}, draws

    def evaluate(self, run: Run) -> dict[str, float]:
        """Measure held-out images on their way there and back, beside all else."""
        values = super().evaluate(run)
        sources, _ = self.held_out
        back = translated(self.inverse, translated(self.generator, sources))
        return {"cycle": float(distance(back, sources).mean()), **values}

    def exhibits(self) -> Sequence[Section | None]:
        """Show both ways there and back."""
        return cycle_sections(self)

    def bundle(self) -> GanBundle:
        """Return both translators, with what measured them."""
        return self.bundle_with(inverse=self.inverse)


def check_channels(target: Sequence[int], source: Sequence[int]) -> None:
    """Refuse to keep images as they are by a net that takes others.

    Raises:
        ConfigError: Sources and targets have different channels.
    """
    if source[0] != target[0]:
        raise ConfigError(
            f"sources have {source[0]} channels, targets {target[0]}: none can stay as it is",
            where="translation.identity",
            hint="Set translation.identity=0, or color=rgb for both.",
        )
