"""The keys of the domain, beside those that every domain has."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from rondel.config import Config, setting
from rondel.settings import DomainConfig, OptimizerConfig, ScheduleConfig, UpdateConfig
from rondel_gan.recipes import RECIPES, RecipeName, suiting

LoopName = Literal["adversarial", "info", "vae", "pix2pix", "cycle", "growing"]
LossName = Literal["non_saturating", "least_squares", "hinge", "wasserstein", "relativistic"]
DatasetName = Literal["digits", "ring", "grid", "mnist", "fashion", "colorize", "photos"]
Condition = Literal["none", "projection", "auxiliary"]


class ModelConfig(Config):
    """Generator and discriminator, two nets of the same kind."""

    name: Literal["perceptron", "dcgan", "resnet", "r3gan"] = setting(
        "perceptron", help="The kind of net; image-to-image loops have a U-Net and a PatchGAN."
    )
    latent: int = setting(32, help="Random numbers that a sample is made of.", ge=1, le=4096)
    width: int = setting(
        256, help="Features of a hidden layer; channels at the finest resolution.", ge=1, le=16384
    )
    depth: int = setting(2, help="Hidden layers of a perceptron, blocks per size.", ge=1, le=16)
    slope: float = setting(
        0.2, help="Of a perceptron's leaky ReLU below zero; 0 bends sharpest.", ge=0, lt=1
    )
    output: Literal["tanh", "linear"] = setting("tanh", help="Last step of the generator.")
    spectral: bool = setting(False, help="Spectral norm on all layers of the discriminator.")
    condition: Condition = setting(
        "none", help="What the players do with labels: nothing, a projection, or an own head."
    )


class PenaltyConfig(Config):
    """A penalty on the gradients of a net, constant or changing with the images seen."""

    weight: float = setting(0.0, help="Its weight; 0 is off.", ge=0)
    final: float | None = setting(
        None, help="Weight at the end, reached along half a cosine; by default it stays.", ge=0
    )
    every: int = setting(
        1, help="Turns between two of them, each that much stronger (lazy).", ge=1, le=64
    )

    @property
    def on(self) -> bool:
        """It has a weight, at the beginning or at the end."""
        return bool(self.weight or self.final)


class PlayerConfig(UpdateConfig):
    """One player: optimizer, schedules, average."""

    final_betas: tuple[float, float] | None = setting(
        None, help="Decay rates of Adam at the end, reached along half a cosine."
    )
    ema_images: float | None = setting(
        None, help="Half-life of the average in images, in place of 'ema'.", gt=0
    )
    clip_weights: float | None = setting(
        None, help="Every weight is clipped to this size after a step (first WGAN).", gt=0
    )


class AugmentConfig(Config):
    """What the discriminator gets to see of real and generated images."""

    mode: Literal["none", "diff", "ada"] = setting(
        "none", help="'diff' varies every image, 'ada' as many as overfitting asks for."
    )
    kinds: tuple[Literal["color", "translation", "cutout", "flip"], ...] = setting(
        ("color", "translation", "cutout"), help="Ways in which an image is varied."
    )
    target: float = setting(0.6, help="ADA: mean sign of real scores to keep.", gt=0, lt=1)
    images: int = setting(
        500_000, help="ADA: images in which the probability may go from 0 to 1.", ge=1
    )


class EvaluationConfig(Config):
    """How samples are measured."""

    samples: int = setting(1000, help="Generated images per evaluation.", ge=64, le=50_000)
    every: int = setting(4, help="Epochs between two evaluations.", ge=1)
    proxy_updates: int = setting(
        800, help="Training of the classifier whose features are compared.", ge=1
    )
    neighbours: int = setting(3, help="Nearest neighbours of precision and recall.", ge=1, le=50)
    inception: Path | None = setting(
        None, help="A local file of Inception weights (TF port of 2015), in place of the proxy."
    )


class AlarmConfig(Config):
    """When a run calls for help."""

    on: bool = setting(True, help="Look for collapse at every evaluation.")
    stop: bool = setting(False, help="End the run when the alarm goes off.")
    grace: float = setting(
        0.25, help="Share of the planned images before it looks for the first time.", ge=0, le=1
    )
    spread: float = setting(
        0.3, help="Lowest spread of samples, as a share of that of real images.", ge=0
    )
    alike: float = setting(
        0.15, help="Lowest difference of samples, as a share of that of real images.", ge=0
    )
    coverage: float = setting(
        0.1, help="Lowest share of real images, or of modes, that samples come near.", ge=0, le=1
    )
    winning: float = setting(
        0.97, help="Highest share of images that the discriminator tells apart.", gt=0, le=1
    )
    gradient: float = setting(
        1e-3, help="Smallest gradient of the generator, as a share of its median.", ge=0
    )
    novelty: float = setting(
        0.3, help="Smallest distance to training images, against held-out ones.", ge=0
    )


class InfoConfig(Config):
    """The codes of InfoGAN (Chen et al., 2016)."""

    categories: int = setting(10, help="Values of the categorical code.", ge=2)
    continuous: int = setting(2, help="Continuous codes, uniform in [-1, 1].", ge=0)
    weight: float = setting(1.0, help="Of the mutual information.", gt=0)


class VaeConfig(Config):
    """The terms of a VAE-GAN (Larsen et al., 2016)."""

    prior: float = setting(1.0, help="Weight of the divergence from the prior.", ge=0)
    likeness: float = setting(1.0, help="Weight of the distance in features.", ge=0)
    style: float = setting(0.01, help="Share of the distance in the decoder's loss.", ge=0)


class TranslationConfig(Config):
    """The terms of image-to-image games."""

    l1: float = setting(100.0, help="pix2pix: weight of the distance to the partner.", ge=0)
    cycle: float = setting(10.0, help="CycleGAN: weight of the way there and back.", ge=0)
    identity: float = setting(
        0.5, help="CycleGAN: share of 'cycle' for images of the target itself.", ge=0
    )
    pool: int = setting(50, help="CycleGAN: past images shown to the discriminators.", ge=0)
    width: int = setting(32, help="Channels of the first layer.", ge=4, le=512)


class GrowingConfig(Config):
    """How resolutions follow one another (Karras et al., 2018)."""

    first: int = setting(4, help="Pixels of the first stage.", unit="px", ge=4)
    epochs: int = setting(10, help="Passes of each stage before the last.", ge=1)
    fade: float = setting(0.5, help="Share of a stage in which the new block fades in.", ge=0, le=1)


def player(beta2: float, *, ema: float | None = None) -> PlayerConfig:
    """Return the defaults of one player: Adam without momentum, on a cosine schedule."""
    optimizer = OptimizerConfig(name="adam", lr=2e-3, betas=(0.0, beta2))
    return PlayerConfig(optimizer=optimizer, schedule=ScheduleConfig(name="cosine"), ema=ema)


class GanConfig(DomainConfig):
    """A game of players that take turns."""

    recipe: RecipeName | None = setting(
        None,
        help=f"Settings that belong together: {', '.join(RECIPES)}; by default what suits the set.",
    )
    loop: LoopName = setting("adversarial", help="The game.")
    dataset: DatasetName = setting("digits", help="The set that is used without data.")
    pairs: Literal["folders", "halves"] | None = setting(
        None, help="Image-to-image: two folders, or both images side by side in one file."
    )
    epochs: int = setting(64, help="Passes over the training images.", ge=0, resumable=True)
    batch_size: int = setting(64, help="Images per batch.", ge=1)
    color: Literal["grey", "rgb"] | None = setting(
        None, help="Convert the images of a folder; by default they stay as they are."
    )
    held_out: float | None = setting(
        None,
        help="Share of the images kept for evaluation; by default 500 of the digits, else a fifth.",
        gt=0,
        lt=1,
    )
    turns: str | None = setting(
        None, help="Who moves when: 'D G', 'D*5 G', 'G+D', 'D G/4'; by default as the loop says."
    )
    balance: float | None = setting(
        None, help="D sits out while it tells more than this share of a batch apart.", gt=0, le=1
    )
    loss: LossName = setting("non_saturating", help="What the players play for.")
    model: ModelConfig = setting(ModelConfig(), help="The nets.")
    r1: PenaltyConfig = setting(
        PenaltyConfig(weight=1.0), help="R1: squared gradients of D at real images."
    )
    r2: PenaltyConfig = setting(
        PenaltyConfig(), help="R2: squared gradients of D at generated images."
    )
    gradient: PenaltyConfig = setting(
        PenaltyConfig(), help="WGAN-GP: gradients of D in between have norm 1."
    )
    path: PenaltyConfig = setting(
        PenaltyConfig(), help="Path length: equal steps in the noise change images equally."
    )
    augment: AugmentConfig = setting(AugmentConfig(), help="Variations before D.")
    info: InfoConfig = setting(InfoConfig(), help="loop=info.")
    vae: VaeConfig = setting(VaeConfig(), help="loop=vae.")
    translation: TranslationConfig = setting(TranslationConfig(), help="loop=pix2pix, cycle.")
    growing: GrowingConfig = setting(GrowingConfig(), help="loop=growing.")
    evaluation: EvaluationConfig = setting(EvaluationConfig(), help="How samples are measured.")
    alarm: AlarmConfig = setting(AlarmConfig(), help="When a run calls for help.")
    discriminator: PlayerConfig = setting(player(0.99), help="How the discriminator is updated.")
    generator: PlayerConfig = setting(player(0.99, ema=0.99), help="How the generator is updated.")
    encoder: PlayerConfig = setting(player(0.99), help="loop=vae: how the encoder is updated.")

    @classmethod
    def suiting(cls, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the settings of the recipe, and those that suit the data set and the loop."""
        return suiting(values)
