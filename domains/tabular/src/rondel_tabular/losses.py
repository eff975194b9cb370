"""What a network is trained for, by head; and what its members say together.

Shapes: ``...`` rows, or rows and members; N rows, k members, C classes, Q quantiles; O outputs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rondel_tabular.config import TabularConfig
from rondel_tabular.data.dataset import Dataset
from rondel_tabular.data.target import Target

RowLoss = Callable[[Target, Tensor, Tensor], Tensor]
CACHED_ROWS, CHUNK_ROWS = 1024, 65_536
"""Rows that are told at once: by a core, whose cache holds their features; by an accelerator."""


def cross_entropy(
    target: Target,  # noqa: ARG001 - every head is called alike
    outputs: Tensor,  # (..., C) logits
    values: Tensor,  # (...) class indices
    smoothing: float = 0.0,
) -> Tensor:  # (...) nats
    """Return the negative log-probability of each row's class."""
    flat = F.cross_entropy(
        outputs.flatten(0, -2),
        values.flatten().long(),
        reduction="none",
        label_smoothing=smoothing,
    )
    return flat.view(values.shape)


def squared_error(
    target: Target,  # noqa: ARG001
    outputs: Tensor,  # (..., 1)
    values: Tensor,  # (...) standardised
) -> Tensor:  # (...)
    """Return the squared error of each row, in squared standard deviations of the target."""
    return (outputs.squeeze(-1) - values).square()


def pinball(
    target: Target,
    outputs: Tensor,  # (..., Q)
    values: Tensor,  # (...) standardised
) -> Tensor:  # (...)
    """Return the mean over quantiles of q * (y - f) above f and (q - 1) * (y - f) below it.

    Its expectation is least where f is the quantile (Koenker and Bassett, 1978).
    """
    each = []
    # one by one: a tensor of them would be copied to the device at every update
    for quantile, said in zip(target.quantiles, outputs.unbind(-1), strict=True):
        apart = values - said
        each.append(torch.maximum(quantile * apart, (quantile - 1) * apart))
    return torch.stack(each).mean(0)


def gaussian(
    target: Target,  # noqa: ARG001
    outputs: Tensor,  # (..., 2) mean, logarithm of the standard deviation
    values: Tensor,  # (...) standardised
) -> Tensor:  # (...) nats
    """Return the negative log-density of each row's value, without its constant."""
    mean, log_deviation = outputs.unbind(-1)
    log_deviation = log_deviation.clamp(min=-7)  # no density above e^7, where rounding reigns
    return log_deviation + ((values - mean) * (-log_deviation).exp()).square() / 2


ROW_LOSSES: dict[str, RowLoss] = {
    "classes": cross_entropy,
    "point": squared_error,
    "quantiles": pinball,
    "gaussian": gaussian,
}
"""The loss of each row, by head."""


def row_losses(
    targets: Sequence[Target],
    outputs: Tensor,  # (..., O) those of all targets side by side
    values: Tensor,  # (..., number of targets), NaN where a row has none
    *,
    scales: Sequence[float],
    smoothing: float = 0.0,
) -> list[Tensor]:  # (...) each
    """Return the loss of each row for each target, times its scale; 0 where a value is missing."""
    found: list[Tensor] = []
    pieces = torch.split(outputs, [target.outputs for target in targets], dim=-1)
    for place, (target, piece, scale) in enumerate(zip(targets, pieces, scales, strict=True)):
        mine = values[..., place]
        there = ~mine.isnan() if target.gaps else None
        known = mine if there is None else mine.nan_to_num()
        if target.head == "classes":
            loss = cross_entropy(target, piece, known, smoothing)
        else:
            loss = ROW_LOSSES[target.head](target, piece, known)
        loss = loss if there is None else loss * there
        found.append(loss if scale == 1 else loss * scale)
    return found


def scales_of(dataset: Dataset, config: TabularConfig) -> list[float]:
    """Return what the loss of each target is multiplied by.

    Beside its weight from the config, one over the share of training rows that have a value: a
    target that few rows have counts as much as one that all have, and each row's loss stays its
    own, so that micro-batches are exact.
    """
    shares = (~dataset.train.values.isnan()).double().mean(0).tolist()
    return [
        config.head_weights.get(target.name, 1.0) / share
        for target, share in zip(dataset.targets, shares, strict=True)
    ]


# -- members together ------------------------------------------------------------------------------


def together(target: Target, outputs: Tensor) -> Tensor:  # (N, k, O) -> (N, O)
    """Return what the members say together, as one network would say it.

    Classes: the logarithm of the mean of their probabilities. A Gaussian: mean and deviation of
    their mixture. Everything else: the mean.
    """
    if outputs.shape[1] == 1:
        return outputs.squeeze(1)
    if target.head == "classes":
        return outputs.log_softmax(-1).logsumexp(1) - math.log(outputs.shape[1])
    if target.head == "gaussian":
        means, log_deviations = outputs.unbind(-1)
        mean = means.mean(1)
        square = (2 * log_deviations.clamp(min=-7)).exp() + means.square()
        variance = (square.mean(1) - mean.square()).clamp(min=1e-6)
        return torch.stack([mean, variance.log() / 2], dim=-1)
    return outputs.mean(1)


def all_together(targets: Sequence[Target], outputs: Tensor) -> list[Tensor]:
    """Return what the members say together, for each target."""
    pieces = torch.split(outputs, [target.outputs for target in targets], dim=-1)
    return [together(target, piece) for target, piece in zip(targets, pieces, strict=True)]


@torch.no_grad()
def say(
    targets: Sequence[Target],
    model: nn.Module,
    numbers: Tensor,  # (N, P)
    levels: Tensor,  # (N, K)
) -> list[Tensor]:  # (N, O) each, on the CPU
    """Return what the members of a network say together of rows, for each target.

    The network is in evaluation mode meanwhile; rows go to its device in chunks.
    """
    device, training = next(model.parameters()).device, model.training
    model.eval()
    size = CACHED_ROWS if device.type == "cpu" else CHUNK_ROWS
    chunks = zip(torch.split(numbers, size), torch.split(levels, size), strict=True)
    pieces = [
        all_together(targets, model(some.to(device), others.to(device))) for some, others in chunks
    ]
    model.train(training)
    return [torch.cat(parts).cpu() for parts in zip(*pieces, strict=True)]
