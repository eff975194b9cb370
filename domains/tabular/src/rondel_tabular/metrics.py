"""How good predictions are, by task: the same names for evaluation and baseline.

Shapes: N rows, C classes.
"""

from __future__ import annotations

from typing import Protocol, Self

from torch import Tensor

from rondel import Metric
from rondel.metric import ConfusionMatrix, MeanMetric, RegressionErrors, Scores
from rondel_tabular.data.target import Target
from rondel_tabular.losses import cross_entropy, squared_error

LOWER_IS_BETTER = frozenset({"loss", "rmse", "mae"})


class TaskMetrics(Protocol):
    """The metrics of a task; ``update`` adds a batch of outputs and targets."""

    by_name: dict[str, Metric]

    def update(self, outputs: Tensor, targets: Tensor) -> Self:
        """Add a batch: what the network returned and the encoded targets."""


class ClassificationMetrics:
    """Loss, accuracy, macro F1, Matthews' correlation; ROC-AUC of two classes."""

    def __init__(self, classes: int) -> None:
        self._loss = MeanMetric()
        self._confusion = ConfusionMatrix(classes)
        self._ranking = Scores() if classes == 2 else None
        self.by_name: dict[str, Metric] = {"loss": self._loss, "": self._confusion}
        if self._ranking is not None:
            self.by_name["roc_auc"] = self._ranking

    def update(self, outputs: Tensor, targets: Tensor) -> Self:
        """Add logits (N, C) and class indices (N,)."""
        self._loss.update(cross_entropy(outputs, targets))
        self._confusion.update(outputs.argmax(dim=1), targets)
        if self._ranking is not None:
            self._ranking.update(outputs[:, 1] - outputs[:, 0], targets)
        return self


class RegressionMetrics:
    """Loss in standardised units; RMSE and MAE in the unit of the target; R²."""

    def __init__(self, mean: float, scale: float) -> None:
        self._mean, self._scale = mean, scale
        self._loss = MeanMetric()
        self._errors = RegressionErrors()
        self.by_name: dict[str, Metric] = {"loss": self._loss, "": self._errors}

    def update(self, outputs: Tensor, targets: Tensor) -> Self:
        """Add standardised predictions (N, 1) and standardised targets (N,)."""
        self._loss.update(squared_error(outputs, targets))
        self._errors.update(self._in_unit(outputs.squeeze(1)), self._in_unit(targets))
        return self

    def _in_unit(self, standardised: Tensor) -> Tensor:
        return standardised.double() * self._scale + self._mean


def metrics_of(target: Target) -> TaskMetrics:
    """Return fresh metrics for a target."""
    if target.task == "classification":
        return ClassificationMetrics(len(target.labels))
    return RegressionMetrics(target.mean, target.scale)
