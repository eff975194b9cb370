"""Keras 3 on torch: https://keras.io/api/"""

from __future__ import annotations

from collections.abc import Iterator

import keras
import torch
from interruption import BATCH, EPOCHS, FEATURES, KILL_AFTER, Interruption, Journal
from regression import ADAMW, HIDDEN, Clock, Regression, Weights
from torch import Tensor


class Ticking(keras.layers.Layer):
    """Ticks the clock at each forward pass."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock = clock

    def call(self, x: Tensor, training: bool = False) -> Tensor:
        """Pass the batch through; Keras also calls this once, untrained, to learn the shapes."""
        if training:
            self.clock.tick()
        return x


def silent(regression: Regression) -> Weights:
    """Train with verbose=0."""
    return _fit(regression, verbose=0)


def with_bar(regression: Regression) -> Weights:
    """Train with the default bar."""
    return _fit(regression, verbose=1)


def _fit(regression: Regression, *, verbose: int) -> Weights:
    source = regression.model()
    layers = [
        Ticking(regression.clock),
        keras.layers.Dense(HIDDEN, activation="tanh"),
        keras.layers.Dense(1),
    ]
    model = keras.Sequential([keras.Input((source.hidden.in_features,)), *layers])
    model.set_weights(_keras_layout(list(source.parameters())))
    model.compile(_adamw(ADAMW["lr"]), loss="mse")

    def batches() -> Iterator[tuple[Tensor, Tensor]]:
        yield from regression.batches

    model.fit(batches(), steps_per_epoch=regression.steps, epochs=1, verbose=verbose)
    return _torch_layout(model)


def _adamw(lr: float) -> keras.optimizers.Optimizer:
    return keras.optimizers.AdamW(lr, weight_decay=0.0, epsilon=ADAMW["eps"])


def _keras_layout(weights: Weights) -> list:
    return [w.detach().T.numpy() for w in weights]


def _torch_layout(model: keras.Model) -> Weights:
    return [torch.as_tensor(w).T.contiguous() for w in model.get_weights()]


class Noting(keras.layers.Layer):
    """Notes the rows that it trains on."""

    def __init__(self, journal: Journal) -> None:
        super().__init__()
        self.journal = journal

    def call(self, x: Tensor, training: bool = False) -> Tensor:
        """Pass the batch through."""
        if training:
            self.journal.note(x)
        return x


def resume(task: Interruption) -> Weights:
    """Follow the guide: BackupAndRestore(save_freq=12), and fit again after the interruption."""
    keras.utils.set_random_seed(0)
    layers = [
        Noting(task.journal()),
        keras.layers.Dense(16, activation="relu"),
        keras.layers.Dropout(0.25),
        keras.layers.Dense(1),
    ]
    model = keras.Sequential([keras.Input((FEATURES,)), *layers])
    model.compile(_adamw(1e-2), loss="mse")
    backup = keras.callbacks.BackupAndRestore(str(task.saves / "backup"), save_freq=KILL_AFTER)
    x, y = (tensor.numpy() for tensor in task.dataset().tensors)
    model.fit(x, y, batch_size=BATCH, epochs=EPOCHS, verbose=0, callbacks=[backup])
    return _torch_layout(model)
