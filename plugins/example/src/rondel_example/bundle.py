"""What a trained model answers."""

from pathlib import Path

import torch

from rondel import Bundle
from rondel_example.reader import read_table


class ExampleBundle(Bundle):
    """The linear model with its columns."""

    def predict(self, data: Path) -> list[float]:
        """Predict the target of every row of a CSV file."""
        table = read_table(data)
        with torch.no_grad():
            predictions: list[float] = self.model(torch.tensor(table.rows)).tolist()
        return predictions
