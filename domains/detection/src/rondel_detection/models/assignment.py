"""Which cell of which level learns which object: one dense computation for a whole batch.

Letters: B images, M boxes of the image with the most, N cells of all levels, (H, W) the canvas.
There is no loop over images and no look at a value on the host.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from rondel_detection.data.batch import PADDING, Targets

LARGEST = 8.0
"""Longest side of the objects of a level, in its cells; the last level takes all larger ones."""
SPREAD = 0.1
"""Standard deviation of the heat around a centre, to the side of the box."""
SPREADS = (0.3, 0.8)
"""Least and most of it in cells: the heat never vanishes within the reach, and hardly leaves it."""
REACH = 1
"""Cells to every side of the centre cell that learn the box and the class too."""


class Cells(NamedTuple):
    """The cells of all levels, finest level first, row by row."""

    column: Tensor  # (N,) float32
    row: Tensor  # (N,)
    stride: Tensor  # (N,) pixels

    @property
    def centres(self) -> Tensor:
        """(N, 2) x and y in pixels."""
        return (torch.stack((self.column, self.row), -1) + 0.5) * self.stride[:, None]


@dataclass(frozen=True)
class Grid:
    """The levels over a canvas.

    Args:
        strides: Pixels from cell to cell on every level, ascending.
        canvas: H and W, multiples of all strides.
    """

    strides: tuple[int, ...]
    canvas: tuple[int, int]

    @property
    def shapes(self) -> tuple[tuple[int, int], ...]:
        """Rows and columns of every level."""
        height, width = self.canvas
        return tuple((height // stride, width // stride) for stride in self.strides)

    def cells(self, device: torch.device) -> Cells:
        """Return all cells; made on the device, so that nothing is copied to it."""
        levels = []
        for (rows, columns), stride in zip(self.shapes, self.strides, strict=True):
            number = torch.arange(rows * columns, device=device)
            row, column = number // columns, number % columns
            levels.append((column.float(), row.float(), torch.full_like(column, stride).float()))
        return Cells(*(torch.cat(column) for column in zip(*levels, strict=True)))


class Assignment(NamedTuple):
    """What every cell has to learn."""

    heat: Tensor  # (B, N) 0..1, exactly 1 at the centre of an object
    background: Tensor  # (B, N) 0 where a crowd covers the cell, else 1
    learns: Tensor  # (B, N) bool: the cell is near a centre, and has a box and a class to learn
    boxes: Tensor  # (B, N, 4) its box; anything where it learns none
    labels: Tensor  # (B, N) its class, 0 where it learns none


def assign(targets: Targets, grid: Grid) -> Assignment:
    """Return what every cell has to learn; crowds are neither objects nor background.

    Args:
        targets: Boxes in pixels of the canvas.
        grid: The levels.
    """
    targets = with_a_row(targets)
    cells = grid.cells(targets.boxes.device)
    near = nearness(targets, grid, cells)
    owner = (near.heat * near.reached).argmax(1)  # the hottest there of those that reach it
    boxes = targets.boxes.gather(1, owner[..., None].expand(-1, -1, 4))
    learns = near.reached.any(1)
    return Assignment(
        heat=near.heat.amax(1),
        background=(~crowded(targets, cells)).float(),
        learns=learns,
        boxes=boxes,
        labels=targets.labels.gather(1, owner) * learns,
    )


def learning_cells(targets: Targets, grid: Grid) -> Tensor:
    """Return (B, N) bool: the cells near a centre, as in `assign`."""
    return nearness(targets, grid, grid.cells(targets.boxes.device)).reached.any(1)


def with_a_row(targets: Targets) -> Targets:
    """Return targets of at least one row, because nothing is the largest of no rows."""
    batch, most = targets.labels.shape
    if most > 0:
        return targets
    return targets._replace(
        boxes=targets.boxes.new_zeros(batch, 1, 4),
        labels=targets.labels.new_full((batch, 1), PADDING),
        crowd=targets.crowd.new_zeros(batch, 1),
    )


class Nearness(NamedTuple):
    """How far every cell is from the centre of every object of its level."""

    heat: Tensor  # (B, M, N) 0..1; 1 in the cell of the centre, 0 on other levels
    reached: Tensor  # (B, M, N) bool: near enough to learn box and class


def nearness(targets: Targets, grid: Grid, cells: Cells) -> Nearness:
    """Measure every cell against every object, on the level that fits the longest side."""
    start, end = targets.boxes[..., :2], targets.boxes[..., 2:]
    stride = fitting_strides((end - start).amax(-1), grid.strides)[..., None]  # (B, M, 1)
    home = targets.present[..., None] & (cells.stride == stride)
    square, reached = torch.zeros_like(stride), home
    for axis, cell in enumerate((cells.column, cells.row)):
        last = grid.canvas[1 - axis] / stride - 1
        centre = (start[..., axis] + end[..., axis])[..., None] / (2 * stride)
        away = cell - torch.minimum(centre.floor().clamp(min=0), last)
        spread = ((end - start)[..., axis, None] / stride * SPREAD).clamp(*SPREADS)
        square = square + (away / spread).square()
        reached = reached & (away.abs() <= REACH)
    return Nearness(heat=torch.exp(-square / 2) * home, reached=reached)


def fitting_strides(longest: Tensor, strides: tuple[int, ...]) -> Tensor:
    """Return the stride of the level of each object by its longest side, in any shape."""
    fitting = torch.full_like(longest, strides[0])
    for finer, coarser in pairwise(strides):
        fitting = fitting + (longest > LARGEST * finer) * (coarser - finer)
    return fitting


def crowded(targets: Targets, cells: Cells) -> Tensor:
    """Return (B, N) bool: the middle of the cell lies in a crowd."""
    points = cells.centres  # (N, 2)
    boxes = targets.boxes[:, :, None]  # (B, M, 1, 4)
    inside = ((points >= boxes[..., :2]) & (points <= boxes[..., 2:])).all(-1)  # (B, M, N)
    covered: Tensor = (inside & targets.crowd[..., None]).any(1)
    return covered
