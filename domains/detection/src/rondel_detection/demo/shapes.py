"""Circles, squares and triangles on a soft background: learnt by a small detector in a minute.

Coordinates are pixels of the picture, its left upper corner is (0, 0).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numpy.random import RandomState
from PIL import Image, ImageDraw

CLASSES = ("circle", "square", "triangle")
CORNERS = {"square": 4, "triangle": 3}
SIDE = 128
MOST = 5
"""Objects on a picture, at most; there is at least one."""
SIZES = (14.0, 52.0)
OVERLAP = 0.25
"""Largest share of the smaller of two boxes that the other one covers."""
TRIES = 20
SUPERSAMPLING = 2
NOISE = 8.0

Box = tuple[float, float, float, float]
Pixels = npt.NDArray[np.uint8]
Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Shape:
    """One object.

    Args:
        label: Index in ``CLASSES``.
        centre: Of the circle through its corners, or of itself.
        radius: Of that circle.
        angle: Of its first corner, radians.
    """

    label: int
    centre: tuple[float, float]
    radius: float
    angle: float

    def corners(self, radius: float) -> list[tuple[float, float]]:
        """Return the corners on a circle of the given radius."""
        count = CORNERS[CLASSES[self.label]]
        turns = [self.angle + 2 * math.pi * corner / count for corner in range(count)]
        x, y = self.centre
        return [(x + radius * math.cos(turn), y + radius * math.sin(turn)) for turn in turns]

    def box(self) -> Box:
        """Return the enclosing x1 y1 x2 y2, in hundredths of a pixel: the same on every machine."""
        x, y = self.centre
        if CLASSES[self.label] == "circle":
            edges = (x - self.radius, y - self.radius, x + self.radius, y + self.radius)
        else:
            across, down = zip(*self.corners(self.radius), strict=True)
            edges = (min(across), min(down), max(across), max(down))
        return tuple(round(edge, 2) for edge in edges)  # type: ignore[return-value]


def draw_shapes(seed: int, *, side: int = SIDE, sizes: tuple[float, float] = SIZES) -> Picture:
    """Return the picture of a seed.

    The legacy generator of numpy is used because its numbers are the same in every version.

    Args:
        seed: Of everything on it.
        side: Of the square picture.
        sizes: Range of the sides of the objects, log-uniform.
    """
    random = RandomState(seed)
    shapes = place_shapes(random, side, sizes)
    coarse = random.randint(40, 216, size=(4, 4, 3)).astype(np.uint8)
    large = side * SUPERSAMPLING
    image = Image.fromarray(coarse).resize((large, large), Image.Resampling.BICUBIC)
    for shape in shapes:
        draw_shape(image, shape, random)
    small = np.asarray(image.resize((side, side), Image.Resampling.BOX), dtype=np.float64)
    noisy = np.rint(small + random.normal(0, NOISE, size=small.shape)).clip(0, 255)
    boxes, labels = [shape.box() for shape in shapes], [shape.label for shape in shapes]
    return Picture(noisy.astype(np.uint8), tuple(boxes), tuple(labels))


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture and what is on it."""

    pixels: Pixels  # (H, W, 3) RGB
    boxes: tuple[Box, ...]
    labels: tuple[int, ...]


def place_shapes(random: RandomState, side: int, sizes: tuple[float, float]) -> list[Shape]:
    """Return 1 to 5 shapes inside the picture, the later ones before the earlier ones."""
    wanted = random.randint(1, MOST + 1)
    placed: list[Shape] = []
    for _ in range(TRIES * wanted):
        if len(placed) == wanted:
            break
        shape = random_shape(random, side, sizes)
        box = shape.box()
        inside = min(box) >= 0 and max(box) <= side
        if inside and all(overlap(box, other.box()) <= OVERLAP for other in placed):
            placed.append(shape)
    return placed


def random_shape(random: RandomState, side: int, sizes: tuple[float, float]) -> Shape:
    """Return any shape anywhere; it may stand out of the picture."""
    label = int(random.randint(len(CLASSES)))
    size = math.exp(random.uniform(math.log(sizes[0]), math.log(sizes[1])))
    count = CORNERS.get(CLASSES[label])
    radius = size / 2 / (math.sin(math.pi / count) if count else 1.0)
    x, y, angle = random.uniform(0, side), random.uniform(0, side), random.uniform(0, 2 * math.pi)
    return Shape(label, (x, y), radius, angle)


def overlap(box: Box, other: Box) -> float:
    """Return the share of the smaller box that the other one covers."""
    across = min(box[2], other[2]) - max(box[0], other[0])
    down = min(box[3], other[3]) - max(box[1], other[1])
    smaller = min((edges[2] - edges[0]) * (edges[3] - edges[1]) for edges in (box, other))
    return max(across, 0.0) * max(down, 0.0) / smaller


def draw_shape(image: Image.Image, shape: Shape, random: RandomState) -> None:
    """Draw a dark shape and a slightly smaller bright one inside it: an outline."""
    fill: Colour = tuple(int(value) for value in random.randint(30, 256, size=3))  # type: ignore[assignment]
    dark: Colour = tuple(value // 3 for value in fill)  # type: ignore[assignment]
    pen = ImageDraw.Draw(image)
    for colour, radius in ((dark, shape.radius), (fill, shape.radius - 1.5)):
        x, y = shape.centre
        edges = ((x - radius, y - radius), (x + radius, y + radius))
        round_ = CLASSES[shape.label] == "circle"
        points = edges if round_ else shape.corners(radius)
        # Pillow names a pixel by its centre
        scaled = [tuple(value * SUPERSAMPLING - 0.5 for value in point) for point in points]
        (pen.ellipse if round_ else pen.polygon)(scaled, fill=colour)
