"""The loop: when what happens, in plain Python."""

import torch
from torch import Tensor, nn

from rondel import Loop, Loss, Run, Stream, Watch
from rondel_example.config import ExampleConfig


class ExampleLoop(Loop):
    """Least squares by gradient descent, evaluated after every pass."""

    watch = Watch("mean_absolute_error", "min")

    def __init__(
        self,
        config: ExampleConfig,
        model: nn.Module,
        train_data: Stream,
        test_data: tuple[Tensor, Tensor],
    ) -> None:
        self.config = config
        self.model = model
        self.train_data = train_data
        self.test_data = test_data

    def train(self, run: Run) -> None:
        """Update the model batch by batch."""
        total = self.config.epochs * len(self.train_data)
        update = run.update("model", self.model, self.config.update, total=total)
        for _ in run.epochs(self.config.epochs):
            for x, y in run.batches(self.train_data):
                update(self.loss, x, y)
            run.evaluate(self)

    def loss(self, x: Tensor, y: Tensor) -> Loss:
        """Return the squared error, summed over the rows."""
        return Loss((self.model(x) - y).square().sum(), len(y))

    def evaluate(self, run: Run) -> dict[str, float]:
        """Measure the mean absolute error on the rows that were held out."""
        x, y = (tensor.to(run.device) for tensor in self.test_data)
        with torch.no_grad():
            error = (self.model(x) - y).abs().mean()
        return {"mean_absolute_error": error.item()}
