"""Makes data, model and loop from a config."""

from pathlib import Path

import torch
from torch import Tensor, nn

from rondel import Baseline, Stream
from rondel_example.config import ExampleConfig
from rondel_example.loop import ExampleLoop
from rondel_example.reader import read_table

EMBEDDED = Path(__file__).with_name("cars.csv")


class StandardizedLinear(nn.Module):
    """A linear model of columns that it scales to mean 0 and deviation 1 itself."""

    mean: Tensor  # (F,)
    deviation: Tensor  # (F,)

    def __init__(self, rows: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", rows.mean(dim=0))
        self.register_buffer("deviation", rows.std(dim=0).clamp(min=1e-6))
        self.linear = nn.Linear(rows.shape[1], 1)

    def forward(self, x: Tensor) -> Tensor:
        """Predict one number per row: (N, F) -> (N,)."""
        predictions: Tensor = self.linear((x - self.mean) / self.deviation)
        return predictions.squeeze(1)


def build(config: ExampleConfig) -> ExampleLoop:
    """Read the data, hold every fifth row out, and make the loop."""
    table = read_table(config.data or EMBEDDED, target=config.target)
    x, y = torch.tensor(table.rows), torch.tensor(table.answers)  # (N, F), (N,)
    held_out = torch.arange(len(y)) % 5 == 4
    train = Stream((x[~held_out], y[~held_out]), batch_size=config.batch_size)
    model = StandardizedLinear(x[~held_out])
    loop = ExampleLoop(config, model, train, (x[held_out], y[held_out]))
    guess = (y[held_out] - y[~held_out].mean()).abs().mean().item()
    loop.baseline = Baseline("mean of the training rows", {"mean_absolute_error": guess})
    return loop
