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
from rondel.loss import divisor


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
        super().__init__(total=zero(), square=zero(), count=zero(), squared_weights=zero())

    def update(self, values: Tensor, weights: Tensor | None = None) -> Self:
        """Add values, any shape, and how much each counts, of the same shape."""
        values = values.detach().double()
        weights = as_weights(weights, values)
        self.add(
            total=(values * weights).sum(),
            square=(values.square() * weights).sum(),
            count=weights.sum(),
            squared_weights=weights.square().sum(),
        )
        return self

    def compute(self) -> float:
        """Return the mean; NaN if nothing was added."""
        count = self["count"].item()
        return self["total"].item() / count if count else math.nan

    def interval(self) -> tuple[float, float]:
        """Return the 95 % confidence interval of the mean.

        Weighted samples are worth (sum of weights)^2 / (sum of squared weights) of equal ones
        (Kish, 1965).
        """
        count = self["count"].item()
        worth = count**2 / self["squared_weights"].item() if count else 0.0
        if worth < 2:
            return math.nan, math.nan
        mean = self.compute()
        variance = max(0.0, self["square"].item() / count - mean**2) * worth / (worth - 1)
        half = 1.959964 * math.sqrt(variance / worth)
        return mean - half, mean + half


class Accuracy(MeanMetric):
    """The share of samples whose highest logit is that of their class; NaN is never right."""

    def update(  # type: ignore[override]
        self, logits: Tensor, labels: Tensor, weights: Tensor | None = None
    ) -> Self:
        """Add a batch: ``logits`` (N, C), ``labels`` (N,) class indices, ``weights`` (N,)."""
        check_shapes(logits[..., 0], labels)
        hits = (logits.argmax(dim=-1) == labels) & ~logits.isnan().any(dim=-1)
        return super().update(hits.double(), weights)


class ConfusionMatrix(SumMetric):
    """Counts, or weights, of (true, predicted) class pairs; accuracy, F1, MCC follow from it."""

    def __init__(self, classes: int) -> None:
        super().__init__(matrix=zero(classes, classes))
        self.classes = classes

    def update(self, predicted: Tensor, labels: Tensor, weights: Tensor | None = None) -> Self:
        """Add a batch: ``predicted`` (N,), ``labels`` (N,) class indices, ``weights`` (N,)."""
        check_shapes(predicted, labels)
        pairs = labels.long() * self.classes + predicted.long()
        weights = None if weights is None else as_weights(weights, labels)
        counts = torch.bincount(pairs, weights, minlength=self.classes**2)
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
        f1 = (2 * hits[occurs] / (true + predicted)[occurs]).mean()
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
        self._kept: dict[str, list[Tensor]] = {"scores": [], "labels": [], "weights": []}

    def update(self, scores: Tensor, labels: Tensor, weights: Tensor | None = None) -> Self:
        """Add a batch: ``scores`` (N,), ``labels`` (N,) of 0 and 1, ``weights`` (N,)."""
        check_shapes(scores, labels)
        scores = scores.detach().double()
        batch = {"scores": scores, "labels": labels.detach().bool()}
        self.merge({**batch, "weights": as_weights(weights, scores)})
        return self

    def merge(self, state: Mapping[str, Any]) -> None:
        """Add the scores of another process."""
        for name, kept in self._kept.items():
            kept.append(state[name].cpu())

    def state_dict(self) -> dict[str, Any]:
        """Return scores, labels and weights so far."""
        empty = {"scores": zero(0), "labels": zero(0).bool(), "weights": zero(0)}
        return {name: torch.cat([empty[name], *kept]) for name, kept in self._kept.items()}

    def compute(self) -> float:
        """Return the area under the ROC curve; NaN if a class is missing."""
        return roc_auc(**self.state_dict())

    def interval(self, *, resamples: int = 200, seed: int = 0) -> tuple[float, float]:
        """Return the 95 % interval by bootstrap over samples (Efron, 1979)."""
        state = self.state_dict()
        return bootstrap(
            lambda rows: roc_auc(**{name: kept[rows] for name, kept in state.items()}),
            len(state["scores"]),
            resamples=resamples,
            seed=seed,
        )


def roc_auc(scores: Tensor, labels: Tensor, weights: Tensor | None = None) -> float:
    """Return the probability that a positive scores above a negative, ties counting half.

    NaN if a class is missing, or if a score is NaN.

    Args:
        scores: (N,) any scale.
        labels: (N,) booleans.
        weights: (N,) how much each counts.
    """
    weights = as_weights(weights, scores)
    positives, negatives = weights[labels].sum(), weights[~labels].sum()
    if not positives or not negatives or torch.isnan(scores).any():
        return math.nan  # a NaN has no rank
    different, place = torch.unique(scores, return_inverse=True)
    above = torch.bincount(place[labels], weights[labels], minlength=len(different))
    tied = torch.bincount(place[~labels], weights[~labels], minlength=len(different))
    below = tied.cumsum(0) - tied
    return ((above * (below + tied / 2)).sum() / (positives * negatives)).item()


class RegressionErrors(SumMetric):
    """RMSE, MAE and R² of a regression.

    The spread of the targets is kept around their mean and joined batch by batch (Chan, Golub &
    LeVeque, 1983): a difference of sums of squares loses all digits of targets such as dates.
    """

    def __init__(self) -> None:
        names = ("square", "absolute", "count", "mean", "spread")
        super().__init__(**{name: zero() for name in names})

    def update(self, predictions: Tensor, targets: Tensor, weights: Tensor | None = None) -> Self:
        """Add a batch: both (N,), in the unit of the target, and ``weights`` (N,)."""
        check_shapes(predictions, targets)
        predictions, targets = predictions.detach().double(), targets.detach().double()
        weights = as_weights(weights, targets)
        count, error = weights.sum(), predictions - targets
        mean = (targets * weights).sum() / divisor(count)
        self._join(
            square=(error.square() * weights).sum(),
            absolute=(error.abs() * weights).sum(),
            count=count,
            mean=mean,
            spread=((targets - mean).square() * weights).sum(),
        )
        return self

    def merge(self, state: Mapping[str, Any]) -> None:
        """Add the state of another process."""
        self._sums = {name: tensor.cpu() for name, tensor in self._sums.items()}
        self._join(**state)

    def _join(self, *, mean: Tensor, spread: Tensor, **sums: Tensor) -> None:
        ours = {name: tensor.to(mean.device) for name, tensor in self._sums.items()}
        weight = sums["count"] / divisor(ours["count"] + sums["count"])
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


def as_weights(weights: Tensor | None, samples: Tensor) -> Tensor:
    """Return how much each sample counts, in the precision of accumulators: 1 by default.

    Raises:
        UsageError: There is not one weight for each sample.
    """
    if weights is None:
        return torch.ones_like(samples, dtype=torch.float64)
    if weights.shape != samples.shape:
        raise UsageError(
            f"a metric got weights of shape {tuple(weights.shape)} for samples of shape "
            f"{tuple(samples.shape)}",
            hint="Give one weight for each sample.",
        )
    return weights.detach().to(samples.device, torch.float64)


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
