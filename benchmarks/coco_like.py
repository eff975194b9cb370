"""Annotations and detections with the numbers of COCO's val2017, made up from a seed.

At full size: 5,000 images of which 48 are empty, 80 classes by Zipf's law, about 36,000 boxes of
which 411 are crowds, and 100 detections for each image: hits of different quality, duplicates,
wrong classes, and many weak ones in the background.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Whole = npt.NDArray[np.int64]

IMAGES, CLASSES, PER_IMAGE = 5000, 80, 100
WIDTH, HEIGHT = 640.0, 480.0
SIZES = ((9.0, 36.0, 0.4), (36.0, 110.0, 0.4), (110.0, 420.0, 0.2))
"""Sides of small, medium and large boxes (geometric mean of width and height), and their shares."""


@dataclass(frozen=True)
class Scene:
    """Columns of objects (G rows) and detections (D rows)."""

    images: int
    classes: int
    truth_image: Whole  # (G,)
    truth_xywh: Array  # (G, 4)
    truth_label: Whole  # (G,)
    truth_crowd: npt.NDArray[np.bool_]  # (G,)
    truth_area: Array  # (G,)
    image: Whole  # (D,)
    xywh: Array  # (D, 4)
    label: Whole  # (D,)
    score: Array  # (D,)


def make_scene(images: int = IMAGES, *, classes: int = CLASSES, seed: int = 0) -> Scene:
    """Make a scene; the same for the same arguments."""
    draw = np.random.default_rng(seed)
    share = 1.0 / np.arange(1, classes + 1)
    share /= share.sum()
    counts = np.minimum(1 + draw.geometric(1 / 6.24, images), 60)
    counts[draw.random(images) < 48 / IMAGES] = 0
    image = np.repeat(np.arange(images), counts)
    # the objects of an image are of few classes, as in photographs
    palette = draw.choice(classes, size=(images, 4), p=share)
    label = palette[image, draw.choice(4, size=len(image), p=(0.5, 0.25, 0.15, 0.1))]
    xywh = draw_boxes(draw, len(image))
    crowd = draw.random(len(image)) < 411 / 36335
    # areas are those of outlines, and so smaller than the boxes
    area = xywh[:, 2] * xywh[:, 3] * draw.uniform(0.45, 0.95, len(image))
    found = draw_detections(draw, image[~crowd], xywh[~crowd], label[~crowd], palette, share)
    return Scene(images, classes, image, xywh, label, crowd, area, *found)


def draw_boxes(draw: np.random.Generator, count: int) -> Array:
    """Draw boxes inside of the picture, to a hundredth of a pixel."""
    low, high, share = (np.array(column) for column in zip(*SIZES, strict=True))
    kind = draw.choice(len(SIZES), size=count, p=share)
    side = low[kind] * (high[kind] / low[kind]) ** draw.random(count)
    stretch = np.exp(draw.normal(0.0, 0.4, count))
    size = np.stack([side * stretch, side / stretch], axis=1).clip(2.0, (WIDTH, HEIGHT))
    corner = draw.random((count, 2)) * (np.array([WIDTH, HEIGHT]) - size)
    return np.round(np.concatenate([corner, size], axis=1), 2)


def draw_detections(
    draw: np.random.Generator, image: Whole, xywh: Array, label: Whole, palette: Whole, share: Array
) -> tuple[Whole, Array, Whole, Array]:
    """Detect most objects one to four times, and fill up every image with background."""
    images = len(palette)
    # big objects are found more often and more exactly
    ease = np.clip(np.log(xywh[:, 2:].prod(axis=1)) / np.log(300.0**2), 0.3, 1.0)
    times = np.where(
        draw.random(len(image)) < 0.52 + 0.5 * ease,
        draw.choice(4, len(image), p=(0.5, 0.3, 0.15, 0.05)) + 1,
        0,
    )
    source = np.repeat(np.arange(len(image)), times)
    quality = draw.beta(1.2 + 3.0 * ease[source], 2.0)
    noise = draw.normal(0.0, 0.13, (len(source), 4)) * (1.02 - quality)[:, None]
    near = xywh[source] + noise * np.tile(xywh[source, 2:], 2)
    near[:, 2:] = near[:, 2:].clip(1.0)
    wrong = draw.random(len(source)) < 0.12
    guess = np.where(wrong, draw.choice(len(share), size=len(source), p=share), label[source])
    sure = np.clip(0.1 + 0.85 * quality + draw.normal(0.0, 0.12, len(source)), 0.01, 0.999)
    per_image = np.bincount(image[source], minlength=images)
    rest = np.repeat(np.arange(images), np.maximum(PER_IMAGE - per_image, 0))
    # a detector guesses a few classes for an image, mostly those that are there
    guesses = np.concatenate([palette, draw.choice(len(share), size=(images, 60), p=share)], axis=1)
    column = np.minimum(draw.geometric(0.045, len(rest)) - 1, guesses.shape[1] - 1)
    weak = draw.beta(1.0, 17.0, len(rest)).clip(0.001, 0.9)
    columns = (
        np.concatenate([image[source], rest]),
        np.round(np.concatenate([near, draw_boxes(draw, len(rest))]), 3),
        np.concatenate([guess, guesses[rest, column]]),
        np.concatenate([sure, weak]).astype(np.float32).astype(np.float64),
    )
    return best_of_each_image(*columns)


def best_of_each_image(
    image: Whole, xywh: Array, label: Whole, score: Array
) -> tuple[Whole, Array, Whole, Array]:
    """Sort by image and falling score, and keep what a detector would have put out."""
    order = np.lexsort((-score, image))
    image = image[order]
    first = np.searchsorted(image, image)
    order = order[np.arange(len(order)) - first < PER_IMAGE]
    return (
        np.ascontiguousarray(np.sort(image)[np.arange(len(image)) - first < PER_IMAGE]),
        xywh[order],
        label[order],
        score[order],
    )
