"""Image files: their size without decoding, their pixels, and names that stay inside their folder.

A picture is always the one that a person sees: turned by its EXIF orientation, in red, green and
blue. Letters: (H, W) are height and width of the picture after that rotation.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
from PIL import ExifTags, Image

from rondel.errors import DataError

if TYPE_CHECKING:
    from torch import Tensor

FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "TIFF", "GIF", "PPM")
"""The decoders that are used, whatever the name of a file says."""
IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif", ".ppm", ".pgm"}
)
"""Suffixes by which images are found in a folder, in lower case."""
MAX_PIXELS = 100_000_000

_PREFIX_BYTES = 16
_DRIVE = re.compile(r"[A-Za-z]:/")
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What brings a picture of an EXIF orientation upright."""
_SIDEWAYS = (5, 6, 7, 8)


@dataclass(frozen=True)
class Header:
    """What the first bytes of an image file say.

    Args:
        width: Pixels after the EXIF rotation, as a person sees the picture.
        height: Likewise.
        orientation: The EXIF orientation, 1 to 8; 1 is upright. From 5 on, width and height of the
            stored pixels are the other way round.
    """

    width: int
    height: int
    orientation: int = 1


def inside(root: Path, name: str) -> Path:
    r"""Return the path of a file below a folder, without touching the file.

    Args:
        root: The folder.
        name: As labels give it: relative or absolute, with ``/`` or ``\``.

    Raises:
        DataError: The name is empty, holds a NUL, or leads out of the folder, be it by an absolute
            path, by ``..`` or by a symbolic link.
    """
    plain = name.replace("\\", "/")
    if not plain or "\0" in plain:
        raise DataError(f"{name!r} is no name of a file")
    path = root / plain
    try:
        home, real = root.resolve(), path.resolve()
    except (OSError, RuntimeError) as error:  # a circle of links
        raise DataError(f"the file name {name!r} leads nowhere: {error}") from error
    if _DRIVE.match(plain) or not real.is_relative_to(home):
        raise DataError(
            f"the file name {name!r} leads out of the folder of the images, {str(root)!r}",
            hint="Correct the name, or name the folder that holds the images.",
        )
    return path


def read_header(path: Path) -> Header:
    """Read size and orientation of an image without decoding it.

    Raises:
        DataError: The file is missing, or no image of a known kind.
    """
    with _opened(path) as picture:
        return _header(picture)


def read_image(path: Path, *, max_pixels: int = MAX_PIXELS) -> Tensor:
    """Decode an image at its full size.

    Args:
        path: The file.
        max_pixels: More are refused before they are decoded.

    Returns:
        (3, H, W) uint8 RGB, turned by its EXIF orientation. Transparent parts become white, 16-bit
        values lose their lower half, floats are taken as 0 to 1 unless one of them is above.

    Raises:
        DataError: The file is missing, damaged, too large, or no image of a known kind.
    """
    picture, _ = open_picture(path, max_pixels=max_pixels)
    return to_tensor(picture)


def read_reduced(
    path: Path, longest: int, *, max_pixels: int = MAX_PIXELS
) -> tuple[Tensor, tuple[int, int]]:
    """Decode an image that will be scaled down, at a size of which no more is decoded than needed.

    A JPEG is decoded at a half, quarter or eighth where that is still large enough, which takes a
    fraction of the time; everything else comes at its full size. Resize the result yourself.

    Args:
        path: The file.
        longest: Pixels that the longest side must have at least, if the file has that many.
        max_pixels: As in `read_image`, of the full size.

    Returns:
        The picture, (3, h, w) uint8 RGB, and its full size (H, W), to which labels refer.

    Raises:
        DataError: As in `read_image`.
    """
    picture, header = open_picture(path, longest=longest, max_pixels=max_pixels)
    return to_tensor(picture), (header.height, header.width)


def open_picture(
    path: Path, *, longest: int | None = None, max_pixels: int = MAX_PIXELS
) -> tuple[Image.Image, Header]:
    """Decode an image as a Pillow image in mode RGB, see `read_reduced`, with its header.

    Raises:
        DataError: As in `read_image`.
    """
    with _opened(path) as picture:
        header = _header(picture)
        if header.width * header.height > max_pixels:
            raise DataError(
                f"has {header.width} x {header.height} pixels, more than max_pixels={max_pixels}",
                where=str(path),
                hint="Cut it into tiles, or raise max_pixels if the memory is there.",
            )
        if longest is not None:
            _reduce(picture, longest)
        picture.load()
        # TIFF files are turned while they are loaded, all others are not
        turn = _TURNS.get(_orientation(picture)) if header.orientation != 1 else None
        colours = _in_colour(picture)
        return colours if turn is None else colours.transpose(turn), header


