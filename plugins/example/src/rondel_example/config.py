"""The keys of the domain, beside those that every domain has."""

from rondel.config import setting
from rondel.settings import DomainConfig, OptimizerConfig, UpdateConfig


class ExampleConfig(DomainConfig):
    """A linear model over numeric columns."""

    epochs: int = setting(40, help="Passes over the training data.", ge=0, resumable=True)
    target: str | None = setting(None, help="Column to predict; by default the last one.")
    batch_size: int = setting(8, help="Rows per batch.", ge=1)
    update: UpdateConfig = setting(
        UpdateConfig(optimizer=OptimizerConfig(name="sgd", lr=0.05)), help="How it is updated."
    )
