"""The config keys that every domain shares: the run, the updates, their optimizers and schedules.

These models import no torch; what they describe is built in `rondel.optimizer`, `rondel.schedule`
and `rondel.update`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from rondel.config import Config, setting

ScheduleName = Literal["constant", "cosine", "linear", "one_cycle", "step", "slanted_triangle"]


class GroupConfig(Config):
    """Parameters that get settings of their own, chosen by name."""

    match: str = setting(..., help="Glob pattern over parameter names, such as 'backbone.*'.")
    lr_scale: float = setting(1.0, help="Factor on the learning rate.", ge=0)
    weight_decay: float | None = setting(None, help="Weight decay instead of the update's.", ge=0)


class OptimizerConfig(Config):
    """A torch optimizer by name, with the options it takes; `None` keeps torch's default."""

    name: str = setting("adamw", help="Any class of torch.optim, in any case: adamw, sgd, muon ...")
    lr: float = setting(1e-3, help="Learning rate.", gt=0)
    weight_decay: float = setting(0.0, help="Weight decay of matrices and kernels.", ge=0)
    decay_all: bool = setting(False, help="Decay norms and biases too.")
    groups: tuple[GroupConfig, ...] = setting((), help="Settings for parameters by name pattern.")
    momentum: float | None = setting(None, help="Momentum (sgd, rmsprop, muon).", ge=0)
    dampening: float | None = setting(None, help="Dampening of momentum (sgd).")
    nesterov: bool | None = setting(None, help="Nesterov momentum (sgd, muon).")
    betas: tuple[float, float] | None = setting(None, help="Decay rates of the Adam family.")
    eps: float | None = setting(None, help="Added to the denominator.", gt=0)
    amsgrad: bool | None = setting(None, help="Maximum of past second moments (adam, adamw).")
    alpha: float | None = setting(None, help="Smoothing constant (rmsprop, asgd).")
    centered: bool | None = setting(None, help="Centred second moment (rmsprop).")
    rho: float | None = setting(None, help="Running-average coefficient (adadelta).")
    lr_decay: float | None = setting(None, help="Learning-rate decay (adagrad).")
    initial_accumulator_value: float | None = setting(None, help="Start value (adagrad).")
    momentum_decay: float | None = setting(None, help="Momentum decay (nadam).")
    decoupled_weight_decay: bool | None = setting(None, help="AdamW-style decay (nadam, radam).")
    lambd: float | None = setting(None, help="Decay term (asgd).")
    t0: float | None = setting(None, help="Point at which averaging starts (asgd).")
    etas: tuple[float, float] | None = setting(None, help="Step-size factors (rprop).")
    step_sizes: tuple[float, float] | None = setting(None, help="Step-size bounds (rprop).")
    max_iter: int | None = setting(None, help="Iterations per step (lbfgs).", gt=0)
    history_size: int | None = setting(None, help="Update history (lbfgs).", gt=0)
    line_search_fn: str | None = setting(None, help="'strong_wolfe' or nothing (lbfgs).")
    tolerance_grad: float | None = setting(None, help="First-order tolerance (lbfgs).")
    tolerance_change: float | None = setting(None, help="Change tolerance (lbfgs).")
    ns_steps: int | None = setting(None, help="Newton-Schulz steps (muon).", gt=0)
    adjust_lr_fn: str | None = setting(None, help="Learning-rate adjustment (muon).")
    beta2_decay: float | None = setting(None, help="Decay of beta2 (adafactor).")
    d: float | None = setting(None, help="Clipping threshold (adafactor).")

    def options(self) -> dict[str, Any]:
        """Return the options that were set, under the names torch gives them."""
        known = {"name", "lr", "weight_decay", "decay_all", "groups"}
        return {
            key: value
            for key, value in self.model_dump().items()
            if key not in known and value is not None
        }


class ScheduleConfig(Config):
    """How the learning rate changes with the number of updates, or of samples."""

    name: ScheduleName = setting("constant", help="Shape after the warm-up.")
    unit: Literal["updates", "samples"] = setting("updates", help="What the schedule counts.")
    warmup: int = setting(0, help="Linear warm-up, in the schedule's unit.", ge=0)
    total: int | None = setting(
        None, help="Where the schedule ends, in its unit; by default the length of the run.", gt=0
    )
    final: float = setting(0.0, help="Factor on the learning rate at the end.", ge=0)
    every: int = setting(1000, help="Interval of 'step', in the schedule's unit.", gt=0)
    gamma: float = setting(0.1, help="Factor of each interval of 'step'.", gt=0)
    peak: float = setting(
        0.3,
        help="Share of the total at which 'one_cycle' peaks; 0.1 is usual for the triangle.",
        gt=0,
        lt=1,
    )


class UpdateConfig(Config):
    """One optimisation: optimizer, schedule, clipping, averaging, accumulation."""

    optimizer: OptimizerConfig = setting(OptimizerConfig(), help="The optimizer.")
    schedule: ScheduleConfig = setting(ScheduleConfig(), help="The learning-rate schedule.")
    clip_norm: float | None = setting(None, help="Largest global gradient norm.", gt=0)
    ema: float | None = setting(None, help="Decay of the averaged parameters.", ge=0, lt=1)
    micro_batches: int = setting(1, help="Pieces a batch is computed in; same gradient.", ge=1)
    non_finite: Literal["stop", "skip"] = setting("stop", help="What a NaN or infinity does.")
    max_skips: int = setting(5, help="Skipped updates in a row before the run stops.", ge=1)
    compile: bool = setting(False, help="Compile the loss function with torch.compile.")


class RunConfig(Config):
    """One training run: where, with what precision, how often to save and to log."""

    seed: int = setting(0, help="Seed of everything random.", ge=0)
    device: str = setting("auto", help="'auto', 'cpu', 'cuda', 'cuda:1' ...", resumable=True)
    precision: Literal["auto", "fp32", "bf16", "fp16"] = setting(
        "auto", help="Arithmetic of the forward pass; 'auto' is bf16 where the device has it."
    )
    workers: int = setting(0, help="Processes that load data.", ge=0, resumable=True)
    threads: int | None = setting(
        None,
        help="CPU threads of torch; 1 is fastest for small models, by default torch decides.",
        ge=1,
        resumable=True,
    )
    log_every: int = setting(50, help="Updates between two rows of the log.", ge=1)
    checkpoint_every_s: float = setting(
        60.0, help="Time between checkpoints.", unit="s", gt=0, resumable=True
    )
    checkpoint_every_steps: int | None = setting(
        None, help="Safe points between checkpoints, beside the time.", ge=1, resumable=True
    )
    keep_checkpoints: int = setting(
        2, help="Checkpoints kept beside the best.", ge=1, resumable=True
    )
    time_limit_s: float | None = setting(
        None, help="Stop, resumable, after this time.", unit="s", gt=0, resumable=True
    )
    bad_samples: Literal["stop", "skip"] = setting("stop", help="What an unreadable sample does.")
    max_bad_samples: int = setting(10, help="Unreadable samples before the run stops.", ge=0)


class DomainConfig(Config):
    """What every domain's config starts from."""

    data: Path | None = setting(None, help="The data; by default the embedded set.")
    epochs: int = setting(10, help="Passes over the training data.", ge=0, resumable=True)
    patience: int | None = setting(
        None, help="Evaluations without a better metric before the run stops.", ge=1
    )
    run: RunConfig = setting(RunConfig(), help="The run: device, precision, saving, logging.")
