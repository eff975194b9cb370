"""A trained generator as people use it: classes by name, codes, ways between samples.

Shapes: noise (N, Z), samples (N, C, H, W) in [-1, 1] or points (N, 2).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from rondel.errors import UsageError
from rondel_gan.codes import coded_noise, with_choice
from rondel_gan.config import GanConfig
from rondel_gan.interpolation import ways
from rondel_gan.models.generator import Generator
from rondel_gan.sampling import labels_of, made_of, noise_of
from rondel_gan.words import nearest


class Maker:
    """Makes samples of noise.

    Args:
        generator: With the weights to use.
        config: What it was trained with.
        names: Of the classes of the data.
    """

    def __init__(self, generator: Generator, config: GanConfig, names: Sequence[str]) -> None:
        self.generator = generator
        self.config = config
        categories = range(config.info.categories) if config.loop == "info" else ()
        self.classes = tuple(names) if generator.classes else tuple(map(str, categories))
        """What can be asked for: classes, or the values of InfoGAN's category."""

    def samples(
        self,
        count: int,
        *,
        seed: int = 0,
        truncation: float = 1.0,
        label: str | None = None,
        code: Sequence[float] | None = None,
    ) -> Tensor:
        """Return samples.

        Args:
            count: How many.
            seed: Of the noise; the n-th sample of a seed is always the same.
            truncation: Factor on the noise; below 1 samples are more typical and less varied.
            label: The class of all samples; by default they take turns. A value of InfoGAN's
                category; by default it is drawn.
            code: InfoGAN's continuous codes, in [-1, 1]; by default they are drawn.

        Raises:
            UsageError: A value makes no sense.
        """
        check(
            n=(count, count >= 1, "at least 1"),
            seed=(seed, seed >= 0, "not negative"),
            truncation=(truncation, truncation >= 0, "not negative"),
        )
        noise = self.noise(count, seed=seed, truncation=truncation, label=label, code=code)
        return made_of(self.generator, noise, self.labels(count, label))

    def noise(
        self,
        count: int,
        *,
        seed: int,
        truncation: float = 1.0,
        label: str | None = None,
        code: Sequence[float] | None = None,
    ) -> Tensor:
        """Return what samples are made of; truncation leaves codes as they are.

        Raises:
            UsageError: There is no such category, or codes do not fit.
        """
        config = self.config
        if config.loop != "info":
            if code is not None:
                raise UsageError("only InfoGAN has a code", hint="Leave it out.")
            return truncation * noise_of(self.generator, count, seed=seed)

        def draw(size: int, generator: torch.Generator) -> Tensor:
            return coded_noise(config, size, generator)

        drawn = noise_of(self.generator, count, seed=seed, noise=draw)
        drawn[:, : config.model.latent] *= truncation
        category = None if label is None or self.generator.classes else self.number_of(label)
        return with_choice(config, drawn, category=category, code=code)

    def labels(self, count: int, label: str | None) -> Tensor | None:
        """Return the classes of so many samples, (N,): all of one, or in turn; None without any.

        Raises:
            UsageError: There is no such class.
        """
        if label is None:
            return labels_of(self.generator, count)
        number = self.number_of(label)
        return torch.full((count,), number) if self.generator.classes else None

    def number_of(self, label: str) -> int:
        """Return the number of a class.

        Raises:
            UsageError: There is none of that name.
        """
        if not self.classes:
            raise UsageError(
                f"{label!r} cannot be asked for: the model knows no classes",
                hint="Train with model.condition=projection on data with labels.",
            )
        if label not in self.classes:
            raise UsageError(f"there is no class {label!r}", hint=nearest(label, self.classes))
        return self.classes.index(label)

    def between(
        self, seeds: Sequence[int], *, steps: int = 8, label: str | None = None
    ) -> list[Tensor]:
        """Return what lies between the first samples of seeds, for each pair of neighbours.

        Args:
            seeds: At least two.
            steps: Samples of a way, both ends included.
            label: The class of all samples; by default the first one.

        Returns:
            (steps, C, H, W) samples of each way.

        Raises:
            UsageError: A number makes no sense, or the model makes points.
        """
        if len(self.generator.shape) == 1:
            raise UsageError(
                "there are no pictures between points", hint="Draw them: rondel gan sample."
            )
        check(
            seed=(min(seeds, default=0), min(seeds, default=0) >= 0, "not negative"),
            steps=(steps, steps >= 2, "at least 2"),
        )
        if len(seeds) < 2:
            raise UsageError("one seed leads nowhere", hint="Give two or more: 0,1,2.")
        if label is None and self.generator.classes:
            label = self.classes[0]
        stations = torch.cat([self.noise(1, seed=seed, label=label) for seed in seeds])
        labels = self.labels(steps, label)
        found = ways(stations, steps, gaussians=self.config.model.latent)
        return [made_of(self.generator, way, labels) for way in found]


def check(**values: tuple[Any, bool, str]) -> None:
    """Refuse values that make no sense.

    Args:
        values: By name the value, whether it makes sense, and what would.

    Raises:
        UsageError: Names the first.
    """
    for name, (value, sensible, rule) in values.items():
        if not sensible:
            raise UsageError(f"{name} is {value!r}", hint=f"It must be {rule}.")
