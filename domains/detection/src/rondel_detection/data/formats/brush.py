"""The run lengths of Label Studio's brush: packed bits of the four channels of a drawn layer.

The format is that of the JavaScript package rle-pack of thi.ng: 32 bits hold the number of values,
5 bits the bits of a value less 1, four times 4 bits the bits of a count less 1. Then come blocks: 1
bit says whether one value is repeated, 2 bits which of the four sizes the count has, the count less
1, and one value, or as many as are counted.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from rondel.errors import DataError
from rondel_detection.data.geometry import Bitmap
from rondel_detection.data.images import MAX_PIXELS

_CHANNELS = 4
_HEADER_BITS = 32 + 5 + 4 * 4


def brush_mask(rle: Sequence[int], width: int, height: int) -> Bitmap:
    """Return where a brush has painted, (height, width).

    Args:
        rle: Bytes as numbers from 0 to 255.
        width: Pixels of the image.
        height: Likewise.

    Raises:
        DataError: They are no such bytes, or of another size; its text is the loss to list.
    """
    if not isinstance(rle, list | tuple) or not 0 < width * height <= MAX_PIXELS:
        raise DataError("brush without run lengths was dropped")
    try:
        data = bytes(rle)
    except (TypeError, ValueError) as error:
        raise DataError("brush whose run lengths are no bytes was dropped") from error
    values = unpacked(data, width * height * _CHANNELS)
    # the last channel says how opaque the paint is; the others are its colour
    painted: Bitmap = values.reshape(height, width, _CHANNELS)[:, :, -1] > 0
    return painted


def unpacked(data: bytes, count: int) -> npt.NDArray[np.int64]:
    """Return the values that are packed in ``data``, (count,).

    Raises:
        DataError: They are more or fewer, or the data ends before them.
    """
    reader = _Bits(data)
    if len(data) * 8 < _HEADER_BITS or reader.take(32) != count:
        raise DataError("brush of another size than its image was dropped")
    value_bits = reader.take(5) + 1
    count_bits = [reader.take(4) + 1 for _ in range(4)]
    values = np.zeros(count, dtype=np.int64)
    place = 0
    while place < count:
        repeated = reader.take(1)
        end = place + reader.take(count_bits[reader.take(2)]) + 1
        if end > count:
            raise DataError("brush of another size than its image was dropped")
        if repeated:
            values[place:end] = reader.take(value_bits)
        else:
            values[place:end] = reader.take_many(end - place, value_bits)
        place = end
    return values


class _Bits:
    """Reads whole numbers from a row of bits, the highest bit first."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.place = 0

    def take(self, bits: int) -> int:
        first, end = self.place // 8, (self.place + bits + 7) // 8
        self.place += bits
        if end > len(self.data):
            raise DataError("brush whose run lengths are cut off was dropped")
        chunk = int.from_bytes(self.data[first:end], "big")
        return chunk >> (end * 8 - self.place) & ((1 << bits) - 1)

    def take_many(self, count: int, bits: int) -> npt.NDArray[np.int64]:
        first, end = self.place // 8, (self.place + count * bits + 7) // 8
        if end > len(self.data):
            raise DataError("brush whose run lengths are cut off was dropped")
        row = np.unpackbits(np.frombuffer(self.data[first:end], dtype=np.uint8))
        skipped = self.place - first * 8
        row = row[skipped : skipped + count * bits].astype(np.int64)
        self.place += count * bits
        weights = 1 << np.arange(bits, dtype=np.int64)[::-1]
        found: npt.NDArray[np.int64] = row.reshape(count, bits) @ weights
        return found
