"""Generator against discriminator, without or with classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from rondel import Run, Section, Watch
from rondel.errors import ConfigError
from rondel_gan import penalties
from rondel_gan.alarm import Alarm
from rondel_gan.augment import Augment
from rondel_gan.bundle import GanBundle
from rondel_gan.config import GanConfig
from rondel_gan.loops.game import GAUGE_EVERY, NORM_EVERY, Draw, Game, Move, Rows
from rondel_gan.losses import RULES, classification
from rondel_gan.metrics.distances import mean_distance
from rondel_gan.models.critic import Critic
from rondel_gan.models.generator import Generator
from rondel_gan.models.proxy import Proxy
from rondel_gan.penalties import PathLength, Penalty, penalty
from rondel_gan.picture import picture_of
from rondel_gan.player import Player, Term
from rondel_gan.report.classes import classes_section
from rondel_gan.report.composition import compose
from rondel_gan.report.samples import sample_sections
from rondel_gan.sampling import gaussian, rendered, sample
from rondel_gan.scene import DISCRIMINATOR, GENERATOR, Scene
from rondel_gan.turns import Turn

if TYPE_CHECKING:
    from rondel_gan.metrics import Quality

PICTURE_IMAGES, PICTURE_POINTS = 64, 2000


class Adversarial(Game):
    """Train discriminator and generator in turns (Goodfellow et al., 2014).

    Args:
        config: The config of the domain.
        generator: Makes images of noise.
        discriminator: Scores images; it is needed for training only.
        data: 'real', (N, ...) real images in [-1, 1] or points, and 'labels', (N,), if they matter.
        quality: Measures samples against held-out ones.

    Raises:
        ConfigError: The generator makes something else than the data is made of.
    """

    watch = Watch("frechet", "min")
    scene = Scene
    classes: Sequence[str] = ()
    """Names of the classes of the data."""
    protocol: Section | None = None
    """What the numbers of the evaluation mean, and what stands beside them."""

    def __init__(
        self,
        config: GanConfig,
        *,
        generator: Generator,
        discriminator: Critic,
        data: Rows,
        quality: Quality,
    ) -> None:
        self.rule = RULES[config.loss]
        self.generator = generator
        self.discriminator = discriminator
        self.quality = quality
        self.augment = Augment.of(config.augment, data["real"].shape[1:])
        self.path = PathLength()
        self.real = data["real"]
        self.alarm = Alarm(config.alarm)
        super().__init__(config, self.seats(config), data, self.random_numbers(config))
        self.check_shape()

    def check_shape(self) -> None:
        """Refuse a generator whose samples have not the shape of the data.

        Raises:
            ConfigError: Names both shapes.
        """
        learns = self.generator.training
        self.generator.eval()  # statistics of batches stay as they are
        made = self.samples(1, seed=0)
        self.generator.train(learns)
        shape, wanted = tuple(made.shape[1:]), tuple(self.real.shape[1:])
        if shape != wanted:
            raise ConfigError(
                f"makes samples of shape {shape}, and those of the data have {wanted}",
                where="generator",
                hint="Give it a last layer of that shape.",
            )

    def seats(self, config: GanConfig) -> Sequence[Player]:
        """Return the players."""
        rule = self.rule
        rival = Player(
            "D",
            DISCRIMINATOR,
            {DISCRIMINATOR: self.discriminator},
            config.discriminator,
            terms=[
                Term("adversarial", lambda s: rule.discriminator(s.real_scores, s.fake_scores)),
                *self.class_terms(config, "real_features"),
            ],
            penalties=[
                *penalty("r1", penalties.r1, config.r1, "real"),
                *penalty("r2", penalties.r2, config.r2, "fake"),
                *penalty("gradient", penalties.one_lipschitz, config.gradient),
            ],
        )
        maker = Player(
            "G",
            GENERATOR,
            {GENERATOR: self.generator},
            config.generator,
            terms=[
                Term("adversarial", lambda s: rule.generator(s.rivals, s.fake_scores)),
                *self.class_terms(config, "fake_features"),
            ],
            penalties=penalty("path", self.path, config.path, "noise"),
        )
        return rival, maker

    def class_terms(self, config: GanConfig, features: str) -> tuple[Term, ...]:
        """Return the term of the auxiliary classifier, if the discriminator has one."""
        if config.model.condition != "auxiliary":
            return ()

        def value(scene: Scene) -> Tensor:
            assert scene.labels is not None
            logits = self.discriminator.classify(getattr(scene, features))
            return classification(logits, scene.labels)

        return (Term("class", value),)

    def random_numbers(self, config: GanConfig) -> dict[str, dict[str, Draw]]:
        """Return what each player needs."""
        shape = tuple(self.real.shape[1:])
        rival: dict[str, Draw] = {"noise": self.noise}
        maker: dict[str, Draw] = {"noise": self.noise}
        if config.gradient.on:
            rival["mixing"] = lambda size, draw: torch.rand(size, generator=draw)
        if config.path.on:
            maker["path"] = lambda size, draw: torch.randn((size, *shape), generator=draw)
        if self.augment is not None:
            for needed in (rival, maker):
                needed["vary_real"] = needed["vary_fake"] = self.augment.draw
        return {"D": rival, "G": maker}

    def noise(self, size: int, generator: torch.Generator) -> Tensor:
        """Draw what images are made of, (N, Z)."""
        return gaussian(size, self.generator.latent, generator)

    def enter(self, run: Run) -> None:
        """Register, beside the players, what steers them."""
        super().enter(run)
        self.track(run)

    def track(self, run: Run) -> None:
        """Register what steers the players, or looks at them."""
        run.track("alarm", self.alarm)
        if self.config.path.on:
            run.track("path", self.path)
        if self.augment is not None and self.augment.adapts:
            run.track("augment", self.augment)

    def sits_out(self, run: Run, turn: Turn, rows: Rows, draws: Mapping[str, Rows]) -> bool:
        """Leave the discriminator out while it wins too often; this waits for the device."""
        limit = self.config.balance
        if limit is None or turn.players != ("D",):
            return False
        with torch.no_grad():
            scene = self.scene(self, rows, draws["D"], frozenset(), frozenset())
            wins = (scene.real_scores > scene.fake_scores).sum()
        sums = run.processes.sum_counts({"wins": wins, "of": len(scene)})
        return float(sums["wins"]) > limit * float(sums["of"])

    def moved(self, player: Player, move: Move) -> None:
        """Let paths and augmentation follow, and note what the alarm looks at."""
        if player.code == "D" and move.gauged:
            self.ledger.add("wins", move.mean(player, "wins"))
            if self.augment is not None and self.augment.adapts:
                sign = move.mean(player, "sign")
                self.augment.follow(sign, images=GAUGE_EVERY * self.config.batch_size)
        if player.code == "G" and self.ledger.moves["G"] % NORM_EVERY == 0:
            self.ledger.add("gradient", move.gradient_norm(player))
        for own in player.penalties:
            self.held_back(player, own, move)

    def held_back(self, player: Player, penalty: Penalty, move: Move) -> None:
        """Let the mean path length follow."""
        if penalty.value is self.path:
            self.path.moved(move.mean(player, PathLength.name))

    # -- looking at it -------------------------------------------------------------------------

    def samples(self, count: int, *, seed: int) -> Tensor:
        """Return ``count`` samples with the present weights; the same for the same seed."""
        return sample(self.generator, count, seed=seed, noise=self.noise)

    def evaluate(self, run: Run) -> dict[str, float]:
        """Measure samples of the same noise each time; every process measures all of them."""
        made = self.samples(self.config.evaluation.samples, seed=run.settings.seed)
        values = dict(self.quality.measure(rendered(made)))
        if self.config.alarm.on:
            signs = self.signs(made.to(self.real), values)
            for cry in self.alarm.look(signs, seen=self.seen(run)):
                run.say(str(cry))
                if self.config.alarm.stop:
                    run.stop(str(cry))
            values["alarms"] = float(len(self.alarm.ringing))
        return values

    def signs(self, made: Tensor, values: Mapping[str, float]) -> dict[str, float]:
        """Return what the alarm looks at: spreads, and what was noted since the last time."""
        size = min(self.alarm.looks, len(made), len(self.real))
        real, fake = self.real[:size], made[:size]
        look = self.features_of
        return {
            **self.ledger.drain(),
            "spread": spread(look(fake)) / max(spread(look(real)), 1e-12),
            "alike": spread(fake) / max(spread(real), 1e-12),
            **{name: values[name] for name in ("coverage", "novelty") if name in values},
        }

    def features_of(self, images: Tensor) -> Tensor:
        """Return what the discriminator sees in images, (N, F)."""
        return self.discriminator.features(images.to(next(self.discriminator.parameters())))

    def sections(self, run: Run) -> Sequence[Section]:
        """Say in the report whether the alarm went off, and show what the generator can do."""
        return compose(self, run, self.exhibits())

    def exhibits(self) -> Sequence[Section | None]:
        """Show what the generator makes."""
        return (*sample_sections(self), classes_section(self))

    def picture(self) -> bytes:
        """Draw samples, a PNG; of the same noise each time."""
        count = PICTURE_IMAGES if self.real.ndim == 4 else PICTURE_POINTS
        made = self.samples(count, seed=self.config.run.seed)
        return picture_of(made, real=self.real)

    def bundle(self) -> GanBundle:
        """Return the generator, with what measured it."""
        return self.bundle_with()

    def source_shape(self) -> list[int]:
        """Return the shape of what is translated; nothing where samples are made of noise."""
        return []

    def bundle_with(self, **nets: nn.Module) -> GanBundle:
        """Return the generator and other nets, with what measured them."""
        proxy = proxy_of(self.quality)
        measuring = {} if proxy is None else {"proxy": proxy}
        facts = {
            "shape": list(self.generator.shape),
            "source": self.source_shape(),
            "classes": list(self.classes),
            "proxy": proxy is not None,
        }
        return GanBundle(
            config=self.config.model_dump(mode="json"),
            facts=facts,
            modules={"generator": self.generator, **nets, **measuring},
            data=self.data,
        )


def proxy_of(quality: object) -> Proxy | None:
    """Return the proxy that a quality measures with; None if it is none of ours."""
    proxy = getattr(quality, "proxy", None)
    return proxy if isinstance(proxy, Proxy) else None


def spread(rows: Tensor) -> float:
    """Return the mean distance of two different rows of (N, ...)."""
    return mean_distance(rows.detach().flatten(1).double())
