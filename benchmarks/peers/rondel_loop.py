"""rondel, as its own page "your own loop" writes it."""

from __future__ import annotations

from collections.abc import Callable

from interruption import BATCH, EPOCHS, Interruption
from interruption import weights_of as net_weights
from regression import ADAMW, Regression, Weights, hand_written, weights_of
from torch import Tensor, nn
from torch.nn.functional import mse_loss

import rondel
from rondel.callbacks import Progress
from rondel.settings import OptimizerConfig, RunConfig, UpdateConfig


def hand_written_after_import(regression: Regression) -> Weights:
    """Run the hand-written loop in a process that has imported rondel."""
    return hand_written(regression, fused=False)


def default_checks(regression: Regression) -> Weights:
    """Train with everything that is on by default: checks, loss log, saving; nothing is shown."""
    return _train(regression)


def bar_and_log(regression: Regression) -> Weights:
    """Train with the progress bar beside it."""
    return _train(regression, Progress(epochs=1))


def _train(regression: Regression, *callbacks: rondel.Callback) -> Weights:
    model = regression.model()
    with rondel.Run("run", settings=RunConfig(device="cpu"), callbacks=callbacks) as run:
        update = run.update("model", model, _adamw(ADAMW["lr"]))
        loss = squared_error(model)
        for _ in run.epochs(1):
            for x, y in run.batches(regression.batches):
                update(loss, x, y)
    return weights_of(model)


def _adamw(lr: float) -> UpdateConfig:
    return UpdateConfig(optimizer=OptimizerConfig(name="adamw", lr=lr, weight_decay=0.0))


def squared_error(model: nn.Module) -> Callable[[Tensor, Tensor], Tensor]:
    """Return the loss function of a model."""

    def loss(x: Tensor, y: Tensor) -> Tensor:
        return mse_loss(model(x), y)

    return loss


def resume(task: Interruption) -> Weights:
    """Run the same code again with `resume=True`."""
    model = task.model()
    settings = RunConfig(device="cpu", checkpoint_every_steps=1)
    with rondel.Run(task.saves / "run", settings=settings, resume=task.resuming) as run:
        update = run.update("model", model, _adamw(1e-2))
        rows = rondel.Stream(task.dataset(), batch_size=BATCH)
        for _ in run.epochs(EPOCHS):
            for x, y in run.batches(rows):
                update(squared_error(model), x, y)
    return net_weights(model)
