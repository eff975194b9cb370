"""Whether probabilities are met: how far they are off, and the temperature that mends them.

Shapes: N rows, C classes, B bins.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor

from rondel.metric import Scores, as_weights
from rondel_tabular.data.part import Part
from rondel_tabular.data.target import Target

BINS = 15
LIMIT = 100.0
"""No temperature is above it, nor below one over it."""
MOST_NUMBERS = 20_000_000
"""Logits that a temperature is fitted on, at most; of more, rows at even distances."""


@dataclass(frozen=True)
class Reliability:
    """Bins of rows from the least to the most confident, as equal in weight as ties allow.

    Args:
        weights: (B,) of the rows in each bin; empty bins are left out.
        confidence: (B,) mean probability of the predicted class.
        accuracy: (B,) share of the rows whose predicted class is theirs.
    """

    weights: Tensor
    confidence: Tensor
    accuracy: Tensor

    @classmethod
    def of(
        cls, confidence: Tensor, hits: Tensor, weights: Tensor | None = None, *, bins: int = BINS
    ) -> Self:
        """Sort rows into bins by confidence (N,); equal ones fall into the same bin.

        Args:
            confidence: Probability of the predicted class.
            hits: (N,) whether it is the row's class.
            weights: (N,) how much each row counts.
            bins: B at most.
        """
        weights = as_weights(weights, confidence)
        different, place = torch.unique(confidence.double(), return_inverse=True)
        tied = torch.bincount(place, weights, minlength=len(different))
        middle = tied.cumsum(0) - tied / 2
        bin_of = (bins * middle / tied.sum()).long().clamp(max=bins - 1)[place]
        sums = [
            torch.bincount(bin_of, weights * values, minlength=bins)
            for values in (torch.ones_like(weights), confidence, hits)
        ]
        filled = sums[0] > 0
        count, sure, right = (column[filled] for column in sums)
        return cls(count, sure / count, right / count)

    @property
    def error(self) -> float:
        """The mean distance of accuracy from confidence; NaN without rows."""
        if not len(self.weights):
            return math.nan
        apart = (self.accuracy - self.confidence).abs()
        return float((apart * self.weights).sum() / self.weights.sum())


class CalibrationError(Scores):
    """The expected calibration error (Guo et al., 2017, section 2), over 15 bins of equal mass.

    Bins of equal width leave most of them nearly empty (Nixon et al., 2019). Keeps the confidence
    of every row, as the bins follow from all of them.
    """

    def update(self, logits: Tensor, labels: Tensor, weights: Tensor | None = None) -> Self:
        """Add a batch: logits (N, C), class indices (N,) and weights (N,)."""
        confidence, told = logits.detach().double().softmax(1).max(1)
        return super().update(confidence, told == labels, weights)

    def compute(self) -> float:
        """Return the error, a share in 0..1; NaN if nothing was added."""
        state = self.state_dict()
        return Reliability.of(state["scores"], state["labels"], state["weights"]).error


def fit_temperature(
    logits: Tensor,  # (N, C)
    classes: Tensor,  # (N,) indices
    weights: Tensor | None = None,  # (N,)
) -> float:
    """Return the temperature T whose softmax(logits / T) has the least log-loss on rows.

    Guo et al. (2017), section 4.2. The loss is convex in 1 / T, so that Newton's steps between
    bounds find its minimum. One further row is imagined that may be of any class: where all rows
    are told rightly, T would be 0 without it, and every probability 1.
    """
    step = max(1, logits.numel() // MOST_NUMBERS)
    logits, classes = logits[::step].double(), classes[::step].long()
    weights = as_weights(None if weights is None else weights[::step], classes)
    weights = weights / weights.sum()
    if not logits.isfinite().all():
        return 1.0
    centred = logits - logits.mean(1, keepdim=True)
    told = centred.gather(1, classes[:, None])[:, 0] * (len(classes) / (len(classes) + 1))
    low, high, sharpness = 1 / LIMIT, LIMIT, 1.0
    for _ in range(100):
        shares = F.softmax(centred * sharpness, dim=1)
        expected = (shares * centred).sum(1)
        spread = (shares * centred.square()).sum(1) - expected.square()
        slope, curvature = (float((weights * each).sum()) for each in (expected - told, spread))
        if slope == 0:
            break
        low, high = (low, sharpness) if slope > 0 else (sharpness, high)
        newton = sharpness - slope / curvature if curvature > 0 else low
        before, sharpness = sharpness, newton if low < newton < high else math.sqrt(low * high)
        if abs(sharpness - before) <= 1e-10 * before:
            break
    return 1 / sharpness


def calibrated(targets: Sequence[Target], said: Sequence[Tensor], part: Part) -> tuple[Target, ...]:
    """Return the targets, those of classes with the temperature that suits what is said of rows.

    Args:
        targets: What is predicted.
        said: What is said of each row, by target, (N, O) each.
        part: The rows, with their classes and weights.
    """
    found: list[Target] = []
    for place, (target, outputs) in enumerate(zip(targets, said, strict=True)):
        there = ~part.values[:, place].isnan()
        if target.head == "classes" and there.any():
            fitted = fit_temperature(outputs[there], part.values[there, place], part.weights[there])
            found.append(replace(target, temperature=fitted))
        else:
            found.append(target)
    return tuple(found)
