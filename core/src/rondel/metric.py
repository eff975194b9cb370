"""Streaming metrics: ``update`` with a batch, ``merge`` with another process, ``compute`` once.

A metric keeps sums or counts, never all outputs. Its state is plain tensors, so it travels between
processes without pickle. Accumulators are float64 on the CPU's side of things: a mean over many
batches does not depend on their sizes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, Self, runtime_checkable

import torch
from torch import Tensor

from rondel.errors import UsageError


@runtime_checkable
class Metric(Protocol):
    """What a metric offers to a run; ``update`` takes what the metric needs."""

    def merge(self, state: Mapping[str, Any]) -> None:
        """Add the state of another process."""

    def state_dict(self) -> dict[str, Any]:
        """Return the sums so far."""

    def compute(self) -> float | Mapping[str, float]:
        """Return the value, or several by name."""


class SumMetric:
    """Base of metrics whose state is tensors that add up over batches and processes."""

    def __init__(self, **sums: Tensor) -> None:
        self._sums = sums

    def add(self, **amounts: Tensor) -> None:
        """Add to the sums, on the device of the sums; nothing is read back."""
        for name, amount in amounts.items():
            self._sums[name] = self._sums[name].to(amount.device) + amount.detach()

    def __getitem__(self, name: str) -> Tensor:
        """Return one sum on the CPU."""
        return self._sums[name].cpu()

    def merge(self, state: Mapping[str, Any]) -> None:
        """Add the state of another process."""
        for name, amount in state.items():
            self._sums[name] = self._sums[name].cpu() + amount

    def state_dict(self) -> dict[str, Any]:
        """Return the sums so far, on the CPU."""
        return {name: tensor.cpu() for name, tensor in self._sums.items()}


def zero(*shape: int) -> Tensor:
    """Return zeros in the precision of accumulators."""
    return torch.zeros(shape, dtype=torch.float64)


class MeanMetric(SumMetric):
    """The mean of values over samples, with a 95 % interval by the normal approximation."""

    def __init__(self) -> None:
        super().__init__(total=zero(), square=zero(), count=zero())

    def update(self, values: Tensor) -> Self:
        """Add values, any shape."""
        values = values.detach().double()
        count = torch.tensor(float(values.numel()), dtype=torch.float64, device=values.device)
        self.add(total=values.sum(), square=values.square().sum(), count=count)
        return self

    def compute(self) -> float:
        """Return the mean; NaN if nothing was added."""
        count = self["count"].item()
        return self["total"].item() / count if count else math.nan

    def interval(self) -> tuple[float, float]:
        """Return the 95 % confidence interval of the mean."""
        count = self["count"].item()
        if count < 2:
            return math.nan, math.nan
        mean = self.compute()
        variance = max(0.0, self["square"].item() / count - mean**2) * count / (count - 1)
        half = 1.959964 * math.sqrt(variance / count)
        return mean - half, mean + half


class Accuracy(MeanMetric):
    """The share of samples whose highest logit is that of their class; NaN is never right."""

    def update(self, logits: Tensor, labels: Tensor) -> Self:  # type: ignore[override]
        """Add a batch: ``logits`` (N, C), ``labels`` (N,) class indices."""
        check_shapes(logits[..., 0], labels)
        hits = (logits.argmax(dim=-1) == labels) & ~logits.isnan().any(dim=-1)
        return super().update(hits.double())


class ConfusionMatrix(SumMetric):
    """Counts of (true, predicted) class pairs; accuracy, F1 and MCC follow from it."""

    def __init__(self, classes: int) -> None:
        super().__init__(matrix=zero(classes, classes))
        self.classes = classes

    def update(self, predicted: Tensor, labels: Tensor) -> Self:
        """Add a batch: ``predicted`` (N,) and ``labels`` (N,), class indices."""
        check_shapes(predicted, labels)
        pairs = labels.long() * self.classes + predicted.long()
        counts = torch.bincount(pairs, minlength=self.classes**2)
        self.add(matrix=counts.reshape(self.classes, self.classes).double())
        return self

    def compute(self) -> dict[str, float]:
        """Return accuracy, macro F1 over the classes that occur, and Matthews' correlation."""
        matrix = self["matrix"]
        total, hits = matrix.sum(), matrix.diagonal()
        if total == 0:
            return {"accuracy": math.nan, "f1": math.nan, "mcc": math.nan}
        true, predicted = matrix.sum(1), matrix.sum(0)
        occurs = (true + predicted) > 0
        f1 = (2 * hits / (true + predicted).clamp(min=1))[occurs].mean()
        covariance = hits.sum() * total - (true * predicted).sum()
        spread = torch.sqrt((total**2 - (true**2).sum()) * (total**2 - (predicted**2).sum()))
        mcc = covariance / spread if spread > 0 else torch.zeros(())
        return {
            "accuracy": (hits.sum() / total).item(),
            "f1": f1.item(),
            "mcc": mcc.item(),
        }


