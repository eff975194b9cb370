"""What every threshold on a score would flag: the source of curves, average precision and tables.

Shapes: N rows, K different scores.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from rondel.metric import as_weights


@dataclass(frozen=True)
class Ranking:
    """Rows in the order of their scores; rows are flagged whose score is at least a threshold.

    Args:
        thresholds: (K,) the different scores, descending.
        hits: (K,) weight of the positives that are flagged at each.
        false: (K,) weight of the negatives that are flagged at each.
        positives: Weight of all positives.
        negatives: Weight of all negatives.
    """

    thresholds: Tensor
    hits: Tensor
    false: Tensor
    positives: float
    negatives: float

    @classmethod
    def of(cls, scores: Tensor, labels: Tensor, weights: Tensor | None = None) -> Self:
        """Rank rows by scores (N,), with labels (N,) of 0 and 1 and weights (N,)."""
        weights = as_weights(weights, scores)
        # ascending; turned below, since `unique` knows no other order
        different, place = torch.unique(scores.double(), return_inverse=True)
        hits, false = (
            torch.bincount(place, weights * chosen, minlength=len(different)).flip(0).cumsum(0)
            for chosen in (labels.bool(), ~labels.bool())
        )
        positives, negatives = (float(sums[-1:].sum()) for sums in (hits, false))
        return cls(different.flip(0), hits, false, positives, negatives)

    @property
    def recall(self) -> Tensor:  # (K,)
        """The share of the positives that is flagged; NaN without positives."""
        return self.hits / self.positives

    @property
    def false_alarms(self) -> Tensor:  # (K,)
        """The share of the negatives that is flagged; NaN without negatives."""
        return self.false / self.negatives

    @property
    def flagged(self) -> Tensor:  # (K,)
        """The share of all rows that is flagged."""
        return (self.hits + self.false) / (self.positives + self.negatives)

    @property
    def precision(self) -> Tensor:  # (K,)
        """The share of the flagged that is positive; 0 where nothing with a weight is flagged."""
        flagged = self.hits + self.false
        return self.hits / flagged.where(flagged > 0, torch.ones(()).double())

    @property
    def f1(self) -> Tensor:  # (K,)
        """The harmonic mean of precision and recall."""
        return 2 * self.hits / (self.hits + self.false + self.positives)

    @property
    def balanced_accuracy(self) -> Tensor:  # (K,)
        """The mean of the shares of both classes that are told rightly."""
        return (self.recall + 1 - self.false_alarms) / 2

    @property
    def average_precision(self) -> float:
        """The precision at each threshold, weighted by what it adds to the recall.

        NaN without positives.
        """
        gained = self.recall.diff(prepend=torch.zeros(1).double())
        return float((gained * self.precision).sum()) if self.positives else float("nan")

    def at(self, threshold: float) -> int | None:
        """Return the place of the lowest score that a threshold flags; None if it flags none."""
        count = int((self.thresholds >= threshold).sum())
        return count - 1 if count else None
