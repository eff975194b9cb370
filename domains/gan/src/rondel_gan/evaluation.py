"""What a bundle makes, measured: with fresh noise, or on images that were held out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from rondel import DataManifest
from rondel.errors import DataError
from rondel_gan.data.images import split
from rondel_gan.data.mixtures import Points
from rondel_gan.data.pairs import Pairs, SplitPairs, split_pairs
from rondel_gan.data.reader import Data, read
from rondel_gan.losses import distance
from rondel_gan.metrics import ModeQuality, Quality, quality_of
from rondel_gan.metrics.extractor import Extractor, make_extractor
from rondel_gan.metrics.likeness import likeness
from rondel_gan.models.proxy import Proxy
from rondel_gan.sampling import rendered

if TYPE_CHECKING:
    from rondel_gan.bundle import GanBundle


def evaluate(bundle: GanBundle, data: Path | None) -> dict[str, float]:
    """Measure a bundle.

    Args:
        bundle: The model.
        data: Real images to compare with, all of them; by default those held out in training.

    Raises:
        DataError: The data cannot be read, does not fit, or is not what the model was trained on.
        ConfigError: The file of Inception weights is missing, or another one.
    """
    config = bundle.settings
    found = read(config if data is None else config.model_copy(update={"data": data}))
    if data is None:
        check_unchanged(bundle.data, found)
    if isinstance(found, Pairs):
        return of_translations(bundle, found, whole=data is not None)
    if isinstance(found, Points):
        quality: Quality = ModeQuality(found.centres, found.deviation)
    else:
        check_shape(found.pixels, bundle.shape, found.name)
        parts = split(found, config.held_out) if data is None else None
        quality = quality_of(
            config,
            extractor_of(bundle, found.pixels),
            found.pixels if parts is None else parts.held_out,
            train=None if parts is None else parts.train,
        )
    # not the noise by which the best state was chosen
    made = bundle.maker.samples(config.evaluation.samples, seed=config.run.seed + 1)
    return quality.measure(rendered(made))


def of_translations(bundle: GanBundle, pairs: Pairs, *, whole: bool) -> dict[str, float]:
    """Measure translations of held-out images, or of all."""
    config = bundle.settings
    check_shape(pairs.a, bundle.facts["source"], f"{pairs.name}, {pairs.names[0]}")
    check_shape(pairs.b, bundle.shape, f"{pairs.name}, {pairs.names[1]}")
    parts = all_held_out(pairs) if whole else split_pairs(pairs, config.held_out)
    sources, targets = parts.held_out_a, parts.held_out_b
    made = bundle.translate(sources)
    quality = quality_of(config, extractor_of(bundle, targets), targets)
    measured = quality.measure(rendered(made[: config.evaluation.samples]))
    if config.loop == "cycle":
        back = bundle.translate(made, direction="back")
        return {"cycle": float(distance(back, sources).mean()), **measured}
    return {**likeness(made, targets), **measured}


def all_held_out(pairs: Pairs) -> SplitPairs:
    """Return a split that holds out everything."""
    return SplitPairs(
        train_a=pairs.a[:0], train_b=pairs.b[:0], held_out_a=pairs.a, held_out_b=pairs.b
    )


def extractor_of(bundle: GanBundle, images: Tensor) -> Extractor:
    """Return what measured the model; Inception is read again from its file."""
    proxy = bundle.modules.get("proxy")
    if isinstance(proxy, Proxy):
        return proxy
    return make_extractor(bundle.settings.evaluation, images, None, ())


def check_shape(images: Tensor, shape: tuple[int, ...] | list[int], where: str) -> None:
    """Refuse images of another shape.

    Raises:
        DataError: Names both shapes.
    """
    given = tuple(images.shape[1:])
    if given != tuple(shape):
        raise DataError(
            f"images of shape {given} (channels, height, width), but the model has {tuple(shape)}",
            where=where,
            hint="Give images like those that it was trained on.",
        )


def check_unchanged(trained: DataManifest | None, found: Data) -> None:
    """Refuse data that is not what the model was trained on.

    Raises:
        DataError: Names what changed.
    """
    if trained is not None and trained.hash != found.manifest.hash:
        changes = "; ".join(trained.difference(found.manifest)[:3])
        raise DataError(
            f"is not what the model was trained on any more ({changes})",
            where=found.name,
            hint="Restore it, or name other data: rondel gan evaluate BUNDLE DATA.",
        )
