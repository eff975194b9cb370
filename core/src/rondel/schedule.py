"""Learning-rate schedules: pure functions of a count, so that there is nothing to save.

A schedule turns the number of updates (or samples) done into a factor on each group's learning
rate. It cannot be off by one after a resume, since it has no state of its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from rondel.errors import ConfigError
from rondel.settings import ScheduleConfig

Factor = Callable[[int], float]


class Length(NamedTuple):
    """How long a run is, in both units that a schedule may count."""

    updates: int
    samples: int

    @classmethod
    def of(cls, total: int | Length | None, unit: str) -> int | None:
        """Return a length in the unit of a schedule; a plain number is in that unit already."""
        if not isinstance(total, Length):
            return total
        return total.samples if unit == "samples" else total.updates


def constant(_progress: float, _config: ScheduleConfig) -> float:
    """Return 1."""
    return 1.0


def linear(progress: float, config: ScheduleConfig) -> float:
    """Fall in a straight line from 1 to ``final``."""
    return 1.0 + (config.final - 1.0) * progress


def cosine(progress: float, config: ScheduleConfig) -> float:
    """Fall along half a cosine from 1 to ``final`` (Loshchilov & Hutter, 2017)."""
    return config.final + (1.0 - config.final) * 0.5 * (1.0 + math.cos(math.pi * progress))


def one_cycle(progress: float, config: ScheduleConfig) -> float:
    """Rise from 1/25 to 1 and fall to ``final`` along cosines (Smith & Topin, 2018)."""
    start = 1.0 / 25.0
    if progress < config.peak:
        return start + (1.0 - start) * 0.5 * (1.0 - math.cos(math.pi * progress / config.peak))
    return cosine((progress - config.peak) / (1.0 - config.peak), config)


def slanted_triangle(progress: float, config: ScheduleConfig) -> float:
    """Rise in a short line, fall in a long one, from and to 1/32 (Howard & Ruder, 2018, eq. 3)."""
    share = (
        progress / config.peak
        if progress < config.peak
        else 1.0 - (progress - config.peak) / (1.0 - config.peak)
    )
    return (1.0 + share * 31.0) / 32.0


SHAPES: dict[str, Callable[[float, ScheduleConfig], float]] = {
    "constant": constant,
    "linear": linear,
    "cosine": cosine,
    "one_cycle": one_cycle,
    "slanted_triangle": slanted_triangle,
}


def make_schedule(config: ScheduleConfig, *, total: int | None, where: str) -> Factor | None:
    """Return the factor as a function of the count, or None if it is 1 throughout.

    Args:
        config: Shape, warm-up and end.
        total: Planned length in the schedule's unit; ``config.total`` goes before it.
        where: The config key, for the message.

    Raises:
        ConfigError: The shape needs a length and none is known, or the warm-up is longer than it.
    """
    end = config.total or total
    if config.name == "step":
        return lambda count: warmed(count, config) * config.gamma ** (count // config.every)
    if config.name == "constant":
        return None if config.warmup == 0 else lambda count: warmed(count, config)
    if end is None:
        raise ConfigError(
            f"the schedule {config.name!r} needs to know how long the run is",
            where=where,
            hint="Set schedule.total, or give run.update(..., total=...).",
        )
    if config.warmup >= end:
        raise ConfigError(
            f"a warm-up of {config.warmup} is not shorter than the run of {end} {config.unit}",
            where=where,
            hint="Shorten schedule.warmup or train longer.",
        )
    shape, span = SHAPES[config.name], max(1, end - config.warmup - 1)

    def factor(count: int) -> float:
        progress = min(1.0, max(0, count - config.warmup) / span)
        return warmed(count, config) * shape(progress, config)

    return factor


def warmed(count: int, config: ScheduleConfig) -> float:
    """Return the factor of a linear warm-up: 1/warmup at the first update, then up to 1."""
    return min(1.0, (count + 1) / config.warmup) if config.warmup else 1.0
