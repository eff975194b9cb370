"""Images that show the same: identical files by their bytes, almost identical ones by how they look.

Looks are compared by difference hashes (Zauner, 2010, calls the family perceptual hashes): the
picture is shrunk to 9 x 8 and to 8 x 9 grey cells, and 128 bits say which of two neighbours is
lighter. Limits, measured on 3,000 parts of two photographs: half the size, JPEG quality 30 and
visible noise are recognised in about nine of ten cases, brightness and a crop of 2 % in three of
four, crops of 5 % and more, flips and rotations hardly ever; one in a million pairs of different
places was called alike. Pictures with little contrast have no look of their own and are never
called alike. Frames of a fixed camera, scanned forms and drawings on one background are, though
what matters in them may differ: a match is a reason to look and to keep both in one split, never
one to delete.

Letters: I images, P pairs.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, pairwise
from pathlib import Path
from posixpath import normpath
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image

from rondel.errors import DataError
from rondel_detection.data.images import MAX_PIXELS, inside, open_picture
from rondel_detection.data.table import Annotations, Flags, Integers

Hashes = npt.NDArray[np.uint64]
Key = TypeVar("Key", bound=Hashable)

NEAR_BITS = 10
"""Of 128 that may differ between almost identical pictures."""
LEAST_CONTRAST = 4.0
"""Standard deviation of the grey cells, of 255, below which a picture has no look of its own."""
THUMB = 72
AUTOMATIC_BYTES, AUTOMATIC_FILES = 300_000_000, 3_000
"""Pictures are decoded without being asked up to this size of all files together, and this number:
some ten seconds."""
_PAIRS_AT_ONCE = 4_000_000


@dataclass(frozen=True, eq=False)
class Look:
    """How pictures look.

    Args:
        hashes: (I, 2) uint64, the horizontal and the vertical differences.
        known: (I,) whether the picture could be read and has enough contrast.
        damaged: Why a picture could not be decoded, by row.
    """

    hashes: Hashes
    known: Flags
    damaged: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Likeness:
    """Which images of a set show the same.

    Args:
        twice: Rows that name the same file, as groups.
        identical: Rows whose files have the same bytes, as groups; of rows that name the same file
            only the first is in them.
        near: (P, 2) rows that look almost the same without being the same.
        look: How the pictures look; None if they were not decoded.
    """

    twice: list[list[int]]
    identical: list[list[int]]
    near: Integers
    look: Look | None

    def sets(self, count: int) -> Integers:
        """Return the number of the set that each of ``count`` images is in, (count,)."""
        return joined(count, self.near, [*self.twice, *self.identical])


def likeness(
    annotations: Annotations, paths: Sequence[Path | None], *, decode: bool | None = None
) -> Likeness:
    """Search for images that show the same.

    Args:
        annotations: The set.
        paths: The file of each image, see `image_paths`.
        decode: Whether to decode all pictures and compare their looks; None does so if the files
            are few and small enough together, see `AUTOMATIC_BYTES`.
    """
    names = annotations.images.file
    twice = equal_rows((row, normpath(str(name))) for row, name in enumerate(names))
    repeated = {row for rows in twice for row in rows[1:]}
    distinct = [None if row in repeated else path for row, path in enumerate(paths)]
    identical = identical_files(distinct)
    if decode is None:
        sizes = [size for path in distinct if (size := _size_of(path))]
        decode = sum(sizes) <= AUTOMATIC_BYTES and len(sizes) <= AUTOMATIC_FILES
    if not decode:
        return Likeness(twice, identical, np.zeros((0, 2), dtype=np.int64), None)
    look = looks(distinct)
    sets = joined(len(paths), np.zeros((0, 2), dtype=np.int64), identical)
    pairs = near_pairs(look)
    return Likeness(twice, identical, pairs[sets[pairs[:, 0]] != sets[pairs[:, 1]]], look)


def identical_files(paths: Sequence[Path | None]) -> list[list[int]]:
    """Return the rows of files with the same bytes, as groups of two and more.

    Only files of equal size are read. A row without a file is in no group.
    """
    sized: dict[int, list[int]] = defaultdict(list)
    for row, path in enumerate(paths):
        size = _size_of(path)
        if size:
            sized[size].append(row)
    groups = []
    for rows in sized.values():
        if len(rows) > 1:
            groups += equal_rows((row, _digest(paths[row])) for row in rows)
    return sorted(groups)


def equal_rows(keyed: Iterable[tuple[int, Key | None]]) -> list[list[int]]:
    """Return groups of two and more rows whose key is the same; None is no key."""
    groups: dict[Key, list[int]] = defaultdict(list)
    for row, key in keyed:
        if key is not None:
            groups[key].append(row)
    return [rows for rows in groups.values() if len(rows) > 1]


def look_of(picture: Image.Image) -> tuple[int, int] | None:
    """Return the two difference hashes of a picture, or None if it has too little contrast."""
    grey = picture.convert("L")
    if np.asarray(grey.resize((8, 8), Image.Resampling.BOX), dtype=np.float64).std() < (
        LEAST_CONTRAST
    ):
        return None
    wide = np.asarray(grey.resize((9, 8), Image.Resampling.BOX), dtype=np.int64)
    high = np.asarray(grey.resize((8, 9), Image.Resampling.BOX), dtype=np.int64)
    return _packed(wide[:, 1:] > wide[:, :-1]), _packed(high[1:] > high[:-1])


def near_pairs(look: Look, *, bits: int = NEAR_BITS) -> Integers:
    """Return the pairs of rows whose hashes differ in at most so many bits, (P, 2), first below second.

    Every pair is compared: 20,000 pictures take seconds, 100,000 a minute or two.
    """
    rows = np.flatnonzero(look.known)
    octets = look.hashes[rows].astype(">u8").view(np.uint8).reshape(len(rows), 16)
    # with bits as -1 and 1 the product of two rows is 128 less twice the bits that differ
    signs = np.unpackbits(octets, axis=1).astype(np.float32) * 2.0 - 1.0
    step = max(1, _PAIRS_AT_ONCE // max(1, len(rows)))
    found = [np.zeros((0, 2), dtype=np.int64)]
    for start in range(0, len(rows), step):
        alike = signs[start : start + step] @ signs[start:].T >= 128.0 - 2.0 * bits
        first, second = np.nonzero(np.triu(alike, k=1))
        found.append(np.stack([rows[start + first], rows[start + second]], axis=1))
    return np.concatenate(found)


def image_paths(annotations: Annotations) -> list[Path | None]:
    """Return the file of each image; None where it is missing or its name leads out."""
    return [_existing(annotations.root, name) for name in annotations.images.file]


def looks(paths: Sequence[Path | None], *, max_pixels: int = MAX_PIXELS) -> Look:
    """Decode pictures, small, and return how they look; what cannot be read has no look."""
    hashes = np.zeros((len(paths), 2), dtype=np.uint64)
    known = np.zeros(len(paths), dtype=bool)
    damaged = {}
    for row, path in enumerate(paths):
        if path is None:
            continue
        try:
            picture, _ = open_picture(path, longest=THUMB, max_pixels=max_pixels)
        except DataError as error:
            damaged[row] = error.what
            continue
        look = look_of(picture)
        if look is not None:
            hashes[row], known[row] = look, True
    return Look(hashes, known, damaged)


def joined(count: int, pairs: Integers, groups: Iterable[Sequence[int]] = ()) -> Integers:
    """Return the number of the set that each of ``count`` rows is in, (count,), from 0.

    Args:
        count: Rows.
        pairs: (P, 2) rows that belong together; sets that share a row become one.
        groups: Further rows that belong together.
    """
    parent = list(range(count))

    def root(row: int) -> int:
        while parent[row] != row:
            parent[row] = parent[parent[row]]
            row = parent[row]
        return row

    chains = map(pairwise, groups)
    for one, other in chain(pairs.tolist(), *chains):
        low, high = sorted((root(one), root(other)))
        parent[high] = low
    return np.unique([root(row) for row in range(count)], return_inverse=True)[1].astype(np.int64)


def _size_of(path: Path | None) -> int:
    try:
        return 0 if path is None else path.stat().st_size
    except OSError:
        return 0


def _digest(path: Path | None) -> bytes | None:
    if path is None:
        return None
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "blake2b").digest()
    except OSError:
        return None


def _existing(root: Path, name: str) -> Path | None:
    try:
        path = inside(root, name)
        return path if path.is_file() else None
    except (DataError, OSError):
        return None


def _packed(bits: Flags) -> int:
    return int.from_bytes(np.packbits(bits).tobytes(), "big")
