"""Large pictures in tiles: where to cut, and how to make one object of what several tiles saw.

A detector sees a picture scaled into its canvas, so that small things in a large picture vanish.
Tiles are looked at one by one instead, and overlap: what is smaller than the overlap is whole in at
least one of them. Letters: T tiles, N detections of all tiles, (H, W) height and width of the
picture; boxes are x1 y1 x2 y2 in its pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torchvision.ops import batched_nms

from rondel.errors import UsageError
from rondel_detection.data.table import Flags, Floats, Integers

SMALLEST_SIDE = 32
BORDER = 0.02
"""Share of a tile's side: a box that ends this close to a cut is taken for a piece of an object."""
ROWS = 256
"""Boxes that are compared with all others at once."""
COVERED = 0.5
"""Share of a piece that a whole object must cover to be the object it is a piece of."""


@dataclass(frozen=True, eq=False)
class Found:
    """Detections as columns."""

    boxes: Floats  # (N, 4) x1 y1 x2 y2
    scores: Floats  # (N,) 0 to 1
    labels: Integers  # (N,) class index

    def __len__(self) -> int:
        """Return the number of detections."""
        return len(self.scores)

    def take(self, rows: Integers | Flags) -> Found:
        """Return some of the detections, by index or by a mask."""
        return Found(self.boxes[rows], self.scores[rows], self.labels[rows])

    @classmethod
    def joined(cls, parts: list[Found]) -> Found:
        """Return the detections of several parts behind each other."""
        if not parts:
            return cls(np.zeros((0, 4)), np.zeros(0), np.zeros(0, dtype=np.int64))
        return cls(
            np.concatenate([part.boxes for part in parts]),
            np.concatenate([part.scores for part in parts]),
            np.concatenate([part.labels for part in parts]),
        )


@dataclass(frozen=True)
class Tiling:
    """How a picture is cut.

    Args:
        height: Of a tile, in pixels of the picture.
        width: Likewise.
        overlap: Share of its sides that a tile has in common with its neighbours at least.
        whole: Look at the whole picture too, for what is larger than the overlap.

    Raises:
        UsageError: A number makes no sense.
    """

    height: int
    width: int
    overlap: float = 0.2
    whole: bool = True

    def __post_init__(self) -> None:
        if min(self.height, self.width) < SMALLEST_SIDE:
            raise UsageError(
                f"a tile of {self.width} x {self.height} pixels is too small",
                hint=f"Its sides have at least {SMALLEST_SIDE} pixels.",
            )
        if not 0 <= self.overlap <= 0.9:
            raise UsageError(f"overlap is {self.overlap!r}", hint="Give a share from 0 to 0.9.")

    def tiles(self, height: int, width: int) -> Integers:
        """Return the tiles of a picture, (T, 4), row by row.

        They have all the same size, lie within the picture and are spread evenly, so that none of
        them is a thin rest. With ``whole`` the last one is the picture itself, unless it is the
        only one.
        """
        rows, columns = self._starts(height, self.height), self._starts(width, self.width)
        side = np.array([min(self.width, width), min(self.height, height)])
        corners = np.array([(x, y) for y in rows for x in columns], dtype=np.int64)
        cut = np.concatenate([corners, corners + side], axis=1)
        if not self.whole or len(cut) == 1:
            return cut
        return np.concatenate([cut, np.array([[0, 0, width, height]], dtype=np.int64)])

    def _starts(self, length: int, side: int) -> list[int]:
        """Return where tiles begin along a side of the picture."""
        if length <= side:
            return [0]
        step = max(1.0, side * (1 - self.overlap))
        count = math.ceil((length - side) / step) + 1
        return [round(start) for start in np.linspace(0, length - side, count)]

    def merge(self, tiles: Integers, found: list[Found], *, iou: float = 0.5) -> Found:
        """Make one set of detections of those of the tiles, best first.

        Detections that touch no cut are whole objects: of those that overlap by more than ``iou``
        the best stays. Detections that end at a cut are pieces. Pieces of neighbouring tiles that
        agree on what both tiles see become the box around them; this, or a piece that agrees with
        none, stays unless a whole object covers it. Objects of different classes never meet.

        Args:
            tiles: (T, 4), as `tiles` returned them.
            found: Of each tile, in pixels of the picture.
            iou: Intersection over union above which two boxes are one object.
        """
        tile = np.repeat(np.arange(len(found)), [len(part) for part in found])
        everything = Found.joined(found)
        kept = self._needed(everything, tile, tiles)
        everything, tile = everything.take(kept), tile[kept]
        height, width = int(tiles[:, 3].max()), int(tiles[:, 2].max())
        cut = _cut(everything.boxes, tiles[tile], height, width)
        objects = suppressed(everything.take(~cut), iou)
        larger = _put_together(everything.take(cut), tile[cut], tiles, iou)
        larger = larger.take(~_covered(larger, objects))
        return suppressed(Found.joined([objects, larger]), iou)

    def _needed(self, found: Found, tile: Integers, tiles: Integers) -> Flags:
        """Tell which detections count: small ones of the whole picture do not.

        They are whole in a tile, where they are seen better; here they would be a second, blurred
        version of the same object.
        """
        if not self.whole or len(tiles) == 1:
            return np.ones(len(found), dtype=bool)
        sides = found.boxes[:, 2:] - found.boxes[:, :2]
        large = (sides >= self.overlap * np.array([self.width, self.height])).any(axis=1)
        return np.asarray((tile < len(tiles) - 1) | large)


