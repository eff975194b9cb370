"""The config keys of the domain 'tabular'; imports neither torch nor pandas."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from rondel.config import Config, setting
from rondel.settings import DomainConfig, OptimizerConfig, ScheduleConfig, UpdateConfig

DatasetName = Literal["breast_cancer", "wine", "digits", "iris", "diabetes"]
LoopName = Literal[
    "supervised", "ensemble", "folds", "pretrain_then_finetune", "multihead", "blend"
]
Task = Literal["classification", "regression"]
Kind = Literal["number", "boolean", "datetime", "category", "text", "drop"]
HeadName = Literal["point", "quantiles", "gaussian"]
NetworkName = Literal["mlp", "resnet", "ft_transformer", "tabm", "tabm_mini"]
MEMBERS: Mapping[str, int] = {"tabm": 8, "tabm_mini": 8}
"""Members of the networks that are ensembles; the others are one."""


class NetworkConfig(Config):
    """The network: what numbers and categories become, and the layers above."""

    name: NetworkName = setting(
        "tabm_mini",
        help="'tabm' and 'tabm_mini' are ensembles in one network (Gorishniy et al., 2025: TabM); "
        "'mlp', 'resnet' and 'ft_transformer' are one (Gorishniy et al., 2021).",
    )
    members: int | None = setting(
        None, help="Members of a TabM; by default 8, 32 where run.device is an accelerator.", ge=1
    )
    width: int = setting(256, help="Features of each hidden layer.", ge=1)
    layers: int = setting(2, help="Hidden layers.", ge=1)
    activation: Literal["relu", "silu", "selu", "mish"] = setting(
        "relu", help="Between the layers."
    )
    dropout: float = setting(0.1, help="Share of hidden features dropped in training.", ge=0, lt=1)
    heads: int = setting(8, help="Attention heads (ft_transformer).", ge=1)
    numbers: Literal["plain", "piecewise", "periodic"] = setting(
        "piecewise",
        help="What a number becomes: itself; its place between quantiles, or sines and cosines "
        "(Gorishniy et al., 2022).",
    )
    bins: int = setting(48, help="Ranges that 'piecewise' sorts a number into, at most.", ge=1)
    number_width: int = setting(16, help="Features that a number becomes.", ge=1)
    frequency: float = setting(
        0.1, help="Standard deviation of the frequencies of 'periodic' at the start.", gt=0
    )
    one_hot: int = setting(
        16, help="Categories of up to so many levels are not embedded but one-hot.", ge=0
    )
    category_width: int = setting(8, help="Features that any other category becomes.", ge=1)


class FoldsConfig(Config):
    """Cross-validation as models that are trained side by side."""

    count: int = setting(5, help="Parts that the rows are divided into.", ge=2)
    repeats: int = setting(1, help="Divisions, each with models of its own.", ge=1)
    members: int | None = setting(
        None, help="Members of the model of one fold; by default half of network.members.", ge=1
    )


class PretrainingConfig(Config):
    """The first phase of pretrain_then_finetune, on all rows, without the target."""

    kind: Literal["denoising", "scarf"] = setting(
        "denoising",
        help="Restore what was replaced, or tell the replaced row from others (Bahri et al., 2022).",
    )
    unlabelled: Path | None = setting(None, help="A file of further rows, without the target.")
    corruption: float = setting(
        0.3, help="Share of the cells that are replaced by those of other rows.", gt=0, lt=1
    )
    epochs: int = setting(10, help="Passes over the rows.", ge=1)
    temperature: float = setting(1.0, help="What cosines are divided by (scarf).", gt=0)
    update: UpdateConfig = setting(
        UpdateConfig(
            optimizer=OptimizerConfig(lr=1e-3, weight_decay=3e-4),
            schedule=ScheduleConfig(name="cosine"),
            clip_norm=1.0,
        ),
        help="How the network is updated in it.",
    )


class BlendConfig(Config):
    """Boosted trees beside the network, and the weights of both."""

    trees: tuple[Literal["lightgbm", "catboost", "histogram"], ...] | None = setting(
        None,
        help="Libraries of boosted trees; by default those that are installed: LightGBM, CatBoost, "
        "and scikit-learn's histogram trees where there is neither.",
    )
    rounds: int = setting(2000, help="Trees at most; they stop early.", ge=1)
    steps: int = setting(
        50, help="Models that the hill climbing chooses (Caruana et al., 2004).", ge=1
    )


class TabularConfig(DomainConfig):
    """Supervised training on a table with a target column."""

    loop: Literal["auto"] | LoopName = setting(
        "auto", help="The training loop; 'auto' is 'ensemble' for networks with members."
    )
    target: str | None = setting(None, help="The column to predict; embedded sets have their own.")
    targets: tuple[str, ...] = setting(
        (), help="Several columns to predict by one network (loop=multihead)."
    )
    dataset: DatasetName = setting("breast_cancer", help="The embedded set used without data.")
    task: Literal["auto"] | Task = setting("auto", help="What the target is; guessed by 'auto'.")
    tasks: dict[str, Task] = setting({}, help="The same for each of several targets: tasks.NAME.")
    head: HeadName = setting(
        "point", help="What is said of a number: its mean, quantiles, or mean and deviation."
    )
    quantiles: tuple[float, ...] = setting((0.05, 0.5, 0.95), help="Of head=quantiles.")
    kinds: dict[str, Kind] = setting(
        {}, help="Kinds of columns that are guessed wrong: kinds.zip=category, kinds.id=drop."
    )
    weight: str | None = setting(None, help="Column of how much a row counts; it is not read.")
    class_weights: Literal["none", "balanced"] = setting(
        "none", help="'balanced' lets every class count the same in the loss."
    )
    head_weights: dict[str, float] = setting(
        {}, help="What the loss of a target is multiplied by, beside others: head_weights.NAME."
    )
    valid: Path | None = setting(None, help="A validation file; by default a part of the data.")
    valid_fraction: float = setting(
        0.2, help="Share of the rows, within each class, that validates.", gt=0, lt=1
    )
    split: Literal["stratified", "random", "group", "time"] = setting(
        "stratified",
        help="Which rows validate: drawn within each class, of all, by whole groups of "
        "'split_column', or the latest by it.",
    )
    split_column: str | None = setting(None, help="Column of split=group or time.")
    streaming: bool = setting(
        False, help="Read DATA some rows at a time; it may be larger than the memory."
    )
    cache: Path | None = setting(
        None, help="Where encoded rows are kept (streaming); by default in the user's own cache."
    )
    batch_size: int | None = setting(
        None,
        help="Rows per update; by default so many, a power of two from 16 to 1024, that a pass has "
        "about 128 updates.",
        ge=1,
    )
    epochs: int = setting(
        32,
        help="Passes over the training data; without batch_size a pass goes over a small table "
        "several times, until it has 32 updates.",
        ge=0,
        resumable=True,
    )
    patience: int | None = setting(
        16, help="Evaluations without a better metric before the run stops.", ge=1
    )
    watch: str = setting(
        "loss",
        help="The metric that decides which state is the best: loss; of classes accuracy, "
        "balanced_accuracy, f1, mcc, ece, of two roc_auc, average_precision; of a number rmse, mae, "
        "r2. Of one of several targets: NAME.accuracy.",
    )
    calibrate: bool = setting(
        True,
        help="Divide logits by a temperature, fitted on the validation rows, when predicting "
        "(Guo et al., 2017).",
    )
    unknown_rate: float = setting(
        0.02,
        help="Share of categories hidden in training, so that 'unknown' is learnt.",
        ge=0,
        lt=1,
    )
    smoothing: float = setting(
        0.0, help="Share of a class's target that is given to all classes.", ge=0, lt=1
    )
    network: NetworkConfig = setting(NetworkConfig(), help="The network.")
    folds: FoldsConfig = setting(FoldsConfig(), help="The loop 'folds'.")
    pretraining: PretrainingConfig = setting(
        PretrainingConfig(), help="The first phase of pretrain_then_finetune."
    )
    blend: BlendConfig = setting(BlendConfig(), help="The loop 'blend'.")
    optimizer: OptimizerConfig = setting(
        OptimizerConfig(lr=2e-3, weight_decay=3e-4), help="The optimizer."
    )
    schedule: ScheduleConfig = setting(
        ScheduleConfig(name="cosine"), help="The learning-rate schedule."
    )
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

    @property
    def members(self) -> int:
        """Members of the network: those of one fold in the loop 'folds'."""
        mine = self.network.members or MEMBERS.get(self.network.name, 1)
        if self.loop in ("folds", "blend"):
            return self.folds.members or max(1, mine // 2)
        return mine

    @property
    def copies(self) -> int:
        """Networks with weights of their own: one, or one for each fold of each repeat."""
        return self.folds.count * self.folds.repeats if self.loop in ("folds", "blend") else 1

    @classmethod
    def suiting(cls, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return more members where an accelerator is asked for."""
        run = values.get("run")
        device = str(run.get("device", "auto")) if isinstance(run, Mapping) else "auto"
        large = device.startswith(("cuda", "xpu", "mps"))
        return {"network": {"members": 32}} if large else {}
