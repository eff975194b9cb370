"""Varying pictures in training: one step after the other, each a function of sample to sample.

Steps draw from Python's own generator, which `rondel.Stream` seeds by (seed, stream, pass, index)
before each sample, so that a sample is the same for any number of workers and wherever a run was
cut. A step of your own is any function of a `Sample`; transforms of torchvision fit in by
`rondel_detection.data.transform.Transform`.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass

from rondel.errors import ConfigError
from rondel_detection.config import AugmentConfig
from rondel_detection.data.canvas import Canvas
from rondel_detection.data.colour import Colour
from rondel_detection.data.framing import (
    flipped_x,
    flipped_y,
    placed,
    random_window,
    scaled,
    transposed,
)
from rondel_detection.data.mosaic import Mixup, Mosaic, Samples
from rondel_detection.data.sample import Sample

Step = Callable[[Sample], Sample]
SMALLEST_CROP = 0.5
"""Of each side of the picture."""


@dataclass(frozen=True)
class Augmentation:
    """Steps in their order."""

    steps: tuple[Step, ...]

    def __call__(self, sample: Sample) -> Sample:
        """Apply every step."""
        for step in self.steps:
            sample = step(sample)
        return sample

    def __bool__(self) -> bool:
        """Tell whether there is any step."""
        return bool(self.steps)


def augmentation(
    config: AugmentConfig, canvas: Canvas, pictures: Samples | None = None
) -> Augmentation:
    """Make the steps that are switched on.

    Args:
        config: How strong they are.
        canvas: What the pictures must fit on.
        pictures: Partners for mosaic and mixup; without them, both are off (``close_epochs``).

    Raises:
        ConfigError: The range of the scale is none.
    """
    steps: list[Step] = []
    if pictures is not None and config.mosaic > 0:
        steps.append(Mosaic(config.mosaic, pictures, canvas, config.visibility))
    if config.colour > 0:  # before anything is placed on black ground, which stays black
        steps.append(Colour(config.colour))
    steps.extend(geometry(config, canvas).steps)
    if pictures is not None and config.mixup > 0:
        steps.append(Mixup(config.mixup, pictures))
    return Augmentation(tuple(steps))


def geometry(config: AugmentConfig, canvas: Canvas) -> Augmentation:
    """Make the steps that move pixels: scale, crop, flips.

    Raises:
        ConfigError: The range of the scale is none.
    """
    table: tuple[tuple[bool, Step], ...] = (
        (config.scale != (1.0, 1.0), Zoom(config.scale, config.visibility)),
        (config.crop > 0, Crop(config.crop, config.visibility)),
        (config.flip_x > 0, Chance(config.flip_x, flipped_x)),
        (config.flip_y > 0, Chance(config.flip_y, flipped_y)),
        (config.transpose > 0, Chance(config.transpose, Transpose(canvas))),
    )
    return Augmentation(tuple(step for on, step in table if on))


@dataclass(frozen=True)
class Chance:
    """Applies a step to some of the samples."""

    chance: float
    step: Step

    def __call__(self, sample: Sample) -> Sample:
        """Apply the step, or do not."""
        return self.step(sample) if random.random() < self.chance else sample


@dataclass(frozen=True)
class Transpose:
    """Swaps x and y; a picture that is then too large for the canvas is scaled down to it."""

    canvas: Canvas

    def __call__(self, sample: Sample) -> Sample:
        """Change a sample."""
        made = transposed(sample)
        fit = min(self.canvas.height / made.height, self.canvas.width / made.width)
        if fit >= 1:
            return made
        return scaled(made, *(max(1, int(side * fit)) for side in (made.height, made.width)))


@dataclass(frozen=True)
class Zoom:
    """Scales by a random factor and keeps the size of the picture.

    Above 1 a random window is enlarged to the picture; below 1 the picture is placed at random on
    black ground, of which detectors see a lot anyway, around pictures that do not fill the canvas.

    Args:
        factors: Lowest and highest; the logarithm is drawn evenly, so that half and twice are as
            likely.
        visibility: See `rondel_detection.data.framing.cut`.
    """

    factors: tuple[float, float]
    visibility: float

    def __post_init__(self) -> None:
        """Check the range."""
        low, high = self.factors
        if not 0 < low <= high < math.inf:
            raise ConfigError(
                f"({low:g}, {high:g}) is no range of factors",
                where="augment.scale",
                hint="Give the lower one first, both above 0, such as [0.5, 1.5].",
            )

    def __call__(self, sample: Sample) -> Sample:
        """Change a sample."""
        low, high = self.factors
        factor = math.exp(random.uniform(math.log(low), math.log(high)))
        height, width = sample.height, sample.width
        if factor >= 1:
            tall, wide = max(1, round(height / factor)), max(1, round(width / factor))
            window = random_window(sample, tall, wide, visibility=self.visibility)
            return scaled(window, height, width)
        small = scaled(sample, max(1, round(height * factor)), max(1, round(width * factor)))
        top, left = random.randint(0, height - small.height), random.randint(0, width - small.width)
        return placed(small, top, left, height, width)


@dataclass(frozen=True)
class Crop:
    """Keeps a random window; its scale stays, so the picture becomes smaller.

    Args:
        chance: Of a crop.
        visibility: See `rondel_detection.data.framing.cut`.
    """

    chance: float
    visibility: float

    def __call__(self, sample: Sample) -> Sample:
        """Change a sample."""
        if random.random() >= self.chance:
            return sample
        tall, wide = (
            max(1, round(side * random.uniform(SMALLEST_CROP, 1)))
            for side in (sample.height, sample.width)
        )
        return random_window(sample, tall, wide, visibility=self.visibility)
