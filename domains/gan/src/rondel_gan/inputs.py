"""Images that a trained model is given: tensors, files, folders. Shapes: (N, C, H, W) in [-1, 1]."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from rondel.errors import DataError, UsageError
from rondel_gan.data.folder import Header, decode, pictures_below, read_header
from rondel_gan.data.images import scaled_bytes
from rondel_gan.sampling import to_images

Place = str | Path
Inputs = Tensor | Place | Sequence[Place]


def images_of(inputs: Inputs, shape: Sequence[int]) -> Tensor:
    """Return images of the shape that a model takes.

    Args:
        inputs: Files, folders, images (N, C, H, W) in [-1, 1], or pixels (N, H, W, C) of 8 bits.
        shape: (C, H, W). Colour of files is converted to it, their size is not.

    Raises:
        DataError: An image cannot be read, or does not fit.
        UsageError: There is none.
    """
    if isinstance(inputs, Tensor):
        return fitting(inputs, shape)
    places = [inputs] if isinstance(inputs, str | Path) else list(inputs)
    if not places:
        raise no_images()
    headers = [read_header(file) for file in files_of([Path(place) for place in places])]
    for header in headers:
        check_size(header, shape)
    color = "grey" if shape[0] == 1 else "rgb"
    return scaled_bytes(np.stack([decode(header, color) for header in headers]))  # type: ignore[arg-type]


def no_images() -> UsageError:
    """Return the error about nothing that was given."""
    return UsageError("there are no images", hint="Give files or folders.")


def fitting(images: Tensor, shape: Sequence[int]) -> Tensor:
    """Return a tensor as images of a shape.

    Raises:
        DataError: Its shape is another one, or its values are not those of an image.
    """
    if images.dtype == torch.uint8 and images.ndim == 4:
        images = to_images(images)
    if images.ndim != 4 or tuple(images.shape[1:]) != tuple(shape):
        raise DataError(
            f"images of shape {tuple(images.shape)} where (N, {', '.join(map(str, shape))}) is "
            "expected",
            hint="Give (N, C, H, W) in [-1, 1], or (N, H, W, C) of 8 bits.",
        )
    if not len(images):
        raise no_images()
    lowest, highest = (float(end) for end in torch.aminmax(images))
    if not (lowest >= -1 and highest <= 1):  # as NaN is
        raise DataError(
            f"images have values from {lowest:g} to {highest:g}", hint="Scale them to [-1, 1]."
        )
    return images.float()


def check_size(header: Header, shape: Sequence[int]) -> None:
    """Refuse a picture of another size.

    Raises:
        DataError: Names it.
    """
    _, height, width = shape
    if (header.height, header.width) != (height, width):
        raise DataError(
            f"is {header.width} x {header.height}, but the model takes {width} x {height}",
            where=str(header.path),
            hint="Scale or crop it first.",
        )


def files_of(places: Sequence[Path]) -> list[Path]:
    """Return the pictures that are meant by files and folders.

    Raises:
        DataError: There are none.
    """
    return [file for place in places for file, _ in named(place)]


def named(place: Path) -> list[tuple[Path, Path]]:
    """Return the pictures at a place, each with what it is called below it.

    Raises:
        DataError: There are none.
    """
    if not place.is_dir():
        return [(place, Path(place.name))]
    found = pictures_below(place)
    if not found:
        raise DataError("holds no pictures", where=str(place), hint="Check the path.")
    return [(file, file.relative_to(place)) for file in found]
