"""What a trained model answers."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from rondel import Bundle
from rondel_example.model import of_columns
from rondel_example.reader import read_table


class ExampleBundle(Bundle):
    """The linear model with its columns."""

    domain = "example"

    @classmethod
    def build(
        cls,
        config: Mapping[str, Any],  # noqa: ARG003 - a larger model is built from it
        facts: Mapping[str, Any],
    ) -> dict[str, nn.Module]:
        """Build the model that the weights are loaded into."""
        return {"model": of_columns(len(facts["columns"]))}

    @torch.no_grad()
    def predict(self, inputs: Path) -> list[float]:
        """Predict the target of every row of a CSV file; its last column may be the target."""
        table = read_table(inputs)
        numbers: list[float] = self.modules["model"](torch.tensor(table.rows)).tolist()
        return numbers

    def predict_files(self, inputs: Sequence[str], out: Path | None) -> str:
        """Write one number per row, to a file or to stdout."""
        lines = [f"{value:.6g}" for name in inputs for value in self.predict(Path(name))]
        if out is None:
            return "\n".join(lines)
        out.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return f"{len(lines)} predictions are in {out}"

    @torch.no_grad()
    def evaluate(self, data: Path | None) -> dict[str, float]:
        """Return the mean absolute error on a CSV file, or the one reached in training."""
        if data is None:
            return self.metrics
        table = read_table(data, target=self.config["target"])
        error = self.modules["model"](torch.tensor(table.rows)) - torch.tensor(table.answers)
        return {"mean_absolute_error": float(error.abs().mean())}
