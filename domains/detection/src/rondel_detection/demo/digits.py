"""Real digits on real photographs: scikit-learn's digits pasted on crops of its two photographs.

1,797 scanned digits of 8 x 8 pixels, BSD-3. Training and validation share neither a digit nor a
piece of a photograph. Coordinates are pixels of the picture, its left upper corner is (0, 0).
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from numpy.random import RandomState
from PIL import Image

from rondel_detection.demo.shapes import TRIES, Box, Picture, overlap

CLASSES = tuple("0123456789")
SIDE = 128
MOST = 6
"""Digits on a picture, at most; there is at least one."""
SCALES = (2.5, 5.0)
"""Pixels of the picture to one of a digit."""
ASPECT = 1.15
"""Largest stretch of a digit."""
HIGHEST = 16
INK = 4
"""Smallest value of a digit's pixel, of 16, that belongs to its box."""
OVERLAP = 0.05
"""Largest share of the smaller of two digits, with their margins, that the other one covers."""
CONTRAST = 100.0
"""Smallest distance in brightness between ink and what is below it, of 255."""
HELD_OUT = 4
"""Every fourth digit is for validation."""

Real = npt.NDArray[np.float64]
Pixels = npt.NDArray[np.uint8]
Place = tuple[int, int, int, int]
"""x1 y1 x2 y2, whole pixels inside the picture."""


@lru_cache(maxsize=1)
def read_digits() -> tuple[Real, npt.NDArray[np.int64]]:
    """Return (1797, 8, 8) digits of 0..1 and their (1797,) values."""
    from sklearn.datasets import load_digits

    loaded = load_digits()
    return np.asarray(loaded.images) / HIGHEST, np.asarray(loaded.target, dtype=np.int64)


@lru_cache(maxsize=1)
def read_photos() -> tuple[Pixels, ...]:
    """Return the two photographs, each (427, 640, 3) RGB."""
    from sklearn.datasets import load_sample_images

    return tuple(np.asarray(photo, dtype=np.uint8) for photo in load_sample_images().images)


def draw_digits(seed: int, split: str) -> Picture:
    """Return the picture of a seed.

    Args:
        seed: Of everything on it.
        split: 'train' or 'val': which digits, and which half of each photograph.
    """
    random = RandomState(seed)
    digits, values = read_digits()
    numbers = np.arange(len(digits))
    mine = numbers[(numbers % HELD_OUT == HELD_OUT - 1) == (split == "val")]
    canvas = background(random, split)
    boxes, labels = [], []
    for place in free_places(random):
        chosen = int(mine[random.randint(len(mine))])
        paste(canvas, digits[chosen], place, random)
        boxes.append(ink_box(digits[chosen], place))
        labels.append(int(values[chosen]))
    return Picture(np.rint(canvas).astype(np.uint8), tuple(boxes), tuple(labels))


def background(random: RandomState, split: str) -> Real:
    """Return a random crop of the split's half of a photograph, (SIDE, SIDE, 3), maybe mirrored."""
    half = photo_half(read_photos()[random.randint(2)], split)
    side = int(random.randint(SIDE // 2, min(half.shape[:2]) + 1))
    top = random.randint(half.shape[0] - side + 1)
    left = random.randint(half.shape[1] - side + 1)
    crop = Image.fromarray(half[top : top + side, left : left + side])
    canvas = np.asarray(crop.resize((SIDE, SIDE), Image.Resampling.BILINEAR), dtype=np.float64)
    return np.array(canvas[:, ::-1] if random.randint(2) else canvas)


def photo_half(photo: Pixels, split: str) -> Pixels:
    """Return the left half for training, the right one for validation."""
    middle = photo.shape[1] // 2
    return photo[:, middle:] if split == "val" else photo[:, :middle]


def free_places(random: RandomState) -> list[Place]:
    """Return where digits go: 1 to 6 places that hardly overlap."""
    wanted = random.randint(1, MOST + 1)
    places: list[Place] = []
    for _ in range(TRIES * wanted):
        if len(places) == wanted:
            break
        place = random_place(random)
        if all(overlap(place, other) <= OVERLAP for other in places):
            places.append(place)
    return places


def random_place(random: RandomState) -> Place:
    """Return a place for a digit with its margin."""
    scale = math.exp(random.uniform(math.log(SCALES[0]), math.log(SCALES[1])))
    stretch = math.exp(random.uniform(-math.log(ASPECT), math.log(ASPECT)) / 2)
    width, height = round(8 * scale * stretch), round(8 * scale / stretch)
    left, top = random.randint(SIDE - width + 1), random.randint(SIDE - height + 1)
    return int(left), int(top), int(left) + width, int(top) + height


def ink_box(digit: Real, place: Place) -> Box:
    """Return the box of a digit's ink, x1 y1 x2 y2 in hundredths of a pixel."""
    inked = digit * HIGHEST >= INK
    columns, rows = np.flatnonzero(inked.any(0)), np.flatnonzero(inked.any(1))
    left, top, right, bottom = place
    across, down = (right - left) / 8, (bottom - top) / 8
    edges = (
        left + across * columns[0],
        top + down * rows[0],
        left + across * (columns[-1] + 1),
        top + down * (rows[-1] + 1),
    )
    return tuple(round(float(edge), 2) for edge in edges)  # type: ignore[return-value]


def paste(canvas: Real, digit: Real, place: Place, random: RandomState) -> None:
    """Write a digit on the canvas, on a piece of translucent paper or on the photograph itself."""
    left, top, right, bottom = place
    size = (right - left, bottom - top)
    grey = Image.fromarray(np.rint(digit * 255).astype(np.uint8))
    ink = np.asarray(grey.resize(size, Image.Resampling.BICUBIC), dtype=np.float64)[..., None] / 255
    area = canvas[top:bottom, left:right]
    if random.randint(2):
        paper, opacity = random.uniform(0, 256, size=3), random.uniform(0.5, 1.0)
        area += (paper - area) * opacity
    colour = random_ink(random, float(area.mean()))
    area += (colour - area) * ink * random.uniform(0.8, 1.0)


def random_ink(random: RandomState, below: float) -> Real:
    """Return a random colour that stands out from a brightness."""
    colour = random.uniform(0, 256, size=3)
    away = -1.0 if below > 127.5 else 1.0
    missing = CONTRAST - away * (colour.mean() - below)
    shown: Real = np.clip(colour + away * max(missing, 0.0), 0, 255)
    return shown
