"""Masks as base64 text of a PNG file, the way LabelMe keeps them."""

from __future__ import annotations

import base64
import binascii
import io
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, PngImagePlugin

from rondel.errors import DataError
from rondel_detection.data.geometry import Bitmap, mask_bounds
from rondel_detection.data.images import MAX_PIXELS

_DIRECT = ("1", "L", "P", "I", "I;16")
"""Modes of Pillow in which every value but 0 is in the mask."""


def decode_mask(text: Any) -> Bitmap:
    """Return the pixels of a mask, (h, w).

    Raises:
        DataError: It is no PNG, or has too many pixels; its text is the loss to list.
    """
    try:
        data = base64.b64decode(text, validate=False)
    except (TypeError, ValueError, binascii.Error) as error:
        raise DataError("mask that is no base64 was dropped") from error
    try:
        pixels = _pixels(data)
    except DataError:
        raise
    except Exception as error:
        # a decoder that is fed with damaged bytes can raise anything
        raise DataError("mask that is no PNG was dropped") from error
    window: Bitmap = pixels != 0
    return window


def _pixels(data: bytes) -> npt.NDArray[Any]:
    # this decoder and no other; the limit of Image.open can be changed for the whole process only
    with PngImagePlugin.PngImageFile(io.BytesIO(data)) as picture:
        if picture.width * picture.height > MAX_PIXELS:
            raise DataError(f"mask of more than {MAX_PIXELS:,} pixels was dropped")
        return np.asarray(picture if picture.mode in _DIRECT else picture.convert("L"))


def encode_mask(window: Bitmap) -> str:
    """Return a mask, (h, w), as base64 text of a PNG file with the values 0 and 1."""
    file = io.BytesIO()
    Image.fromarray(window.astype(np.uint8)).save(file, format="PNG")
    return base64.b64encode(file.getvalue()).decode("ascii")


def crop(counts: tuple[int, ...], height: int, width: int) -> tuple[Bitmap, int, int]:
    """Return the part of a run-length mask within its bounds, with its left column and top row.

    Raises:
        DataError: The mask is empty, or the runs do not fill the image.
    """
    bounds = mask_bounds(counts, height, width)
    if bounds is None:
        raise DataError("mask without a pixel was dropped")
    x1, y1, x2, y2 = map(int, bounds)
    values = np.arange(len(counts)) % 2 == 1
    # columns are the rows of the transposed image
    whole = np.repeat(values, counts).reshape(width, height)
    return whole[x1:x2, y1:y2].T, x1, y1
