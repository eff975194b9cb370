"""What the network is trained for, as a sum and a count.

Shapes: N rows, C classes.
"""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor

from rondel import Loss
from rondel_tabular.config import Task


def cross_entropy(
    outputs: Tensor,  # (N, C) logits
    targets: Tensor,  # (N,) class indices
) -> Tensor:  # (N,) nats
    """Return the negative log-probability of each row's class."""
    return F.cross_entropy(outputs, targets, reduction="none")


def squared_error(
    outputs: Tensor,  # (N, 1)
    targets: Tensor,  # (N,) standardised
) -> Tensor:  # (N,)
    """Return the squared error of each row, in squared standard deviations of the target."""
    return (outputs.squeeze(1) - targets).square()


ROW_LOSSES: dict[Task, Callable[[Tensor, Tensor], Tensor]] = {
    "classification": cross_entropy,
    "regression": squared_error,
}
"""The loss of each row, by task."""


def row_sum(task: Task, outputs: Tensor, targets: Tensor) -> Loss:
    """Return the loss of a batch: the sum over its rows, and their number."""
    return Loss(ROW_LOSSES[task](outputs, targets).sum(), len(targets))
