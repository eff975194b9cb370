"""A student beside its teacher: size, speed, and how good each is."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

import torch
from torch import nn

from rondel import Section, Table
from rondel_text.data.batch import Texts

ROUNDS = 5
BATCHES = 4
"""Batches that are timed in a round."""


@dataclass(frozen=True)
class Measured:
    """A model and its metrics."""

    name: str
    model: nn.Module
    metrics: Mapping[str, float]


def comparison(measured: Sequence[Measured], batches: Sequence[Texts]) -> Section:
    """Put models beside each other; the last one is what the others are as fast as.

    Args:
        measured: Two or more; their metrics have the same names.
        batches: Of texts, to measure the speed with.
    """
    times_s = seconds([each.model for each in measured], batches)
    texts = sum(len(batch.ids) for batch in batches)
    names = [name for name in measured[0].metrics if "." not in name]
    rows = [
        (
            each.name,
            size_of(each.model),
            texts / median(spent),
            median(theirs / own for own, theirs in zip(spent, times_s[-1], strict=True)),
            *(each.metrics.get(name) for name in names),
        )
        for each, spent in zip(measured, times_s, strict=True)
    ]
    heads = ("model", "parameters", "texts per second", "speed ratio", *names)
    about = (
        f"Speed is that of {len(batches)} batches, the models in turns, the median of {ROUNDS} "
        "rounds; the ratio is to the last row."
    )
    return Section("Student and teacher", text=about, table=Table(heads, rows))


def size_of(model: nn.Module) -> int:
    """Return how many parameters a model has."""
    return sum(parameter.numel() for parameter in model.parameters())


@torch.no_grad()
def seconds(models: Sequence[nn.Module], batches: Sequence[Texts]) -> list[list[float]]:
    """Return for each model the seconds of each round, after one that does not count."""
    found: list[list[float]] = [[] for _ in models]
    for number in range(ROUNDS + 1):
        for model, spent in zip(models, found, strict=True):
            start = time.perf_counter()
            for texts in batches:
                answer = model(texts)
            if answer.is_cuda:
                torch.cuda.synchronize(answer.device)
            if number:
                spent.append(time.perf_counter() - start)
    return found
