"""The loop: when what happens, in plain Python."""

from torch import Tensor, nn

from rondel import Loop, Loss, Metric, Run, Stream, Watch
from rondel.metric import MeanMetric
from rondel_example.bundle import ExampleBundle
from rondel_example.config import ExampleConfig


class ExampleLoop(Loop):
    """Least squares by gradient descent, evaluated after every pass."""

    watch = Watch("mean_absolute_error", "min")

    def __init__(
        self,
        config: ExampleConfig,
        model: nn.Module,
        train_data: Stream,
        valid_data: Stream,
        columns: list[str],
    ) -> None:
        self.config = config
        self.model = model
        self.train_data = train_data
        self.valid_data = valid_data
        self.columns = columns

    def train(self, run: Run) -> None:
        """Update the model batch by batch."""
        total = self.train_data.planned(self.config.epochs)
        update = run.update("model", self.model, self.config.update, total=total)
        for _ in run.epochs(self.config.epochs):
            for x, y in run.batches(self.train_data):
                update(self.loss, x, y)
            run.evaluate(self)

    def loss(self, x: Tensor, y: Tensor) -> Loss:
        """Return the squared error, summed over the rows."""
        return Loss((self.model(x) - y).square().sum(), len(y))

    def evaluate(self, run: Run) -> dict[str, Metric]:
        """Measure the mean absolute error on the rows that were held out."""
        error = MeanMetric()
        for x, y in run.batches(self.valid_data):
            error.update((self.model(x) - y).abs())
        return {"mean_absolute_error": error}

    def bundle(self) -> ExampleBundle:
        """Return the model with the names of its columns."""
        return ExampleBundle(
            config=self.config.model_dump(mode="json"),
            facts={"columns": self.columns},
            modules={"model": self.model},
            data=self.data,
        )
