"""How well each image was done: hits, false detections and misses, and which did best and worst."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rondel_detection.data.table import Floats, Integers
from rondel_detection.metrics.outcome import Outcome


@dataclass(frozen=True, eq=False)
class ImageHits:
    """Counts of each image; I rows."""

    hits: Integers  # (I,)
    false: Integers  # (I,)
    missed: Integers  # (I,)

    @property
    def f1(self) -> Floats:
        """(I,) twice the hits over objects and detections; 1 if there are neither."""
        both = 2 * self.hits + self.false + self.missed
        return np.where(both > 0, 2 * self.hits / np.maximum(both, 1), 1.0)

    def worst(self, count: int) -> Integers:
        """Return the images with the lowest F1, of equal ones those with the most mistakes."""
        return np.lexsort((-(self.false + self.missed), self.f1))[:count]

    def best(self, count: int) -> Integers:
        """Return the images with the highest F1, of equal ones those with the most hits."""
        return np.lexsort((-self.hits, -self.f1))[:count]


def image_hits_of(outcome: Outcome, *, score: float) -> ImageHits:
    """Count hits and mistakes by image.

    Args:
        outcome: What became of everything.
        score: Detections below are left out.
    """
    sure = outcome.score >= score

    def per_image(rows: Integers) -> Integers:
        return np.bincount(rows, minlength=outcome.images)

    return ImageHits(
        hits=per_image(outcome.image[outcome.hit & sure]),
        false=per_image(outcome.image[outcome.false & sure]),
        missed=per_image(outcome.object_image[outcome.missed(score)]),
    )
