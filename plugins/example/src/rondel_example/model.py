"""What is trained."""

import torch
from torch import Tensor, nn


class StandardizedLinear(nn.Module):
    """A linear model of columns that it scales to mean 0 and deviation 1 itself.

    Args:
        mean: (F,) mean of each column.
        deviation: (F,) standard deviation of each column.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, mean: Tensor, deviation: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("deviation", deviation.clamp(min=1e-6))
        self.linear = nn.Linear(len(mean), 1)

    def forward(self, x: Tensor) -> Tensor:
        """Predict one number per row: (N, F) -> (N,)."""
        predictions: Tensor = self.linear((x - self.mean) / self.deviation)
        return predictions.squeeze(1)


def of_columns(count: int) -> StandardizedLinear:
    """Make a model of ``count`` columns, to load saved weights into."""
    return StandardizedLinear(torch.zeros(count), torch.ones(count))
