"""How good predictions are, by target: the same names for evaluation and baseline.

Shapes: N rows, T targets, O outputs of a target: C classes, one number, quantiles, or mean and
deviation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, Self

import torch
from torch import Tensor

from rondel import Metric
from rondel.metric import (
    ConfusionMatrix,
    MeanMetric,
    RegressionErrors,
    Scores,
    SumMetric,
    as_weights,
    merged,
    zero,
)
from rondel_tabular.calibration import CalibrationError
from rondel_tabular.data.part import Part
from rondel_tabular.data.target import Target
from rondel_tabular.losses import ROW_LOSSES, row_losses
from rondel_tabular.ranking import Ranking

LOWER_IS_BETTER = frozenset({"loss", "rmse", "mae", "ece"})
NEITHER_IS_BETTER = frozenset({"coverage"})


class Confusions(ConfusionMatrix):
    """Accuracy, balanced accuracy, macro F1 and Matthews' correlation."""

    def compute(self) -> dict[str, float]:
        """Return them by name; balanced accuracy is the mean recall of the classes that occur."""
        values, matrix = super().compute(), self["matrix"]
        true = matrix.sum(1)
        recall = (matrix.diagonal() / true)[true > 0]
        return {**values, "balanced_accuracy": float(recall.mean())}


class AveragePrecision(Scores):
    """The average precision of two classes: the area under its steps of precision over recall."""

    def compute(self) -> float:
        """Return it; NaN without a row of the second class."""
        return Ranking.of(**self.state_dict()).average_precision


class TotalLoss(SumMetric):
    """The mean over rows of the losses of all targets, as it is trained."""

    def __init__(self, targets: Sequence[Target], scales: Sequence[float]) -> None:
        super().__init__(total=zero(), count=zero())
        self._targets, self._scales = targets, scales or [1.0] * len(targets)

    def update(self, outputs: Sequence[Tensor], values: Tensor, weights: Tensor) -> Self:
        """Add what is said of each target, (N, O) each, values (N, T) and weights (N,)."""
        side_by_side = torch.cat(list(outputs), dim=1)
        losses = row_losses(self._targets, side_by_side, values, scales=self._scales)
        each = torch.stack(losses).double().sum(0)
        self.add(total=(each * weights).sum(), count=weights.sum())
        return self

    def compute(self) -> dict[str, float]:
        """Return the loss, under its own name: a target may be called so too."""
        return {"loss": (self["total"] / self["count"]).item()}


class ClassMetrics:
    """Loss, accuracies, macro F1, Matthews' correlation, calibration; the ranking of two classes.

    All are of what the network says, before its temperature; where the target has one, loss and
    calibration error with it are there as well.
    """

    def __init__(self, target: Target) -> None:
        self._target = target
        self._loss, self._confusion, self._calibration = (
            MeanMetric(),
            Confusions(target.outputs),
            CalibrationError(),
        )
        self._ranked = [Scores(), AveragePrecision()] if target.outputs == 2 else []
        self.by_name: dict[str, Metric] = {
            "loss": self._loss,
            "": self._confusion,
            **dict(zip(("roc_auc", "average_precision"), self._ranked, strict=False)),
            "ece": self._calibration,
        }
        self._tempered = (MeanMetric(), CalibrationError()) if target.temperature != 1 else None
        if self._tempered is not None:
            names = ("calibrated_loss", "calibrated_ece")
            self.by_name |= dict(zip(names, self._tempered, strict=True))

    def update(self, outputs: Tensor, values: Tensor, weights: Tensor) -> Self:
        """Add logits (N, C), class indices (N,) and weights (N,)."""
        classes = values.long()
        row_loss = ROW_LOSSES["classes"]
        self._loss.update(row_loss(self._target, outputs, values), weights)
        self._confusion.update(outputs.argmax(dim=1), classes, weights)
        self._calibration.update(outputs, classes, weights)
        for ranked in self._ranked:
            ranked.update(outputs[:, 1] - outputs[:, 0], classes, weights)
        if self._tempered is not None:
            loss, error = self._tempered
            tempered = outputs / self._target.temperature
            loss.update(row_loss(self._target, tempered, values), weights)
            error.update(tempered, classes, weights)
        return self


