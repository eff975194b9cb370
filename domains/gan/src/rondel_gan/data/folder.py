"""A folder of pictures; its subfolders, if all pictures lie in some, are their classes.

Headers are read and compared first: a picture is decoded only when size, colour and number of all
of them are known to fit.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from rondel.data_manifest import hash_files
from rondel.errors import DataError
from rondel_gan.data.images import Images, check_count, check_memory, scaled_bytes

Color = Literal["grey", "rgb"]
T = TypeVar("T")
SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff"}
FORMATS = ("PNG", "JPEG", "BMP", "WEBP", "TIFF")
MODES: dict[str, Color] = {
    "1": "grey",
    "L": "grey",
    "LA": "grey",
    "P": "rgb",
    "RGB": "rgb",
    "RGBA": "rgb",
    "CMYK": "rgb",
    "YCbCr": "rgb",
}
PILLOW_MODE = {"grey": "L", "rgb": "RGB"}
MOST_PIXELS = 1 << 20
"""Of one picture: no net here is made for more."""


@dataclass(frozen=True)
class Header:
    """What the first bytes of a picture say."""

    path: Path
    width: int
    height: int
    color: Color


def read_folder(path: Path, *, color: Color | None = None) -> Images:
    """Read every picture below a folder.

    Args:
        path: The folder.
        color: Convert all pictures to it; None leaves them as they are.

    Raises:
        DataError: There are too few, they differ in size or colour, or one cannot be decoded.
    """
    files = pictures_below(path)
    pixels = read_pictures(files, where=str(path), color=color)
    labels, classes = labels_of(files, path)
    return Images(
        name=path.name,
        pixels=pixels,
        labels=labels,
        classes=classes,
        source_range="0 to 255",
        manifest=hash_files(files, path, name=path.name, samples=len(files)),
    )


def pictures_below(path: Path) -> list[Path]:
    """Return every file below a folder that is called a picture, sorted."""
    return sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES)


def read_pictures(files: list[Path], *, where: str, color: Color | None = None) -> Tensor:
    """Read pictures of one size and colour as (N, C, H, W) in [-1, 1].

    Args:
        files: The pictures.
        where: Where they lie, for messages.
        color: Convert all pictures to it; None leaves them as they are.

    Raises:
        DataError: There are too few, they differ in size or colour, or one cannot be decoded.
    """
    check_count(len(files), where=where)
    headers = [read_header(file) for file in files]
    check_alike(headers, mixed_colors=color is not None)
    kind = color or headers[0].color
    first = headers[0]
    check_memory(len(files), first.height, first.width, 1 if kind == "grey" else 3, where=where)
    return scaled_bytes(np.stack([decode(header, kind) for header in headers]))


def read_header(path: Path) -> Header:
    """Read size and colour without decoding.

    Raises:
        DataError: It is no picture, too large, or of a kind of pixels that is not read.
    """

    def look() -> tuple[int, int, str]:
        with Image.open(path, formats=FORMATS) as picture:
            return picture.width, picture.height, picture.mode

    width, height, mode = readable(look, path)
    if width * height > MOST_PIXELS:
        raise DataError(
            f"has {width} x {height} pixels, more than {MOST_PIXELS}",
            where=str(path),
            hint="Scale the images down first.",
        )
    if mode not in MODES:
        raise DataError(
            f"has pixels of pillow's mode {mode!r}",
            where=str(path),
            hint="Convert it to 8-bit grey or RGB.",
        )
    return Header(path, width, height, MODES[mode])


def check_alike(headers: list[Header], *, mixed_colors: bool) -> None:
    """Refuse pictures that differ from the first one.

    Raises:
        DataError: Two differ in size or colour; both are named.
    """
    first = headers[0]
    for other in headers[1:]:
        if (other.width, other.height) != (first.width, first.height):
            raise DataError(
                f"is {other.width} x {other.height}, but '{first.path.name}' is "
                f"{first.width} x {first.height}",
                where=str(other.path),
                hint="All images must have the same size; scale or crop them first.",
            )
        if other.color != first.color and not mixed_colors:
            raise DataError(
                f"is {other.color}, but '{first.path.name}' is {first.color}",
                where=str(other.path),
                hint="Set color=grey or color=rgb to convert all of them.",
            )


def decode(header: Header, color: Color) -> np.ndarray[Any, Any]:
    """Decode one picture to (C, H, W) of 8 bits.

    Raises:
        DataError: It is damaged.
    """

    def load() -> np.ndarray[Any, Any]:
        with Image.open(header.path, formats=FORMATS) as picture:
            return np.asarray(picture.convert(PILLOW_MODE[color]))

    pixels = readable(load, header.path)
    return pixels[None] if color == "grey" else pixels.transpose(2, 0, 1)


def readable(read: Callable[[], T], path: Path) -> T:
    """Call a function that reads a picture, and name the file if it is damaged.

    Raises:
        DataError: Pillow cannot read it.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            return read()
    except UnidentifiedImageError as error:
        raise DataError(
            "is no image that can be read",
            where=str(path),
            hint="Remove it, or replace it by a sound copy.",
        ) from error
    except (
        OSError,
        SyntaxError,  # pillow's word for a broken PNG chunk
        ValueError,
        Image.DecompressionBombError,
        Image.DecompressionBombWarning,
    ) as error:
        raise DataError(
            f"cannot be decoded ({error})",
            where=str(path),
            hint="Remove it, or replace it by a sound copy.",
        ) from error


def labels_of(files: list[Path], root: Path) -> tuple[Tensor | None, tuple[str, ...]]:
    """Return the subfolder of each file as its class, if all lie in at least two subfolders."""
    places = [file.relative_to(root).parts for file in files]
    names = sorted({parts[0] for parts in places})
    if len(names) < 2 or any(len(parts) < 2 for parts in places):
        return None, ()
    numbers = {name: number for number, name in enumerate(names)}
    return torch.tensor([numbers[parts[0]] for parts in places]), tuple(names)
