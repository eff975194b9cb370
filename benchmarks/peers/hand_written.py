"""The loop that everybody writes, and a resume as PyTorch's own tutorial writes it."""

from __future__ import annotations

import torch
from interruption import EPOCHS, Interruption, adamw
from interruption import weights_of as net_weights
from regression import Regression, Weights, hand_written, weights_of
from torch.nn.functional import mse_loss


def default_kernel(regression: Regression) -> Weights:
    """Repeat the first baseline: the ratio shows the resolution of the measurement."""
    return hand_written(regression, fused=False)


def fused_kernel(regression: Regression) -> Weights:
    """Repeat the second baseline."""
    return hand_written(regression, fused=True)


def reading_the_loss(regression: Regression) -> Weights:
    """Read the loss at every step, as most training scripts do."""
    model = regression.model()
    optimizer = regression.adamw(model)
    total = 0.0
    for x, y in regression.batches:
        optimizer.zero_grad()
        loss = mse_loss(model(x), y)
        loss.backward()
        optimizer.step()
        total += loss.item()
    return weights_of(model)


def resume(task: Interruption) -> Weights:
    """Follow "Saving and loading a general checkpoint": model, optimizer and epoch, once an epoch."""
    model, loader = task.model(), task.loader()
    optimizer, first = adamw(model), 0
    path = task.saves / "checkpoint.pt"
    if task.resuming:
        saved = torch.load(path)
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        first = saved["epoch"] + 1
    for epoch in range(first, EPOCHS):
        for x, y in loader:
            optimizer.zero_grad()
            mse_loss(model(x), y).backward()
            optimizer.step()
        torch.save(
            {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": epoch}, path
        )
    return net_weights(model)