class NumberMetrics:
    """Loss in standardised units; RMSE and MAE in the unit of the target; R²; coverage.

    The loss of a Gaussian is its negative log-likelihood. The coverage of quantiles is the share of
    rows between the outermost two.
    """

    def __init__(self, target: Target) -> None:
        self._target = target
        self._loss, self._errors = MeanMetric(), RegressionErrors()
        self.by_name: dict[str, Metric] = {"loss": self._loss, "": self._errors}
        self._coverage = MeanMetric() if len(target.quantiles) > 1 else None
        if self._coverage is not None:
            self.by_name["coverage"] = self._coverage

    def update(self, outputs: Tensor, values: Tensor, weights: Tensor) -> Self:
        """Add what a head says (N, O), standardised values (N,) and weights (N,)."""
        target = self._target
        self._loss.update(ROW_LOSSES[target.head](target, outputs, values), weights)
        point = target.in_unit(target.point(outputs))
        self._errors.update(point, target.in_unit(values), weights)
        if self._coverage is not None:
            inside = (outputs.amin(1) <= values) & (values <= outputs.amax(1))
            self._coverage.update(inside, weights)
        return self


class TableMetrics:
    """The metrics of all targets; with several, each under its target's name, and a loss of all.

    Args:
        targets: What is predicted.
        scales: What the loss of each target is multiplied by in the loss of all; 1 by default.
    """

    def __init__(self, targets: Sequence[Target], scales: Sequence[float] = ()) -> None:
        self._targets = targets
        self._each = [
            (ClassMetrics if target.labels else NumberMetrics)(target) for target in targets
        ]
        self._total = TotalLoss(targets, scales) if len(targets) > 1 else None

    @property
    def by_name(self) -> dict[str, Metric]:
        """The metrics, under the names of an evaluation."""
        if self._total is None:
            return self._each[0].by_name
        found: dict[str, Metric] = {"": self._total}
        for target, metrics in zip(self._targets, self._each, strict=True):
            for name, metric in metrics.by_name.items():
                found[f"{target.name}.{name}" if name else target.name] = metric
        return found

    def update(
        self, outputs: Sequence[Tensor], values: Tensor, weights: Tensor | None = None
    ) -> Self:
        """Add a batch: what is said of each target, (N, O) each, values (N, T), weights (N,)."""
        weights = as_weights(weights, values[:, 0])
        if self._total is not None:
            self._total.update(outputs, values, weights)
        for place, (target, metrics) in enumerate(zip(self._targets, self._each, strict=True)):
            mine, said, counts = values[:, place], outputs[place], weights
            if target.gaps:
                there = ~mine.isnan()
                mine, said, counts = mine[there], said[there], counts[there]
            metrics.update(said, mine, counts)
        return self


def measure(
    targets: Sequence[Target], said: Sequence[Tensor], part: Part, scales: Sequence[float] = ()
) -> dict[str, float]:
    """Return the metrics of what is said of rows, by target, (N, O) each."""
    metrics = TableMetrics(targets, scales).update(said, part.values, part.weights)
    return merged(metrics.by_name, [])


def mode_of(name: str) -> Literal["min", "max"]:
    """Tell whether a lower or a higher metric is better: of a target as ``NAME.metric``."""
    return "min" if kind_of(name) in LOWER_IS_BETTER else "max"


def watchable(values: Mapping[str, float]) -> list[str]:
    """Return the names of metrics of which one can say what is better."""
    return [name for name in values if kind_of(name) not in NEITHER_IS_BETTER]


def kind_of(name: str) -> str:
    """Return a metric's name without that of its target."""
    return name.rpartition(".")[2]