def suppressed(found: Found, iou: float) -> Found:
    """Keep the best of detections of one class that overlap by more than ``iou``; best first."""
    kept = batched_nms(
        torch.from_numpy(found.boxes),
        torch.from_numpy(found.scores),
        torch.from_numpy(found.labels),
        iou,
    )
    return found.take(kept.numpy())


def overlaps(first: Floats, second: Floats) -> tuple[Floats, Floats, Floats]:
    """Return the areas of intersections, (N, M), and of the boxes themselves, (N, 1) and (1, M)."""
    corner = np.maximum(first[:, None, :2], second[None, :, :2])
    other = np.minimum(first[:, None, 2:], second[None, :, 2:])
    shared = (other - corner).clip(0).prod(axis=2)
    areas = [(boxes[:, 2:] - boxes[:, :2]).clip(0).prod(axis=1) for boxes in (first, second)]
    return shared, areas[0][:, None], areas[1][None, :]


def _cut(boxes: Floats, tile: Integers, height: int, width: int) -> Flags:
    """Tell which boxes end at a border of their tile that is none of the picture, (N,)."""
    margin = (tile[:, 2:] - tile[:, :2]) * BORDER
    before = (boxes[:, :2] - tile[:, :2] <= margin) & (tile[:, :2] > 0)
    behind = (tile[:, 2:] - boxes[:, 2:] <= margin) & (tile[:, 2:] < [width, height])
    return np.asarray((before | behind).any(axis=1))


def _covered(pieces: Found, objects: Found) -> Flags:
    """Tell which pieces belong to one of the whole objects, (N,)."""
    covered = np.zeros(len(pieces), dtype=bool)
    for start in range(0, len(pieces), ROWS):  # a large picture has thousands of both
        rows = slice(start, start + ROWS)
        shared, area, _ = overlaps(pieces.boxes[rows], objects.boxes)
        same = pieces.labels[rows, None] == objects.labels[None, :]
        covered[rows] = (same & (shared > COVERED * area)).any(axis=1)
    return covered


def _put_together(pieces: Found, tile: Integers, tiles: Integers, iou: float) -> Found:
    """Return one detection for each group of pieces: the box around them, the best score."""
    group = np.arange(len(pieces))
    numbers = np.unique(tile)
    outer = tiles[numbers].astype(np.float64)
    for first, second in np.argwhere(np.triu(overlaps(outer, outer)[0] > 0, k=1)):
        pair = (numbers[first], numbers[second])
        for one, other in _agreeing(pieces, tile, tiles, pair, iou):
            group[group == group[other]] = group[one]
    parts = []
    for number in np.unique(group):
        mine = pieces.take(group == number)
        box = np.concatenate([mine.boxes[:, :2].min(axis=0), mine.boxes[:, 2:].max(axis=0)])
        parts.append(Found(box[None], mine.scores.max(keepdims=True), mine.labels[:1]))
    return Found.joined(parts)


def _agreeing(
    pieces: Found, tile: Integers, tiles: Integers, pair: tuple[int, int], iou: float
) -> list[tuple[int, int]]:
    """Return pairs of pieces of two tiles that are the same in what both tiles see."""
    one, other = tiles[pair[0]], tiles[pair[1]]
    corner, end = np.maximum(one[:2], other[:2]), np.minimum(one[2:], other[2:])
    rows = [np.flatnonzero(tile == number) for number in pair]
    seen = [_clipped(pieces.boxes[some], corner, end) for some in rows]
    shared, first, second = overlaps(seen[0], seen[1])
    same = pieces.labels[rows[0]][:, None] == pieces.labels[rows[1]][None, :]
    agree = same & (shared > iou * (first + second - shared)) & (shared > 0)
    return [(int(rows[0][i]), int(rows[1][j])) for i, j in np.argwhere(agree)]


def _clipped(boxes: Floats, corner: Integers, end: Integers) -> Floats:
    """Return the parts of boxes within a rectangle, (N, 4)."""
    clipped: Floats = np.concatenate(
        [boxes[:, :2].clip(corner, end), boxes[:, 2:].clip(corner, end)], axis=1
    )
    return clipped
