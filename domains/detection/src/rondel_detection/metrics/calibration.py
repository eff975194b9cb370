"""Whether scores mean what they say: of detections with score 0.8, four in five should be right."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from rondel_detection.data.table import Floats, Integers
from rondel_detection.metrics.outcome import Outcome


@dataclass(frozen=True, eq=False)
class Calibration:
    """Scores against the share that is right, in bins of equal width from 0 to 1.

    Args:
        edges: (N + 1,) bounds of the bins.
        count: (N,) detections in each.
        score: (N,) their mean score; NaN in an empty bin.
        precision: (N,) the share of hits among them; NaN in an empty bin.
    """

    edges: Floats
    count: Integers
    score: Floats
    precision: Floats

    @property
    def error(self) -> float:
        """The expected calibration error: the mean gap between the two, by detections.

        As of Kueppers et al. (2020) with the score alone; NaN without detections.
        """
        total = self.count.sum()
        gap = np.nan_to_num(np.abs(self.score - self.precision))
        return float((gap * self.count).sum() / total) if total else math.nan


def calibration_of(outcome: Outcome, *, bins: int = 10, lowest: float = 0.0) -> Calibration:
    """Compare scores with the share of hits.

    Args:
        outcome: What became of the detections.
        bins: Number of bins.
        lowest: Detections with a smaller score are left out; the many at the bottom hide the rest.
    """
    kept = ~outcome.ignored & (outcome.score >= lowest)
    score, hit = outcome.score[kept], outcome.hit[kept]
    bin_of = np.clip((score * bins).astype(np.int64), 0, bins - 1)
    count = np.bincount(bin_of, minlength=bins)
    filled = np.where(count > 0, count, math.nan)
    return Calibration(
        edges=np.linspace(0.0, 1.0, bins + 1),
        count=count,
        score=np.bincount(bin_of, weights=score, minlength=bins) / filled,
        precision=np.bincount(bin_of, weights=hit, minlength=bins) / filled,
    )
