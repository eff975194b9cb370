"""Images in an ``.npz`` file: an array ``images``, and ``labels`` if they are known.

Arrays are (N, H, W), (N, H, W, C) or (N, C, H, W) with one or three channels; integers from 0 to
255, or floats in [0, 1], [-1, 1] or [0, 255]. Nothing is unpickled.
"""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rondel.data_manifest import hash_files
from rondel.errors import DataError
from rondel_gan.data.images import MOST_BYTES, Images, check_memory

Array = np.ndarray[Any, Any]
IMAGES = "images"
LABELS = "labels"
CHANNELS = (1, 3)


def read_archive(path: Path) -> Images:
    """Read an ``.npz`` file.

    Raises:
        DataError: It is damaged, holds no usable array, or values that are no pixels.
    """
    arrays = read_arrays(path)
    name = IMAGES if IMAGES in arrays else only_stack(arrays, path)
    pixels, source_range = scaled(
        channels_first(arrays[name], f"{path}: {name}"), f"{path}: {name}"
    )
    labels, classes = numbered(arrays.get(LABELS), len(pixels), f"{path}: {LABELS}")
    return Images(
        name=path.name,
        pixels=torch.from_numpy(pixels),
        labels=labels,
        classes=classes,
        source_range=source_range,
        manifest=hash_files([path], path.parent, name=path.name, samples=len(pixels)),
    )


def read_arrays(path: Path) -> dict[str, Array]:
    """Read every array of the file, by name, after a look at what they unpack to.

    Raises:
        DataError: The file is damaged, too large, or holds Python objects or no array at all.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
        if unpacked > MOST_BYTES:
            raise DataError(
                f"unpacks to {unpacked / 2**30:.1f} GiB, more than {MOST_BYTES / 2**30:.0f} GiB",
                where=str(path),
                hint="Give fewer or smaller images.",
            )
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: checked(archive, name, path) for name in archive.files}
    except (OSError, zipfile.BadZipFile, zlib.error, ValueError, EOFError) as error:
        raise DataError(
            f"is no readable .npz file ({error})",
            where=str(path),
            hint="Write it with numpy.savez_compressed(path, images=array).",
        ) from error
    if not arrays:
        raise DataError(
            "holds no arrays",
            where=str(path),
            hint="Write it with numpy.savez_compressed(path, images=array).",
        )
    return arrays


def checked(archive: Any, name: str, path: Path) -> Array:
    """Read one array, and say which one it was that holds Python objects."""
    try:
        array: Array = archive[name]
    except ValueError as error:
        if "allow_pickle" not in str(error):
            raise
        raise DataError(
            "holds Python objects, which are not read",
            where=f"{path}: {name}",
            hint="Save one array of numbers; images in a list must have the same size.",
        ) from error
    return array


def only_stack(arrays: dict[str, Array], path: Path) -> str:
    """Return the name of the only array that can be images.

    Raises:
        DataError: There is none, or several.
    """
    stacks = [name for name, array in arrays.items() if array.ndim in (3, 4)]
    if len(stacks) == 1:
        return stacks[0]
    shapes = ", ".join(f"{name!r} {array.shape}" for name, array in arrays.items())
    raise DataError(
        f"has no array {IMAGES!r}; it has {shapes}",
        where=str(path),
        hint=f"Name the array of images {IMAGES!r}.",
    )


def channels_first(array: Array, where: str) -> Array:
    """Return the array as (N, C, H, W).

    Raises:
        DataError: Its shape is not that of images.
    """
    if array.ndim == 3:
        array = array[:, None]
    elif array.ndim == 4 and array.shape[-1] in CHANNELS and array.shape[1] not in CHANNELS:
        array = array.transpose(0, 3, 1, 2)
    if array.ndim != 4 or array.shape[1] not in CHANNELS or 0 in array.shape[1:]:
        raise DataError(
            f"an array of shape {array.shape} is not a set of images",
            where=where,
            hint="Images are (N, H, W), (N, H, W, C) or (N, C, H, W) with 1 or 3 channels.",
        )
    check_memory(len(array), array.shape[2], array.shape[3], array.shape[1], where=where)
    return array


def scaled(array: Array, where: str) -> tuple[Array, str]:
    """Return the values as float32 in [-1, 1], and the range they had.

    Raises:
        DataError: They are no numbers, not finite, or in no known range.
    """
    if array.dtype.kind not in "buif":
        raise DataError(
            f"values of type {array.dtype} are no pixels",
            where=where,
            hint="Save integers from 0 to 255, or floats in [0, 1] or [-1, 1].",
        )
    values = array.astype(np.float32)
    if not np.isfinite(values).all():
        first = int(np.argwhere(~np.isfinite(values))[0][0])
        raise DataError(
            f"image {first} has a pixel that is {values[first][~np.isfinite(values[first])][0]}",
            where=where,
            hint="Fill in or drop such images.",
        )
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 0.0)
    is_float = array.dtype.kind == "f"
    if is_float and low >= -1 and high <= 1:
        return (values if low < 0 else values * 2 - 1), ("-1 to 1" if low < 0 else "0 to 1")
    if array.dtype.kind == "b":
        return values * 2 - 1, "false and true"
    if low >= 0 and high <= 255:
        return values / 127.5 - 1, "0 to 255"
    raise DataError(
        f"values from {low:g} to {high:g} are in no known range",
        where=where,
        hint="Scale them to [0, 255], [0, 1] or [-1, 1].",
    )


def numbered(labels: Array | None, count: int, where: str) -> tuple[Tensor | None, tuple[str, ...]]:
    """Turn labels of any kind into indices and names of classes.

    Raises:
        DataError: There is not one label for each image.
    """
    if labels is None:
        return None, ()
    if labels.shape != (count,):
        raise DataError(
            f"labels of shape {labels.shape} for {count} images",
            where=where,
            hint="Give one label for each image.",
        )
    names, indices = np.unique(labels, return_inverse=True)
    if len(names) < 2:
        return None, ()
    return torch.from_numpy(indices.astype(np.int64)), tuple(str(name) for name in names)
