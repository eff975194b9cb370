"""Makes data, players, measures and loop from a config."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from rondel import Baseline, Section, Watch
from rondel.errors import ConfigError
from rondel_gan.config import GanConfig
from rondel_gan.data.images import Images, split
from rondel_gan.data.mixtures import Points
from rondel_gan.data.pairs import Pairs, split_pairs
from rondel_gan.data.reader import read
from rondel_gan.loops.adversarial import Adversarial
from rondel_gan.loops.cycle import Cycle
from rondel_gan.loops.growing import Growing
from rondel_gan.loops.info import Info
from rondel_gan.loops.pix2pix import Pix2Pix
from rondel_gan.loops.vae import VaeGan
from rondel_gan.metrics import ModeQuality, Quality, quality_of
from rondel_gan.metrics.extractor import make_extractor
from rondel_gan.nets import encoder_of, judges_of, players_of, translators_of
from rondel_gan.references import describe_images, describe_points, measure_references

LOOPS: dict[str, Callable[..., Adversarial]] = {
    "adversarial": Adversarial,
    "info": Info,
    "vae": VaeGan,
    "growing": Growing,
    "pix2pix": Pix2Pix,
    "cycle": Cycle,
}
READ = {
    "info": ("info",),
    "vae": ("vae",),
    "encoder": ("vae",),
    "growing": ("growing",),
    "translation": ("pix2pix", "cycle"),
}
"""Groups of settings that some loops alone read."""


def build(config: GanConfig) -> Adversarial:
    """Read the data, hold some out, train the proxy on the others, and make the loop.

    Raises:
        DataError: The data cannot be used.
        ConfigError: A setting does not fit the data or the loop.
    """
    check_compile(config)
    check_read(config)
    data = read(config)
    if isinstance(data, Points):
        loop = game_of_points(config, data)
    elif isinstance(data, Pairs):
        loop = game_of_pairs(config, data)
    else:
        loop = game_of_images(config, data)
    loop.data = data.manifest
    return loop


def game_of_images(config: GanConfig, images: Images) -> Adversarial:
    """Return a game of images, measured by the features of a proxy or of Inception."""
    parts = split(images, config.held_out)
    extractor = make_extractor(config.evaluation, parts.train, parts.train_labels, images.classes)
    quality = quality_of(config, extractor, parts.held_out, train=parts.train)
    rows = {"real": parts.train}
    if config.model.condition != "none" and parts.train_labels is not None:
        rows["labels"] = parts.train_labels
    loop = game_of_two(config, rows, quality, images.classes)
    made = untrained(loop, config.evaluation.samples, seed=config.run.seed)
    references = measure_references(parts.train, made, quality)
    loop.baseline = Baseline(*min(references.guesses.items(), key=lambda g: g[1]["frechet"]))
    loop.protocol = describe_images(config, parts, quality, references)
    return loop


def game_of_points(config: GanConfig, points: Points) -> Adversarial:
    """Return a game of points of a mixture, measured by its modes."""
    quality = ModeQuality(points.centres, points.deviation)
    rows = {"real": points.values}
    if config.model.condition != "none":
        rows["labels"] = points.labels
    classes = tuple(str(mode) for mode in range(len(points.centres)))
    loop = game_of_two(config, rows, quality, classes)
    loop.watch = Watch("divergence", "min")
    made = untrained(loop, config.evaluation.samples, seed=config.run.seed)
    references = measure_references(points.values, made, quality)
    loop.baseline = Baseline(*max(references.guesses.items(), key=lambda g: g[1]["modes"]))
    loop.protocol = describe_points(config, quality, references)
    return loop


def game_of_two(
    config: GanConfig, rows: dict[str, Any], quality: Quality, classes: Sequence[str]
) -> Adversarial:
    """Return a game in which samples are made of noise."""
    shape = rows["real"].shape[1:]
    generator, discriminator = players_of(config, shape, len(classes))
    parts: dict[str, Any] = {
        "generator": generator,
        "discriminator": discriminator,
        "data": rows,
        "quality": quality,
    }
    if config.loop == "vae":
        parts["encoder"] = encoder_of(config, shape)
    loop = LOOPS[config.loop](config, **parts)
    loop.classes = tuple(classes)
    return loop


def game_of_pairs(config: GanConfig, pairs: Pairs) -> Adversarial:
    """Return a game from image to image, measured by fixed random features."""
    parts = split_pairs(pairs, config.held_out)
    source, target = parts.train_a, parts.train_b
    extractor = make_extractor(config.evaluation, target, None, ())
    quality = quality_of(config, extractor, parts.held_out_b)
    shapes = (source.shape[1:], target.shape[1:])
    nets: dict[str, Any] = {**translators_of(config, *shapes), **judges_of(config, *shapes)}
    data = {"real": target}
    if config.loop == "pix2pix":
        data["source"] = source
    else:
        nets["sources"] = source
    held_out = (parts.held_out_a, parts.held_out_b)
    loop = LOOPS[config.loop](config, **nets, data=data, quality=quality, held_out=held_out)
    made = untrained(loop, len(parts.held_out_a), seed=0)
    references = measure_references(target, made, quality)
    loop.baseline = Baseline("untrained translator", references.guesses["untrained generator"])
    text = f"Protocol: {quality.protocol(len(made))}. Numbers are of held-out images."
    loop.protocol = Section("How translations are measured", text=text)
    return loop


def untrained(loop: Adversarial, count: int, *, seed: int) -> Tensor:
    """Return samples before the training; statistics of batches stay as they are."""
    loop.generator.eval()
    made = loop.samples(count, seed=seed)
    loop.generator.train()
    return made


def check_compile(config: GanConfig) -> None:
    """Refuse to compile what is differentiated twice.

    Raises:
        ConfigError: Names the key.
    """
    penalties = {"discriminator": ("r1", "r2", "gradient"), "generator": ("path",)}
    for player, names in penalties.items():
        for name in names:
            if getattr(config, player).compile and getattr(config, name).on:
                raise ConfigError(
                    f"torch.compile cannot differentiate the penalty '{name}' twice",
                    where=f"{player}.compile",
                    hint=f"Leave it false, or switch the penalty off by {name}.weight=0.",
                )


def check_read(config: GanConfig) -> None:
    """Refuse settings that the game would not read.

    Raises:
        ConfigError: Names the key.
    """
    translates = config.loop in ("pix2pix", "cycle")
    unread = {
        "model.condition": translates and config.model.condition != "none",
        "augment.mode": translates and config.augment.mode != "none",
        "path.weight": translates and config.path.on,
        "gradient.weight": translates and config.gradient.on,
    }
    for group, loops in READ.items():
        default = GanConfig.model_fields[group].default
        unread[group] = config.loop not in loops and getattr(config, group) != default
    for key, is_set in unread.items():
        if is_set:
            raise ConfigError(
                f"loop={config.loop} does not read it", where=key, hint="Leave it out."
            )