class Scores:
    """All scores and labels of a binary problem, one number each: ROC-AUC and its interval.

    ROC-AUC needs the order of all scores; one float per sample is what that costs.
    """

    def __init__(self) -> None:
        self._scores: list[Tensor] = []
        self._labels: list[Tensor] = []

    def update(self, scores: Tensor, labels: Tensor) -> Self:
        """Add a batch: ``scores`` (N,), ``labels`` (N,) of 0 and 1."""
        check_shapes(scores, labels)
        self._scores.append(scores.detach().double().cpu())
        self._labels.append(labels.detach().bool().cpu())
        return self

    def merge(self, state: Mapping[str, Any]) -> None:
        """Add the scores of another process."""
        self._scores.append(state["scores"])
        self._labels.append(state["labels"])

    def state_dict(self) -> dict[str, Any]:
        """Return scores and labels so far."""
        empty = torch.zeros(0, dtype=torch.float64)
        scores = torch.cat([empty, *self._scores])
        return {"scores": scores, "labels": torch.cat([empty.bool(), *self._labels])}

    def compute(self) -> float:
        """Return the area under the ROC curve; NaN if a class is missing."""
        state = self.state_dict()
        return roc_auc(state["scores"], state["labels"])

    def interval(self, *, resamples: int = 200, seed: int = 0) -> tuple[float, float]:
        """Return the 95 % interval by bootstrap over samples (Efron, 1979)."""
        state = self.state_dict()
        return bootstrap(
            lambda rows: roc_auc(state["scores"][rows], state["labels"][rows]),
            len(state["scores"]),
            resamples=resamples,
            seed=seed,
        )


def roc_auc(scores: Tensor, labels: Tensor) -> float:
    """Return the probability that a positive scores above a negative, ties counting half.

    NaN if a class is missing, or if a score is NaN.

    Args:
        scores: (N,) any scale.
        labels: (N,) booleans.
    """
    positives, negatives = int(labels.sum()), int((~labels).sum())
    if not positives or not negatives or torch.isnan(scores).any():
        return math.nan  # a NaN has no rank
    _, inverse, counts = torch.unique(scores, return_inverse=True, return_counts=True)
    ends = counts.cumsum(0).double()
    ranks = (ends - (counts.double() - 1) / 2)[inverse]  # mean rank of each group of ties
    total = ranks[labels].sum().item()
    return float((total - positives * (positives + 1) / 2) / (positives * negatives))