def to_tensor(picture: Image.Image) -> Tensor:
    """Return the pixels of an RGB picture, (3, H, W) uint8."""
    import torch

    pixels = np.array(picture, dtype=np.uint8)  # a copy: the picture's own bytes are read-only
    return torch.from_numpy(pixels).permute(2, 0, 1).contiguous()


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """Open an image, and name the file in whatever goes wrong while it is read."""
    try:
        with path.open("rb") as file:
            prefix = file.read(_PREFIX_BYTES)
            with _decoder(file, prefix) as picture:
                yield picture
    except DataError:
        raise
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DataError("there is no such image file", where=str(path)) from error
    except IsADirectoryError as error:
        raise DataError("is a folder, not an image", where=str(path)) from error
    except _UnknownKind as error:
        known = ", ".join(FORMATS)
        raise DataError(
            f"is no image of a kind that is read here ({known})",
            where=str(path),
            hint="The file is empty or damaged." if not prefix.strip(b"\0") else "Convert it.",
        ) from error
    except Exception as error:
        # a decoder that is fed with damaged bytes can raise anything
        raise DataError(
            f"the image cannot be read: {str(error).strip(' .') or type(error).__name__}",
            where=str(path),
            hint="The file is damaged or cut off: get it again, or take it out of the labels.",
        ) from error


class _UnknownKind(Exception):  # noqa: N818 - never leaves this module
    """No decoder accepts a file."""


def _decoder(file: object, prefix: bytes) -> Image.Image:
    """Open a file with the decoder that accepts its first bytes.

    `Image.open` does the same, but applies a limit of pixels of its own that can only be changed
    for the whole process; ours is checked by `open_picture`.
    """
    if any(name not in Image.OPEN for name in FORMATS):
        Image.init()
    for name in FORMATS:
        factory, accepts = Image.OPEN[name]
        if accepts is None or accepts(prefix) is True:
            file.seek(0)  # type: ignore[attr-defined]
            return cast(Image.Image, factory(file, ""))  # type: ignore[arg-type]
    raise _UnknownKind


def _header(picture: Image.Image) -> Header:
    width, height = picture.size
    tags = getattr(picture, "tag_v2", None)
    if (
        tags is not None
    ):  # whether a TIFF says its size before or after the rotation is up to Pillow
        width, height = int(tags[256]), int(tags[257])
    orientation = _orientation(picture)
    if orientation in _SIDEWAYS:
        width, height = height, width
    return Header(width, height, orientation)


def _orientation(picture: Image.Image) -> int:
    try:
        # the method of PNG files would decode the picture in search of it
        found = Image.Image.getexif(picture).get(ExifTags.Base.Orientation, 1)
    except Exception:  # noqa: BLE001 - a damaged EXIF block is no reason to lose the picture
        return 1
    return found if isinstance(found, int) and 1 <= found <= 8 else 1


def _reduce(picture: Image.Image, longest: int) -> None:
    if max(picture.size) >= 2 * longest:
        width, height = (max(1, side * longest // max(picture.size)) for side in picture.size)
        picture.draft(None, (width, height))


def _in_colour(picture: Image.Image) -> Image.Image:
    """Return a loaded picture in mode RGB."""
    if picture.mode == "RGB" and "transparency" not in picture.info:
        return picture
    if picture.mode.startswith("I") or picture.mode == "F":
        return _from_deep(picture).convert("RGB")
    if picture.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in picture.info:
        seen = picture.convert("RGBA")
        paper = Image.new("RGBA", seen.size, "white")
        return Image.alpha_composite(paper, seen).convert("RGB")
    return picture.convert("RGB")


def _from_deep(picture: Image.Image) -> Image.Image:
    """Bring 16-bit, 32-bit and floating point grey to 8 bits."""
    values = np.asarray(picture).astype(np.float64)
    if picture.mode == "F":
        scale = 255.0 if values.size and np.nanmax(values) <= 1.0 else 1.0
        values = np.round(np.nan_to_num(values) * scale)
    else:
        values = np.floor(values / 256)  # the upper byte, as every 16-bit decoder does
    return Image.fromarray(np.clip(values, 0, 255).astype(np.uint8))
