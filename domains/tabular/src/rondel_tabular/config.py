"""The config keys of the domain 'tabular'; imports neither torch nor pandas."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from rondel.config import Config, setting
from rondel.settings import DomainConfig, OptimizerConfig, ScheduleConfig, UpdateConfig

DatasetName = Literal["breast_cancer", "wine", "digits", "iris", "diabetes"]
Task = Literal["classification", "regression"]
Kind = Literal["number", "boolean", "datetime", "category", "drop"]
MetricName = Literal["loss", "accuracy", "f1", "mcc", "roc_auc", "rmse", "mae", "r2"]


class NetworkConfig(Config):
    """The network: category embeddings beside standardised numbers, then a plain MLP."""

    widths: tuple[int, ...] = setting((256, 256), help="Features of the hidden layers, in order.")
    activation: Literal["relu", "silu"] = setting("relu", help="Between the layers.")
    dropout: float = setting(0.1, help="Share of hidden features dropped in training.", ge=0, lt=1)
    embedding: int = setting(8, help="Features that a category becomes.", ge=1)


class TabularConfig(DomainConfig):
    """Supervised training on a table with a target column."""

    target: str | None = setting(None, help="The column to predict; embedded sets have their own.")
    dataset: DatasetName = setting("breast_cancer", help="The embedded set used without data.")
    task: Literal["auto"] | Task = setting("auto", help="What the target is; guessed by 'auto'.")
    kinds: dict[str, Kind] = setting(
        {}, help="Kinds of columns that are guessed wrong: kinds.zip=category, kinds.id=drop."
    )
    valid: Path | None = setting(None, help="A validation file; by default a part of the data.")
    valid_fraction: float = setting(
        0.2, help="Share of the rows, within each class, that validates.", gt=0, lt=1
    )
    batch_size: int = setting(128, help="Rows per update.", ge=1)
    epochs: int = setting(100, help="Passes over the training data.", ge=0, resumable=True)
    patience: int | None = setting(
        16, help="Evaluations without a better metric before the run stops.", ge=1
    )
    watch: MetricName = setting("loss", help="The metric that decides which state is the best.")
    unknown_rate: float = setting(
        0.02,
        help="Share of categories hidden in training, so that 'unknown' is learnt.",
        ge=0,
        lt=1,
    )
    network: NetworkConfig = setting(NetworkConfig(), help="The network.")
    optimizer: OptimizerConfig = setting(
        OptimizerConfig(lr=1e-3, weight_decay=1e-2), help="The optimizer."
    )
    schedule: ScheduleConfig = setting(ScheduleConfig(), help="The learning-rate schedule.")
    clip_norm: float | None = setting(1.0, help="Largest global gradient norm.", gt=0)
    ema: float | None = setting(None, help="Decay of the averaged parameters.", ge=0, lt=1)
    micro_batches: int = setting(1, help="Pieces a batch is computed in; same gradient.", ge=1)
    non_finite: Literal["stop", "skip"] = setting("stop", help="What a NaN or infinity does.")
    max_skips: int = setting(5, help="Skipped updates in a row before the run stops.", ge=1)
    compile: bool = setting(False, help="Compile the loss function with torch.compile.")

    @property
    def update(self) -> UpdateConfig:
        """The one update of the domain, whose keys stand at the top level of this config."""
        return UpdateConfig(**{name: getattr(self, name) for name in UpdateConfig.model_fields})