class RegressionErrors(SumMetric):
    """RMSE, MAE and R² of a regression.

    The spread of the targets is kept around their mean and joined batch by batch (Chan, Golub &
    LeVeque, 1983): a difference of sums of squares loses all digits of targets such as dates.
    """

    def __init__(self) -> None:
        names = ("square", "absolute", "count", "mean", "spread")
        super().__init__(**{name: zero() for name in names})

    def update(self, predictions: Tensor, targets: Tensor) -> Self:
        """Add a batch: both (N,), in the unit of the target."""
        check_shapes(predictions, targets)
        if targets.numel():
            predictions, targets = predictions.detach().double(), targets.detach().double()
            error, mean = predictions - targets, targets.mean()
            self._join(
                square=error.square().sum(),
                absolute=error.abs().sum(),
                count=torch.full_like(mean, targets.numel()),
                mean=mean,
                spread=(targets - mean).square().sum(),
            )
        return self

    def merge(self, state: Mapping[str, Any]) -> None:
        """Add the state of another process."""
        self._sums = {name: tensor.cpu() for name, tensor in self._sums.items()}
        self._join(**state)

    def _join(self, *, mean: Tensor, spread: Tensor, **sums: Tensor) -> None:
        ours = {name: tensor.to(mean.device) for name, tensor in self._sums.items()}
        weight = sums["count"] / (ours["count"] + sums["count"]).clamp(min=1)
        between = mean - ours["mean"]
        self.add(mean=between * weight, spread=spread, **sums)
        self.add(spread=between.square() * ours["count"] * weight)

    def compute(self) -> dict[str, float]:
        """Return rmse, mae and r2; NaN where undefined."""
        count = self["count"].item()
        if not count:
            return {"rmse": math.nan, "mae": math.nan, "r2": math.nan}
        square, spread = self["square"].item(), self["spread"].item()
        constant = spread <= count * (1e-14 * self["mean"].item()) ** 2  # nothing but rounding
        return {
            "rmse": math.sqrt(square / count),
            "mae": self["absolute"].item() / count,
            "r2": math.nan if constant else 1.0 - square / spread,
        }


def check_shapes(outputs: Tensor, targets: Tensor) -> None:
    """Raise where broadcasting would compare everything with everything.

    Raises:
        UsageError: The shapes differ.
    """
    if outputs.shape != targets.shape:
        raise UsageError(
            f"a metric got outputs of shape {tuple(outputs.shape)} and targets of shape "
            f"{tuple(targets.shape)}",
            hint="Squeeze one of them, so that each output has its target.",
        )


def bootstrap(
    statistic: Any, size: int, *, resamples: int = 200, seed: int = 0, level: float = 0.95
) -> tuple[float, float]:
    """Return the percentile interval of a statistic over resampled rows (Efron, 1979).

    Args:
        statistic: Takes (N,) row indices, returns a float.
        size: Number of rows.
        resamples: Number of resamples.
        seed: Of the resampling; the interval is reproducible.
        level: Coverage.
    """
    if size == 0:
        return math.nan, math.nan
    generator = torch.Generator().manual_seed(seed)
    values = [
        statistic(torch.randint(size, (size,), generator=generator)) for _ in range(resamples)
    ]
    finite = torch.tensor([v for v in values if math.isfinite(v)], dtype=torch.float64)
    if not len(finite):
        return math.nan, math.nan
    tail = (1 - level) / 2
    low, high = torch.quantile(finite, torch.tensor([tail, 1 - tail], dtype=torch.float64)).tolist()
    return low, high


def merged(metrics: Mapping[str, Any], states: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Merge the states of the other processes into metrics and compute them.

    Args:
        metrics: Numbers, or metrics by name. A metric that computes several values gives
            ``name.value`` for each, or plain names if its own name is empty.
        states: One mapping of metric states for each other process.
    """
    values: dict[str, float] = {}
    for name, metric in metrics.items():
        if not isinstance(metric, Metric):
            values[name] = float(metric)
            continue
        for state in states:
            metric.merge(state[name])
        computed = metric.compute()
        if isinstance(computed, Mapping):
            prefix = f"{name}." if name else ""
            values.update({f"{prefix}{key}": float(value) for key, value in computed.items()})
        else:
            values[name] = float(computed)
    return values
