"""From a path to images: an archive of arrays, or a folder of pictures."""

from __future__ import annotations

from rondel.errors import DataError
from rondel_gan.config import GanConfig
from rondel_gan.data.archive import read_archive
from rondel_gan.data.folder import read_folder
from rondel_gan.data.images import Images


def read_images(config: GanConfig) -> Images:
    """Read the images that the config names, or the embedded set.

    Raises:
        DataError: They cannot be used; the message names the file.
    """
    path = config.data
    if path is None:
        from rondel_gan.demo import read_digits

        return read_digits()
    if path.is_dir():
        return read_folder(path, color=config.color)
    if not path.exists():
        raise DataError("there is no such file or folder", where=str(path), hint="Check the path.")
    if path.suffix.lower() == ".npz":
        return read_archive(path)
    raise DataError(
        f"a {path.suffix or 'nameless kind of'} file is not read",
        where=str(path),
        hint="Give a folder of images, or an .npz file with an array 'images'.",
    )
