"""Whether a classifier is right as often as it claims: expected calibration error.

Shapes: N samples, C classes, B bins of confidence.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from rondel.metric import SumMetric, check_shapes, zero
from rondel_text.metrics.classification import check_columns, predicted_classes


@dataclass(frozen=True)
class ReliabilityBin:
    """One row of a reliability table; the means are NaN if no sample fell into the bin."""

    low: float  # exclusive, but the first bin includes 0
    high: float  # inclusive
    count: int
    confidence: float  # mean probability of the predicted class
    accuracy: float


class CalibrationError(SumMetric):
    """The mean distance of confidence from accuracy, over bins of equal width.

    Keeps sums per bin. A sample with a NaN among its logits counts as fully confident and wrong.

    Args:
        classes: C.
        bins: B.
    """

    def __init__(self, classes: int, *, bins: int = 15) -> None:
        super().__init__(count=zero(bins).long(), hits=zero(bins).long(), confidence=zero(bins))
        self._classes = classes
        self._edges = torch.linspace(0.0, 1.0, bins + 1, dtype=torch.float64)

    def update(self, logits: Tensor, labels: Tensor) -> Self:
        """Add a batch: ``logits`` (N, C), ``labels`` (N,) class indices."""
        check_columns(logits, self._classes)
        check_shapes(logits[:, 0], labels)
        logits = logits.detach().double()
        confidence = logits.softmax(1).amax(1).nan_to_num(nan=1.0)
        hits = predicted_classes(logits) == labels
        # a comparison with every bin, not a scatter: sums come in the same order on every device
        inside = self._bins_of(confidence)[:, None] == torch.arange(
            len(self._edges) - 1, device=logits.device
        )  # (N, B)
        self.add(
            count=inside.sum(0),
            hits=(inside & hits[:, None]).sum(0),
            confidence=(inside * confidence[:, None]).sum(0),
        )
        return self

    def _bins_of(self, confidence: Tensor) -> Tensor:
        return torch.bucketize(confidence, self._edges[1:-1].to(confidence.device))

    def table(self) -> list[ReliabilityBin]:
        """Return the bins from low to high confidence, empty ones included."""
        counts = self["count"]
        columns = (
            self._edges[:-1],
            self._edges[1:],
            counts,
            self["confidence"] / counts,  # 0 / 0 is NaN
            self["hits"] / counts.double(),
        )
        return [ReliabilityBin(*row) for row in zip(*(c.tolist() for c in columns), strict=True)]

    def compute(self) -> float:
        """Return the error (Naeini et al., 2015; bins as in Guo et al., 2017), a share in 0..1.

        NaN if nothing was added.
        """
        counts = self["count"]
        if not counts.sum():
            return math.nan
        return ((self["hits"] - self["confidence"]).abs().sum() / counts.sum()).item()
