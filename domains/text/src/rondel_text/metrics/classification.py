"""How good classes and labels are: F1, accuracy, correlation and ROC-AUC from logits.

Shapes: N samples, C classes of which one is true, L labels of which any number is true.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Self

import torch
from torch import Tensor

from rondel.metric import ConfusionMatrix, Scores, SumMetric, check_shapes, zero
from rondel_text.metrics.shapes import misfit


class ClassScores(ConfusionMatrix):
    """Accuracy, macro F1 and Matthews' correlation of one class per sample.

    A sample with a NaN among its logits is predicted as a class of its own that is never true.

    Args:
        classes: C.
        background: The class that means "nothing found". Micro F1 is the accuracy if every class
            counts, so it is reported only with a background: over the other classes.
    """

    def __init__(self, classes: int, *, background: int | None = None) -> None:
        super().__init__(classes + 1)
        self._background = background

    def update(self, logits: Tensor, labels: Tensor, weights: Tensor | None = None) -> Self:
        """Add a batch: ``logits`` (N, C), ``labels`` (N,) class indices, ``weights`` (N,)."""
        check_columns(logits, self.classes - 1)
        return super().update(predicted_classes(logits), labels, weights)

    def compute(self) -> dict[str, float]:
        """Return accuracy, macro_f1 over the classes that occur, mcc, and perhaps micro_f1.

        F1 is van Rijsbergen's (1979) with equal weights; the correlation of C classes is
        Gorodkin's (2004).
        """
        values = super().compute()
        scores = {name: values[key] for name, key in _NAMES.items()}
        if self._background is not None:
            scores["micro_f1"] = self._micro_f1(self._background)
        return scores

    def _micro_f1(self, background: int) -> float:
        matrix = self["matrix"]
        if not matrix.sum():
            return math.nan
        counted = torch.arange(self.classes) != background
        hits, predicted, true = matrix.diagonal(), matrix.sum(0), matrix.sum(1)
        return f1(hits[counted].sum(), predicted[counted].sum(), true[counted].sum()).item()


_NAMES = {"accuracy": "accuracy", "macro_f1": "f1", "mcc": "mcc"}  # ours: the core's


class LabelScores(SumMetric):
    """Micro F1, macro F1 and subset accuracy of any number of labels per sample.

    A label is predicted where its logit is above 0. A NaN counts as the wrong answer, whatever is
    true.

    Args:
        labels: L.
    """

    def __init__(self, labels: int) -> None:
        per_label = {name: zero(labels).long() for name in ("hits", "predicted", "true")}
        super().__init__(**per_label, exact=zero().long(), count=zero().long())
        self._labels = labels

    def update(self, logits: Tensor, targets: Tensor) -> Self:
        """Add a batch: ``logits`` (N, L), ``targets`` (N, L) of 0 and 1."""
        check_columns(logits, self._labels)
        check_shapes(logits, targets)
        true = targets.detach() > 0.5
        predicted = torch.where(logits.isnan(), ~true, logits.detach() > 0)
        self.add(
            hits=(predicted & true).sum(0),
            predicted=predicted.sum(0),
            true=true.sum(0),
            exact=(predicted == true).all(1).sum(),
            count=torch.tensor(len(logits), device=logits.device),
        )
        return self

    def compute(self) -> dict[str, float]:
        """Return micro_f1, macro_f1 and subset_accuracy; NaN if nothing was added.

        The F1 of a label that is neither true nor predicted is 0, and the mean is over all labels.
        """
        if not self["count"]:
            return dict.fromkeys(("micro_f1", "macro_f1", "subset_accuracy"), math.nan)
        hits, predicted, true = self["hits"], self["predicted"], self["true"]
        return {
            "micro_f1": f1(hits.sum(), predicted.sum(), true.sum()).item(),
            "macro_f1": f1(hits, predicted, true).mean().item(),
            "subset_accuracy": self["exact"].item() / self["count"].item(),
        }


class RocAuc:
    """The area under the ROC curve: of two classes, or one against the rest, averaged over classes.

    Keeps one float and one truth value per sample and class: the order of all scores is needed.

    Args:
        classes: C; two classes have one curve.
    """

    def __init__(self, classes: int) -> None:
        self._classes = classes
        first = 1 if classes == 2 else 0
        self._scores = {str(column): Scores() for column in range(first, classes)}

    def update(self, logits: Tensor, labels: Tensor) -> Self:
        """Add a batch: ``logits`` (N, C), ``labels`` (N,) class indices."""
        check_columns(logits, self._classes)
        odds = log_odds(logits.detach().double())
        for column, scores in self._scores.items():
            scores.update(odds[:, int(column)], labels == int(column))
        return self

    def merge(self, state: Mapping[str, Any]) -> None:
        """Add the scores of another process."""
        for column, scores in self._scores.items():
            scores.merge(state[column])

    def state_dict(self) -> dict[str, Any]:
        """Return scores and truth by class."""
        return {column: scores.state_dict() for column, scores in self._scores.items()}

    def compute(self) -> float:
        """Return the area, a mean over the classes that have samples inside and outside.

        NaN without such a class, or if a logit was NaN.
        """
        areas = [
            area for scores in self._scores.values() if not math.isnan(area := scores.compute())
        ]
        return sum(areas) / len(areas) if areas else math.nan


def log_odds(logits: Tensor) -> Tensor:
    """Return the log-odds of each class against the rest, (N, C): in the order of the softmax.

    The softmax itself rounds to 1 for sure predictions, which would tie them.
    """
    columns = torch.arange(logits.shape[1], device=logits.device)
    rest = [logits[:, columns != column].logsumexp(1) for column in range(logits.shape[1])]
    return logits - torch.stack(rest, dim=1)


def predicted_classes(logits: Tensor) -> Tensor:
    """Return the class of the highest logit, (N,); C, which is no class, where a logit is NaN."""
    return logits.argmax(1).masked_fill(logits.isnan().any(1), logits.shape[1])


def f1(hits: Tensor, predicted: Tensor, true: Tensor) -> Tensor:
    """Return 2 hits / (predicted + true), any shape; 0 where nothing is true or predicted."""
    return 2.0 * hits.double() / (predicted + true).clamp(min=1)


def check_columns(logits: Tensor, columns: int) -> None:
    """Raise unless logits are (N, ``columns``).

    Raises:
        UsageError: They have another shape.
    """
    if logits.ndim != 2 or logits.shape[1] != columns:
        raise misfit(f"logits (N, {columns}), one column per class", logits=logits)
