"""From the config to data: images, points or pairs; the user's or an embedded set."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from rondel.errors import ConfigError, DataError
from rondel_gan.config import GanConfig
from rondel_gan.data.archive import read_archive
from rondel_gan.data.folder import read_folder
from rondel_gan.data.idx import is_idx, read_fashion, read_idx
from rondel_gan.data.images import Images
from rondel_gan.data.mixtures import Points, draw_grid, draw_ring
from rondel_gan.data.mnist import read_mnist
from rondel_gan.data.pairs import Pairs, read_folders, read_halves
from rondel_gan.data.photos import read_colorize, read_photos
from rondel_gan.demo import read_digits

Data = Images | Points | Pairs
TRANSLATIONS = ("pix2pix", "cycle")
EMBEDDED: dict[str, Callable[[], Data]] = {
    "digits": read_digits,
    "ring": draw_ring,
    "grid": draw_grid,
    "mnist": read_mnist,
    "fashion": read_fashion,
    "colorize": read_colorize,
    "photos": read_photos,
}


def read(config: GanConfig) -> Data:
    """Read the data that the config names, or an embedded set.

    Raises:
        DataError: It cannot be used; the message names the file.
        ConfigError: It is not what the loop works with.
    """
    data = EMBEDDED[config.dataset]() if config.data is None else read_path(config.data, config)
    check_kind(config, data)
    return data


def read_images(config: GanConfig) -> Images:
    """Read data that must be images of one kind.

    Raises:
        DataError: It cannot be used; the message names the file.
        ConfigError: It is something else.
    """
    data = read(config)
    if not isinstance(data, Images):
        raise ConfigError(
            f"{data.name!r} is no set of images of one kind",
            where=source_key(config),
            hint="Give images, as dataset=digits.",
        )
    return data


def read_path(path: Path, config: GanConfig) -> Data:
    """Read what lies at a path.

    Raises:
        DataError: It cannot be used; the message names the file.
    """
    if not path.exists():
        raise DataError("there is no such file or folder", where=str(path), hint="Check the path.")
    if config.pairs is not None or config.loop in TRANSLATIONS:
        return read_pairs(path, config)
    if is_idx(path):
        return read_idx(path)
    if path.is_dir():
        return read_folder(path, color=config.color)
    if path.suffix.lower() == ".npz":
        return read_archive(path)
    raise DataError(
        f"a {path.suffix or 'nameless kind of'} file is not read",
        where=str(path),
        hint="Give a folder of images, or an .npz file with an array 'images', or IDX files.",
    )


def read_pairs(path: Path, config: GanConfig) -> Pairs:
    """Read images of two kinds; CycleGAN needs no partners.

    Raises:
        DataError: They cannot be used; the message names the file.
    """
    if not path.is_dir():
        raise DataError(
            "is a file, but images of two kinds are read from a folder",
            where=str(path),
            hint="Give the folder above.",
        )
    readers = {"folders": read_folders, "halves": read_halves}
    reader = readers[config.pairs or "folders"]
    return reader(path, paired=config.loop != "cycle", color=config.color)


def check_kind(config: GanConfig, data: Data) -> None:
    """Refuse data that the loop does not work with.

    Raises:
        ConfigError: Names the key, and what fits.
    """
    translates = config.loop in TRANSLATIONS
    if translates and not isinstance(data, Pairs):
        raise ConfigError(
            f"loop={config.loop} translates between two kinds of images, and {data.name!r} has one",
            where=source_key(config),
            hint="Give a folder of two kinds, or dataset=colorize or photos.",
        )
    if isinstance(data, Pairs) and not translates:
        raise ConfigError(
            f"{data.name!r} has images of two kinds, which loop={config.loop} does not translate",
            where=source_key(config),
            hint="Set loop=pix2pix or loop=cycle.",
        )
    if isinstance(data, Pairs) and config.loop == "pix2pix" and not data.paired:
        raise ConfigError(
            f"loop=pix2pix needs partners, and {data.name!r} has none",
            where=source_key(config),
            hint="Set loop=cycle, or dataset=colorize.",
        )


def source_key(config: GanConfig) -> str:
    """Return the key that says what is read."""
    return "dataset" if config.data is None else "data"
